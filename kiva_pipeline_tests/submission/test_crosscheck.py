"""Kiva's list against the ledger: strangers, and drafts that may be second copies."""

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from kiva_pipeline.partner_api.records import KIVA_LOAN_COLUMNS
from kiva_pipeline.submission.crosscheck import possible_copies, strangers
from kiva_pipeline_tests.submission.books import DRAFT, draft_row, frame_of, kiva_loans

GO_LIVE = date(2026, 10, 6)
DAY = datetime(2026, 10, 3)
NO_DRAFTS = frame_of(DRAFT, [])


def created(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def in_ledger(*rows: dict) -> pd.DataFrame:
    """Drafts as the planner reads them from the ledger: the day is a text."""
    frame = frame_of(DRAFT, rows)
    return frame.assign(effective_on=frame["effective_on"].dt.strftime("%Y-%m-%d").fillna(""))


def copies(*rows: dict, drafts: pd.DataFrame | None = None, listed: pd.DataFrame | None = None):
    sendable = frame_of(DRAFT, rows)
    found = possible_copies(
        sendable,
        in_ledger() if drafts is None else drafts,
        kiva_loans() if listed is None else listed,
    )
    return dict(zip(sendable["business_id"], found, strict=True))


# -- strangers -----------------------------------------------------------------------------------


def test_a_loan_made_since_go_live_that_the_ledger_never_sent_is_a_stranger():
    listed = kiva_loans("A", "B", create_time=created(date(2026, 10, 7)))
    assert strangers(listed, {"A"}, GO_LIVE) == ["B"]


def test_a_loan_made_before_go_live_is_none():
    listed = kiva_loans("B", create_time=created(date(2026, 10, 4)))
    assert strangers(listed, set(), GO_LIVE) == []


def test_kivas_clock_may_be_a_day_behind():
    listed = kiva_loans("B", create_time=created(date(2026, 10, 5)))
    assert strangers(listed, set(), GO_LIVE) == ["B"]


def test_a_loan_that_does_not_say_when_it_was_made_counts_as_new():
    assert strangers(kiva_loans("B", create_time=None), set(), GO_LIVE) == ["B"]


@pytest.mark.parametrize("spelling", ["ab-１", " AB-1 ", "Ab-1"])
def test_an_id_that_kiva_spells_otherwise_is_the_same(spelling):
    listed = kiva_loans(spelling, create_time=None)
    assert strangers(listed, {"AB-1"}, GO_LIVE) == []


def test_a_loan_without_an_id_of_ours_is_left_to_the_other_checks():
    assert strangers(kiva_loans("", create_time=None), set(), GO_LIVE) == []


# -- second copies -------------------------------------------------------------------------------


def test_the_same_client_amount_and_day_under_another_id_may_be_a_copy():
    old = in_ledger(draft_row("OLD", client_ids='["C-1"]'))
    assert copies(draft_row("NEW", client_ids='["C-1"]'), drafts=old) == {"NEW": "OLD"}


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 3500_01},
        {"currency": "USD"},
        {"currency_digits": 3},
        {"effective_on": datetime(2026, 10, 4)},
        {"client_ids": '["C-2"]'},
        {"client_ids": '[""]', "client_id": ""},
        {"amount": None},
        {"effective_on": None},
    ],
)
def test_another_client_amount_currency_or_day_is_another_draft(change):
    old = in_ledger(draft_row("OLD", client_ids='["C-1"]'))
    new = draft_row("NEW", client_ids='["C-1"]') | change
    assert copies(new, drafts=old) == {"NEW": ""}


def test_a_group_is_the_same_by_all_its_clients_in_any_order():
    old = in_ledger(draft_row("G-1", "A", "B", client_ids='["C-1", "C-2"]'))
    assert copies(draft_row("G-9", "X", "Y", client_ids='["c-2", "C-1"]'), drafts=old) == {
        "G-9": "G-1"
    }
    assert copies(draft_row("G-9", "X", client_ids='["C-1"]'), drafts=old) == {"G-9": ""}


def test_a_loan_that_was_entered_twice_is_held_in_both_places():
    twice = [draft_row("A", client_ids='["C-1"]'), draft_row("B", client_ids='["C-1"]')]
    assert copies(*twice) == {"A": "B", "B": "A"}


def test_a_draft_is_no_copy_of_itself_however_its_id_is_spelled():
    row = draft_row("ab-1", client_ids='["C-1"]', client_id="C-1")
    drafts = in_ledger(draft_row("AB-1", client_ids='["C-1"]'))
    listed = kiva_loans("Ab-1", create_time=created(date(2026, 9, 1)))
    listed["internal_client_id"] = "C-1"
    assert copies(row, drafts=drafts, listed=listed) == {"ab-1": ""}


def test_a_loan_at_kiva_of_the_same_client_and_price_made_around_the_day_may_be_it():
    listed = kiva_loans("OLD", create_time=created(date(2026, 9, 1)))
    row = draft_row("NEW", client_id="c-old")
    assert copies(row, listed=listed) == {"NEW": "OLD"}
    without_id = listed.assign(internal_loan_id="", kiva_id="77")
    assert copies(row, listed=without_id) == {"NEW": "kiva:77"}


@pytest.mark.parametrize(
    ("made_on", "found"),
    [
        (date(2026, 6, 4), ""),
        (date(2026, 6, 5), "OLD"),  # 120 days before
        (date(2026, 12, 2), "OLD"),  # 60 days after
        (date(2026, 12, 5), ""),
        (None, "OLD"),
    ],
)
def test_only_a_loan_made_near_the_disbursal_may_be_it(made_on, found):
    listed = kiva_loans("OLD", create_time=made_on and created(made_on))
    assert copies(draft_row("NEW", client_id="C-OLD"), listed=listed) == {"NEW": found}


@pytest.mark.parametrize(
    "change",
    [{"loan_local_price": "3500.01"}, {"loan_local_price": "?"}, {"loan_currency": "USD"}],
)
def test_another_price_or_currency_at_kiva_is_another_loan(change):
    listed = kiva_loans("OLD", create_time=created(date(2026, 9, 1)), **change)
    assert copies(draft_row("NEW", client_id="C-OLD"), listed=listed) == {"NEW": ""}


def test_a_repeated_loan_whose_earlier_one_has_a_known_day_is_no_copy():
    listed = kiva_loans("OLD", create_time=created(date(2026, 9, 1)))
    row = draft_row("NEW", client_id="C-OLD")
    earlier = in_ledger(draft_row("OLD", effective_on=datetime(2026, 7, 3)))
    assert copies(row, listed=listed, drafts=earlier) == {"NEW": ""}
    unknown_day = earlier.assign(effective_on="")
    assert copies(row, listed=listed, drafts=unknown_day) == {"NEW": "OLD"}


def test_the_one_stranger_and_the_one_copy_are_found_among_a_hundred_thousand_loans():
    rows = 100_000
    ids = np.char.add("L", np.arange(rows).astype(str))
    listed = pd.DataFrame(
        {
            "internal_loan_id": ids, "internal_client_id": np.char.add("C", ids), "kiva_id": ids,
            "uuid": ids, "status": "payingBack", "borrower_count": 1,
            "loan_local_price": "3500.00", "loan_currency": "TJS",
            "create_time": created(date(2026, 9, 1)), "delinquent": False,
        }
    ).astype(KIVA_LOAN_COLUMNS)  # fmt: skip
    many = frame_of(DRAFT, [draft_row(f"N{i}") for i in range(500)])
    many.loc[0, "client_id"] = "CL7"
    drafts = in_ledger()
    known = set(ids.tolist()[1:])
    assert strangers(listed, known, date(2026, 8, 1)) == ["L0"]
    found = possible_copies(many, drafts, listed)
    assert found[0] == "L7"
    assert (found != "").sum() == 1
