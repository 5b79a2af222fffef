"""Whatever the ledger holds and whatever the MIS says: what must hold of every plan."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.states import OPEN, State
from kiva_pipeline_tests.submission.books import (
    AUGUST,
    DRAFT,
    JOURNAL,
    MONTH_OF,
    OCTOBER,
    PARTNER,
    REPAYMENT,
    SEPTEMBER,
    Office,
    Row,
    Version,
    blocked,
    draft_row,
    held,
    journal_row,
    kiva_loans,
    missing,
    put,
    report_row,
    settings_for,
    version,
    versions,
)
from kiva_pipeline_tests.submission.conftest import NewUrl

FEW = settings(
    max_examples=4,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
IDS = [f"L{n:02}" for n in range(24)]
CLOSED_STATES = ["accepted", "rejected", "withdrawn"]
OPEN_STATES = [state.value for state in OPEN]
AT_KIVA = {"accepted", "in_flight", "uncertain"}
DAYS = [date(2026, 10, 6), date(2026, 10, 16), date(2026, 10, 1)]


def row_of(kind: Any, loan_id: str, content: int) -> Row:
    if kind is REPAYMENT:
        return report_row(loan_id, 100_00 + content * 10_00)
    if kind is JOURNAL:
        return journal_row(loan_id, body=f"She sells {content}.")
    return draft_row(loan_id, use=f"to buy {content} cows.")


# Of an id: its versions of each month (state and content), and what the MIS says (state, content).
HISTORY = st.tuples(
    st.lists(st.tuples(st.sampled_from(CLOSED_STATES), st.integers(0, 2)), max_size=2),
    st.none() | st.tuples(st.sampled_from(OPEN_STATES), st.integers(0, 2)),
)
SAID = st.tuples(
    st.sampled_from(["good", "good", "held", "blocked", "missing", "gone"]), st.integers(0, 2)
)
STORIES = st.lists(
    st.tuples(st.tuples(HISTORY, HISTORY, HISTORY), SAID),
    min_size=len(IDS),
    max_size=len(IDS),
)


def world_of(kind: Any, stories: Any) -> tuple[list[Version], list[Row]]:
    known, rows = [], []
    months = [SEPTEMBER, AUGUST, OCTOBER] if kind is REPAYMENT else [MONTH_OF[kind]]
    for loan_id, (histories, (said, content)) in zip(IDS, stories, strict=True):
        for month, (ended, last) in zip(months, histories, strict=False):
            for number, (state, seen) in enumerate([*ended, *([last] if last else [])], start=1):
                row = row_of(kind, loan_id, seen)
                known.append(version(kind, row, state, month=month, number=number))
        good = row_of(kind, loan_id, content)
        if said == "missing" and kind is REPAYMENT:
            rows.append(missing(loan_id))
        elif said != "gone":
            rows.append({"held": held, "blocked": blocked}.get(said, dict)(good))
    return known, rows


@contextmanager
def new_office(url: str, day: date, *, replace: bool) -> Iterator[Office]:
    book = Ledger.open(url, environment="sandbox", partner_id=PARTNER)
    with tempfile.TemporaryDirectory() as folder:
        terms = {"repayments_replace": replace}
        yield Office(book, settings_for(repayments=terms).model_copy(), Path(folder)).on(day)
    book.close()


@pytest.mark.parametrize("kind", [DRAFT, REPAYMENT, JOURNAL], ids=str)
@FEW
@given(
    stories=STORIES,
    listed=st.lists(st.sampled_from(IDS), max_size=6, unique=True),
    day=st.integers(0, 2),
    replace=st.booleans(),
)
def test_every_plan_keeps_the_promises(
    new_ledger_url: NewUrl, kind: Any, stories: Any, listed: list[str], day: int, replace: bool
) -> None:
    known, rows = world_of(kind, stories)
    with new_office(new_ledger_url(), DAYS[day], replace=replace) as office:
        put(office.book, *known)
        plan = office.apply(kind, rows, listed=kiva_loans(*listed))
        _nothing_vanishes(kind, plan, rows, known)
        for row in plan.values():
            _only_what_is_good_and_new_is_planned(kind, row, rows, known, DAYS[day])
            _doubt_stays(row, known, listed if kind is DRAFT else [], may_replace=replace)
        _planning_again_is_the_same(office, kind, rows, plan, listed)


def _of(known: list[Version], kind: Any, business_id: str) -> list[Version]:
    month = str(MONTH_OF[kind])
    return [v for v in known if v["business_id"] == business_id and v["month"] == month]


def _nothing_vanishes(
    kind: Any, plan: dict[str, Row], rows: list[Row], known: list[Version]
) -> None:
    wanted = {row["business_id"] for row in rows}
    of_month = {v["business_id"] for v in known if v["month"] == str(MONTH_OF[kind])}
    forgotten = set()
    if kind is not REPAYMENT:  # what never got anywhere and is gone is nobody's business
        forgotten = {
            key for key in of_month - wanted
            if {v["state"] for v in _of(known, kind, key)} <= {"withdrawn", "rejected"}
            and _of(known, kind, key)[-1]["state"] == "withdrawn"
        }  # fmt: skip
    assert set(plan) == (wanted | of_month) - forgotten
    assert sum(row["mis_rows"] for row in plan.values()) == sum(row["mis_rows"] for row in rows)
    assert all(row["reasons"] and row["reason_code"] for row in plan.values())


def _only_what_is_good_and_new_is_planned(
    kind: Any, decided: Row, rows: list[Row], known: list[Version], day: date
) -> None:
    if decided["decision"] != State.PLANNED.value:
        return
    business_id = decided["business_id"]
    (wanted,) = [row for row in rows if row["business_id"] == business_id]
    assert wanted["state"] == "good"
    assert decided["payload_hash"] == wanted["payload_hash"]
    sent = [v for v in _of(known, kind, business_id) if v["state"] == "accepted"]
    if kind is REPAYMENT:
        assert day == DAYS[0]
        assert not sent or sent[-1]["payload_hash"] != wanted["payload_hash"]
        later = [v for v in known if v["business_id"] == business_id and v["month"] > "2026-09"]
        resent = decided["reason_code"] == "resend_same"
        assert resent or not any(v["state"] in AT_KIVA for v in later)
    else:
        assert not sent


def _doubt_stays(
    decided: Row, known: list[Version], listed: list[str], *, may_replace: bool
) -> None:
    if decided["open_state"] not in {"uncertain", "in_flight"}:
        return
    if decided["decision"] == "accepted":
        assert decided["business_id"] in listed
    elif decided["decision"] == "planned":
        assert may_replace
        open_one = next(v for v in known if v["state"] == "uncertain" and
                        v["payload_hash"] == decided["payload_hash"] and
                        v["business_id"] == decided["business_id"])  # fmt: skip
        assert decided["version"] == open_one["version"]
    else:
        assert decided["decision"] == decided["open_state"]
        assert decided["write"] == ""


def _planning_again_is_the_same(
    office: Office, kind: Any, rows: list[Row], plan: dict[str, Row], listed: list[str]
) -> None:
    before = pd.DataFrame(versions(office.book)).drop(columns="updated_at")
    again = office.apply(kind, rows, listed=kiva_loans(*listed))
    for business_id, row in plan.items():
        if row["write"] == "evidence":  # it arrived: from now on it is compared
            assert again[business_id]["decision"] in {"unchanged", "needs_person"}
        elif business_id in again:
            assert again[business_id]["decision"] == row["decision"]
            assert again[business_id]["reason_code"] == row["reason_code"]
            assert again[business_id]["write"] in {"", "update"}
            if row["decision"] != "planned":
                assert again[business_id]["write"] == ""
        else:
            assert row["decision"] == "withdrawn"
    after = pd.DataFrame(versions(office.book)).drop(columns="updated_at")
    same = [v for v in before["business_id"] if plan.get(v, {}).get("write") != "evidence"]
    pd.testing.assert_frame_equal(
        before[before["business_id"].isin(same)], after[after["business_id"].isin(same)]
    )
