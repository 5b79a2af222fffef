"""What the planner decides: each case of drafts, journals and reports, against a real ledger.

A plan costs more than its rows do, so a test plans many ids at once, each a case of its own.
"""

import json
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any

import pandas as pd
import pytest

from kiva_pipeline.periods import Month
from kiva_pipeline.submission.states import NEVER_SENT, State
from kiva_pipeline_tests.submission.books import (
    AUGUST,
    DRAFT,
    JOURNAL,
    OCTOBER,
    REPAYMENT,
    SEPTEMBER,
    Office,
    Row,
    blocked,
    draft_row,
    held,
    journal_row,
    kiva_loans,
    missing,
    put,
    report_row,
    told,
    version,
)

UNSENT = sorted(NEVER_SENT)
LEDGER_STATES = [state.value for state in State if state is not State.UNCHANGED]
DAY_OPEN, DAY_CLOSED, DAY_NOT_YET = date(2026, 10, 6), date(2026, 10, 16), date(2026, 10, 1)
REPLACE = {"repayments": {"repayments_replace": True}}

# Of an id, what the MIS says: as it is in the ledger, or changed in the way that the name tells.
As = dict[str, Callable[[str], Any]]
DRAFT_AS: As = {
    "same": draft_row,
    "changed": lambda i: draft_row(i, use="to buy a cow."),
    "blocked": lambda i: blocked(draft_row(i, use="")),
    "held": lambda i: held(draft_row(i, use="to buy seed.")),
    "late": lambda i: blocked(draft_row(i), "disbursed_too_long_ago"),  # but the same
    "gone": lambda _: None,
}
JOURNAL_AS: As = {
    "same": journal_row,
    "changed": lambda i: journal_row(i, body="She sells less."),
    "blocked": lambda i: blocked(journal_row(i, body="")),
    "held": lambda i: held(journal_row(i, body="She sells.")),
    "late": lambda i: blocked(journal_row(i), "loan_ended"),  # but the same
    "gone": lambda _: None,
}
REPORT_AS: As = {
    "same": report_row,
    "changed": lambda i: report_row(i, 150_00),
    "blocked": lambda i: blocked(report_row(i, 9_999_00)),
    "held": lambda i: held(report_row(i, 160_00)),
    "late": lambda i: held(report_row(i), "price_differs"),  # but the same
    "missing": missing,
    "gone": lambda _: None,
}
CREATES = pytest.mark.parametrize(
    ("kind", "ways"), [(DRAFT, DRAFT_AS), (JOURNAL, JOURNAL_AS)], ids=["draft", "journal"]
)


class Case:
    """A ledger with one version in ``state`` for each way, and what the MIS says of each id."""

    def __init__(
        self, office: Office, kind: Any, ways: As, states: Iterable[str], **version_facts: Any
    ) -> None:
        self.rows: list[Row] = []
        self.listed: list[str] = []
        for state in states:
            for way, row_of in ways.items():
                loan_id = f"{state}-{way}"
                known = ways["same"](loan_id)
                assert known is not None
                put(office.book, version(kind, known, state, **version_facts))
                self.listed.append(loan_id)
                row = row_of(loan_id)
                self.rows += [row] if row else []
        self.rows.sort(key=lambda row: row["business_id"])


def by_way(plan: dict[str, Row], *names: str) -> dict[str, Any]:
    """Of each id (``state-way``, a journal's without its note): the named columns of its plan."""
    return {
        key.removesuffix("/1"): tuple(row[name] for name in names) if len(names) > 1 else row[names[0]]
        for key, row in plan.items()
    }  # fmt: skip


def only(plan: dict[str, Row]) -> Row:
    ((_, row),) = plan.items()
    return row


def detail(row: Row) -> str:
    (reason,) = json.loads(row["reasons"])
    text: str = reason["detail"]
    return text


def nothing_to_write(plan: dict[str, Row]) -> bool:
    return {row["write"] for row in plan.values()} <= {""}


# -- drafts and journals: created once ---------------------------------------------------------


@CREATES
def test_what_is_new_is_planned_and_the_rules_words_stand(
    office: Office, kind: Any, ways: As
) -> None:
    rows = [row for way in ("blocked", "held", "same") if (row := ways[way](f"new-{way}"))]
    plan = office.apply(kind, rows)
    assert by_way(plan, "decision", "reason_code", "write", "version") == {
        "new-blocked": ("blocked", "amount_zero", "insert", 1),
        "new-held": ("held", "price_differs", "insert", 1),
        "new-same": ("planned", "new", "insert", 1),
    }
    for row in rows[:2]:
        assert plan[row["business_id"]]["reasons"] == row["reasons"]
    again = by_way(office.plan(kind, rows), "decision", "reason_code", "write")
    assert again == {
        "new-blocked": ("blocked", "amount_zero", ""),
        "new-held": ("held", "price_differs", ""),
        "new-same": ("planned", "new", "update"),
    }


@CREATES
def test_what_is_under_way_or_in_doubt_stays_so_whatever_the_mis_says(
    office: Office, kind: Any, ways: As
) -> None:
    case = Case(office, kind, ways, ["in_flight", "uncertain"])
    plan = office.plan(kind, case.rows)
    assert len(plan) == 2 * len(ways)
    for key, said in by_way(plan, "decision", "reason_code", "write").items():
        assert said == (key.split("-")[0], "still_uncertain", "")


@pytest.mark.parametrize(
    "spell", [str, str.upper, lambda i: f" {i} "], ids=["as is", "case", "blanks"]
)
def test_an_uncertain_draft_that_kiva_lists_has_arrived(
    office: Office, spell: Callable[[str], str]
) -> None:
    case = Case(office, DRAFT, DRAFT_AS, ["uncertain", "in_flight"])
    plan = office.plan(DRAFT, case.rows, listed=kiva_loans(*map(spell, case.listed)))
    for key, said in by_way(plan, "decision", "reason_code", "write").items():
        if key.startswith("uncertain"):
            assert said == ("accepted", "seen_at_kiva", "evidence")
        else:
            assert said == ("in_flight", "still_uncertain", "")


def test_kivas_list_proves_no_group_by_its_member_and_no_journal(office: Office) -> None:
    group, journal = draft_row("G", "L1", "L2"), journal_row("L1")
    put(office.book, version(DRAFT, group, "uncertain"), version(JOURNAL, journal, "uncertain"))
    listed = kiva_loans("L1", "L2", "L1/1")
    assert only(office.plan(DRAFT, [group], listed=listed))["decision"] == "uncertain"
    assert only(office.plan(JOURNAL, [journal], listed=listed))["decision"] == "uncertain"


@CREATES
def test_what_was_accepted_is_unchanged_or_needs_a_person_and_is_said_once(
    office: Office, kind: Any, ways: As
) -> None:
    case = Case(office, kind, ways, ["accepted"])
    plan = office.apply(kind, case.rows)
    assert by_way(plan, "decision", "reason_code", "write", "version") == {
        "accepted-same": ("unchanged", "same", "", 1),
        "accepted-changed": ("needs_person", "accepted_then_changed", "insert", 2),
        "accepted-blocked": ("needs_person", "accepted_then_invalid", "insert", 2),
        "accepted-held": ("needs_person", "accepted_then_invalid", "insert", 2),
        "accepted-late": ("unchanged", "same", "", 1),
        "accepted-gone": ("needs_person", "accepted_then_gone", "insert", 2),
    }
    again = office.plan(kind, case.rows)
    assert nothing_to_write(again)
    assert by_way(again, "decision") == by_way(plan, "decision")


@CREATES
def test_a_warning_is_taken_back_when_the_mis_is_as_it_was(
    office: Office, kind: Any, ways: As
) -> None:
    case = Case(office, kind, ways, ["accepted"])
    office.apply(kind, case.rows)
    as_it_was = [row for key in case.listed if (row := ways["same"](key))]
    assert set(by_way(office.apply(kind, as_it_was), "decision").values()) == {"unchanged"}
    assert nothing_to_write(office.plan(kind, as_it_was))
    assert by_way(office.plan(kind, case.rows), "version")["accepted-changed"] == 3


def test_changed_fields_are_named_and_only_amounts_and_days_are_quoted(office: Office) -> None:
    put(office.book, version(DRAFT, draft_row("L1"), "accepted"))
    changed = draft_row(
        "L1", use="to buy a cow for Азиз.", amount=3000_00, effective_on=datetime(2026, 10, 5)
    )
    assert detail(only(office.plan(DRAFT, [changed]))) == (
        "amount 3500.00 → 3000.00; day 2026-10-03 → 2026-10-05; amount changed; loanuse changed"
    )


@CREATES
def test_what_moved_to_another_month_after_acceptance_is_told_in_both(
    office: Office, kind: Any, ways: As
) -> None:
    put(office.book, version(kind, ways["same"]("L1"), "accepted", month=OCTOBER))
    there = only(office.apply(kind, [ways["changed"]("L1")], month=Month(2026, 11)))
    assert (there["decision"], there["write"]) == ("needs_person", "insert")
    here = only(office.plan(kind, [], month=OCTOBER))
    assert (here["decision"], here["reason_code"], here["write"]) == (
        "needs_person", "accepted_then_gone", "",
    )  # fmt: skip


@CREATES
def test_what_was_never_sent_is_withdrawn_when_gone_and_planned_when_good(
    office: Office, kind: Any, ways: As
) -> None:
    case = Case(office, kind, ways, UNSENT)
    plan = office.apply(kind, case.rows)
    decisions = {"same": "planned", "changed": "planned", "gone": "withdrawn",
                 "blocked": "blocked", "held": "held", "late": "blocked"}  # fmt: skip
    for key, (decision, write, number) in by_way(plan, "decision", "write", "version").items():
        state, way = key.split("-")
        assert decision == decisions[way], key
        assert number == 1, key
        if state != decision:
            assert write == "update", key
    again = office.plan(kind, case.rows)
    assert {key for key in by_way(again, "write") if key.endswith("-gone")} == set()
    waiting = {row["decision"] for row in again.values() if row["write"]}
    assert waiting == {"planned"}


@CREATES
def test_what_kiva_refused_waits_for_a_correction(office: Office, kind: Any, ways: As) -> None:
    case = Case(office, kind, ways, ["rejected"])
    for _ in range(2):
        plan = by_way(office.plan(kind, case.rows), "decision", "reason_code", "write", "version")
        assert plan == {
            "rejected-same": ("rejected", "refused_before", "", 1),
            "rejected-changed": ("planned", "corrected", "insert", 2),
            "rejected-blocked": ("blocked", "amount_zero", "insert", 2),
            "rejected-held": ("held", "price_differs", "insert", 2),
            "rejected-late": ("blocked", ways["late"]("L")["reason_code"], "insert", 2),
            "rejected-gone": ("withdrawn", "gone", "", 1),
        }


@CREATES
def test_what_was_withdrawn_is_forgotten_until_it_is_back(
    office: Office, kind: Any, ways: As
) -> None:
    case = Case(office, kind, ways, ["withdrawn"])
    plan = by_way(office.plan(kind, case.rows), "decision", "reason_code", "write", "version")
    assert plan == {
        "withdrawn-same": ("planned", "corrected", "insert", 2),
        "withdrawn-changed": ("planned", "corrected", "insert", 2),
        "withdrawn-blocked": ("blocked", "amount_zero", "insert", 2),
        "withdrawn-held": ("held", "price_differs", "insert", 2),
        "withdrawn-late": ("blocked", ways["late"]("L")["reason_code"], "insert", 2),
    }


def test_what_waited_for_its_turn_is_new_still(office: Office) -> None:
    """A row that the last run did not get to was never refused: its reason must not say so."""
    rows = [draft_row(f"{state}") for state in ("deferred", "planned")]
    put(office.book, *(version(DRAFT, row, row["business_id"], code="new") for row in rows))
    assert told(office.plan(DRAFT, rows)) == {
        "deferred": ("planned", "waited"),
        "planned": ("planned", "new"),
    }


def test_a_draft_that_kiva_lists_and_this_ledger_did_not_post_is_already_there(
    office: Office,
) -> None:
    rows = [draft_row("A"), blocked(draft_row("B")), held(draft_row("C")), draft_row("G", "M1", "M2"),
            draft_row("H", "M3", "M4"), draft_row("X"), draft_row("Y")]  # fmt: skip
    put(office.book, version(DRAFT, draft_row("X"), "planned"),
        version(DRAFT, draft_row("Y"), "rejected"))  # fmt: skip
    listed = pd.concat(
        [kiva_loans(" a", status="ended"), kiva_loans("B", "Ｃ", status="a new one"),
         kiva_loans("m2", "H", "X", "Y", "", "elsewhere")]
    )  # fmt: skip
    plan = office.apply(DRAFT, rows, listed=listed)
    assert {row["decision"] for row in plan.values()} == {"already_at_kiva"}
    assert plan["X"]["write"] == "update"
    assert nothing_to_write(office.plan(DRAFT, rows, listed=listed))


def test_a_loan_at_kiva_does_not_stop_its_journal(office: Office) -> None:
    plan = office.plan(JOURNAL, [journal_row("L1")], listed=kiva_loans("L1", "L1/1"))
    assert only(plan)["decision"] == "planned"


def test_a_member_of_a_draft_of_another_month_holds_the_second_one(office: Office) -> None:
    claims = {"accepted", "uncertain", "in_flight", "planned", "deferred", "already_at_kiva"}
    for state in LEDGER_STATES:
        group = draft_row(f"G-{state}", f"{state}-1", f"{state}-2")
        put(office.book, version(DRAFT, group, state, month=SEPTEMBER))
    plan = office.plan(
        DRAFT, [draft_row(f"H-{state}", f" {state.upper()}-2", f"{state}-3") for state in LEDGER_STATES]
    )  # fmt: skip
    assert {key for key, row in plan.items() if row["reason_code"] == "member_in_other_draft"} == {
        f"H-{state}" for state in claims
    }


def test_two_new_drafts_with_one_member_are_both_held_however_far_apart(office: Office) -> None:
    rows = [draft_row("A", "L1", "L2"), *(draft_row(f"B{n}") for n in range(8)),
            draft_row("Z", "L2", "L3")]  # fmt: skip
    for _ in range(2):
        plan = office.apply(DRAFT, rows, chunk_rows=3)
        assert [key for key, row in plan.items() if row["decision"] == "held"] == ["A", "Z"]


def test_a_member_who_moved_from_one_planned_draft_to_another_holds_neither(office: Office) -> None:
    office.apply(DRAFT, [draft_row("A", "L1", "L2"), draft_row("B", "L3", "L4")])
    plan = office.plan(DRAFT, [draft_row("A", "L1", "L5"), draft_row("B", "L2", "L3", "L4")])
    assert {row["decision"] for row in plan.values()} == {"planned"}


def test_a_loan_may_have_many_journals(office: Office) -> None:
    plan = office.plan(JOURNAL, [journal_row("L1", "1"), journal_row("L1", "2")])
    assert {row["decision"] for row in plan.values()} == {"planned"}


@CREATES
def test_another_months_rows_and_another_kinds_are_not_this_ones(
    office: Office, kind: Any, ways: As
) -> None:
    put(
        office.book,
        version(kind, ways["same"]("L1"), "accepted", month=SEPTEMBER),
        version(REPAYMENT, report_row("L2"), "uncertain", month=OCTOBER),
    )
    assert list(by_way(office.plan(kind, [ways["same"]("L2")], month=OCTOBER), "decision")) == [
        "L2"
    ]


# -- reports: set, while the month is open -----------------------------------------------------


def test_a_first_figure_is_planned_and_zero_is_one(office: Office) -> None:
    plan = office.plan(REPAYMENT, [report_row("L1"), report_row("L2", 0)])
    assert set(by_way(plan, "decision", "reason_code", "write").values()) == {
        ("planned", "new", "insert")
    }


def test_a_first_figure_without_a_baseline_waits_for_a_person(office: Office) -> None:
    """But for a loan that this ledger itself posted, which was never reported before."""
    put(office.book, version(DRAFT, draft_row("L2"), "accepted", month=AUGUST))
    plan = office.plan(REPAYMENT, [report_row("L1"), report_row("L2")], baselines=False)
    assert told(plan) == {
        "L1": ("held", "first_report_without_baseline"),
        "L2": ("planned", "new"),
    }


@pytest.mark.parametrize("replace", [{}, REPLACE], ids=["never again", "may go again"])
@pytest.mark.parametrize(
    "day", [DAY_OPEN, DAY_CLOSED, DAY_NOT_YET], ids=["open", "closed", "not yet"]
)
def test_a_figure_under_way_or_in_doubt_stays_so_whatever_the_mis_says(
    office: Office, day: date, replace: Any
) -> None:
    """But for one: the same good figure, in the open month, once the partner said that it may."""
    case = Case(office, REPAYMENT, REPORT_AS, ["in_flight", "uncertain"])
    plan = office.on(day).with_settings(**replace).plan(REPAYMENT, case.rows)
    assert len(plan) == 2 * len(REPORT_AS)
    for key, said in by_way(plan, "decision", "reason_code", "write", "version").items():
        if key == "uncertain-same" and replace and day == DAY_OPEN:
            assert said == ("planned", "resend_same", "update", 1)
        else:
            assert said == (key.split("-")[0], "still_uncertain", "", 1)


def test_what_was_to_go_again_and_did_not_is_in_doubt_when_the_permission_is_taken_back(
    office: Office,
) -> None:
    case = Case(office, REPAYMENT, REPORT_AS, ["planned"], code="resend_same")
    plan = office.apply(REPAYMENT, case.rows)
    assert set(by_way(plan, "decision", "write").values()) == {("uncertain", "update")}
    assert nothing_to_write(office.plan(REPAYMENT, case.rows))


def test_what_was_sent_is_unchanged_or_changed_in_the_open_month(office: Office) -> None:
    case = Case(office, REPAYMENT, REPORT_AS, ["accepted"])
    plan = office.plan(REPAYMENT, case.rows)
    assert by_way(plan, "decision", "reason_code", "write", "version") == {
        "accepted-same": ("unchanged", "same", "", 1),
        "accepted-changed": ("planned", "changed", "insert", 2),
        "accepted-blocked": ("blocked", "amount_zero", "insert", 2),
        "accepted-held": ("held", "price_differs", "insert", 2),
        "accepted-late": ("unchanged", "same", "", 1),
        "accepted-missing": ("missing", "not_in_mis", "insert", 2),
        "accepted-gone": ("not_expected", "no_longer_expected", "", 1),
    }
    assert "100.00" in detail(plan["accepted-changed"])
    assert "150.00" in detail(plan["accepted-changed"])


def test_a_difference_of_a_closed_month_is_carried_forward_and_said_once(office: Office) -> None:
    case = Case(office, REPAYMENT, REPORT_AS, ["accepted"])
    closed = office.on(DAY_CLOSED)
    plan = closed.apply(REPAYMENT, case.rows)
    assert by_way(plan, "decision", "reason_code") == {
        "accepted-same": ("unchanged", "same"),
        "accepted-changed": ("carried_forward", "month_closed"),
        "accepted-blocked": ("blocked", "amount_zero"),
        "accepted-held": ("carried_forward", "month_closed"),
        "accepted-late": ("unchanged", "same"),
        "accepted-missing": ("missing", "not_in_mis"),
        "accepted-gone": ("not_expected", "no_longer_expected"),
    }
    assert "100.00" in detail(plan["accepted-changed"])
    assert "150.00" in detail(plan["accepted-changed"])
    assert nothing_to_write(closed.plan(REPAYMENT, case.rows))


@pytest.mark.parametrize("day", [DAY_CLOSED, DAY_NOT_YET], ids=["closed", "not yet"])
def test_nothing_is_planned_in_a_month_that_is_not_open(office: Office, day: date) -> None:
    case = Case(office, REPAYMENT, REPORT_AS, LEDGER_STATES)
    new = [row_of(f"new-{way}") for way, row_of in REPORT_AS.items() if way != "gone"]
    rows = sorted([*case.rows, *filter(None, new)], key=lambda row: row["business_id"])
    plan = office.on(day).apply(REPAYMENT, rows)
    assert "planned" not in {row["decision"] for row in plan.values()}
    assert len(plan) == len(LEDGER_STATES) * len(REPORT_AS) + len(new)
    assert nothing_to_write({key: row for key, row in plan.items() if key.startswith("new")})
    assert nothing_to_write(office.on(day).plan(REPAYMENT, rows))


def test_an_older_figure_never_goes_after_a_newer_one_that_kiva_may_have(office: Office) -> None:
    for state in LEDGER_STATES:
        put(office.book, version(REPAYMENT, report_row(state, 300_00), state, month=OCTOBER))
    rows = [report_row(state, 200_00) for state in sorted(LEDGER_STATES)]
    plan = told(office.plan(REPAYMENT, rows))
    stopped = {key for key, said in plan.items() if said == ("carried_forward", "newer_sent")}
    assert stopped == {"accepted", "uncertain", "in_flight"}
    assert {plan[key] for key in plan.keys() - stopped} == {("planned", "new")}


def test_what_was_never_sent_follows_the_mis(office: Office) -> None:
    case = Case(office, REPAYMENT, REPORT_AS, UNSENT)
    plan = office.apply(REPAYMENT, case.rows)
    decisions = {"same": "planned", "changed": "planned", "gone": "not_expected",
                 "blocked": "blocked", "held": "held", "late": "held", "missing": "missing"}  # fmt: skip
    for key, (decision, number) in by_way(plan, "decision", "version").items():
        assert (decision, number) == (decisions[key.split("-")[1]], 1), key
    again = office.plan(REPAYMENT, case.rows)
    assert {row["decision"] for row in again.values() if row["write"]} == {"planned"}


def test_what_is_missing_is_never_planned_and_never_a_zero(office: Office) -> None:
    states = [*UNSENT, "accepted", "rejected", "withdrawn"]
    case = Case(office, REPAYMENT, {"same": report_row, "missing": missing}, states)
    rows = [missing(key) for key in sorted(case.listed)]
    plan = office.apply(REPAYMENT, [*rows, missing("z")])
    assert {row["decision"] for row in plan.values()} == {"missing"}
    assert all(pd.isna(row["amount"]) and row["payload_hash"] == "" for row in plan.values())


def test_a_refused_figure_goes_again_the_next_day_and_a_corrected_one_at_once(
    office: Office,
) -> None:
    now, old = "2999-01-01T00:00:00.000000Z", "2026-10-01T00:00:00.000000Z"
    put(
        office.book,
        version(REPAYMENT, report_row("corrected"), "rejected", updated_at=now),
        version(REPAYMENT, report_row("old"), "rejected", updated_at=old),
        version(REPAYMENT, report_row("today"), "rejected", updated_at=now),
    )
    plan = office.plan(
        REPAYMENT, [report_row("corrected", 120_00), report_row("old"), report_row("today")]
    )
    assert by_way(plan, "decision", "reason_code", "write") == {
        "corrected": ("planned", "new", "insert"),
        "old": ("planned", "new", "insert"),
        "today": ("rejected", "refused_today", ""),
    }


def test_a_figure_below_the_last_one_that_kiva_may_have_is_held(office: Office) -> None:
    states = sorted({"accepted", "uncertain", "in_flight", "held", "rejected"})
    for month in (AUGUST, Month(2025, 12)):
        for state in states:
            row = report_row(f"{month}-{state}", 300_00)
            put(office.book, version(REPAYMENT, row, state, month=month))
    put(office.book, version(REPAYMENT, report_row("this", 300_00), "accepted"))
    rows = [report_row(f"{m}-{s}", 299_99) for m in ("2025-12", "2026-08") for s in states]
    rows += [report_row("this", 299_99)]
    plan = office.apply(REPAYMENT, rows)
    held_ones = {key for key, said in told(plan).items() if said == ("held", "lower_than_sent")}
    assert held_ones == {"this"} | {
        f"{m}-{s}" for m in ("2025-12", "2026-08") for s in ("accepted", "uncertain", "in_flight")
    }
    assert "300.00" in detail(plan["this"])
    assert "299.99" in detail(plan["this"])
    again = office.plan(REPAYMENT, rows)
    assert nothing_to_write({key: again[key] for key in held_ones})


def test_the_newest_version_and_month_is_the_one_compared_with(office: Office) -> None:
    put(
        office.book,
        version(REPAYMENT, report_row("month", 300_00), "accepted", month=Month(2025, 12)),
        version(REPAYMENT, report_row("month", 100_00), "accepted", month=AUGUST),
        version(REPAYMENT, report_row("version", 300_00), "accepted", month=AUGUST),
        version(REPAYMENT, report_row("version", 100_00), "accepted", month=AUGUST, number=2),
    )
    plan = office.plan(REPAYMENT, [report_row("month", 200_00), report_row("version", 200_00)])
    assert {row["decision"] for row in plan.values()} == {"planned"}


def test_a_jump_beyond_the_setting_is_held(office: Office) -> None:
    figures = {"a": 1150_00, "b": 1150_01, "c": 3500_00, "d": 100_00}
    for key in figures:
        put(office.book, version(REPAYMENT, report_row(key, 100_00), "accepted", month=AUGUST))
    careful = office.with_settings(repayments={"hold_jump_above": 0.3})
    plan = careful.plan(REPAYMENT, [report_row(key, repaid) for key, repaid in figures.items()])
    assert by_way(plan, "decision") == {"a": "planned", "b": "held", "c": "held", "d": "planned"}


def test_every_range_of_ids_is_planned_in_its_place(office: Office) -> None:
    """Ids that only the ledger knows lie before, between and behind the chunks of the frame."""
    known = [f"{letter}{n}" for letter in "AKMZ" for n in range(3)] + ["🐘"]
    put(office.book, *(version(REPAYMENT, report_row(k), "accepted") for k in known))
    wanted = [f"L{n}" for n in range(7)] + ["K1", "Я", "香港", "😀"]
    plan = office.plan(REPAYMENT, [report_row(w) for w in wanted], chunk_rows=3)
    assert list(plan) == sorted({*known, *wanted})
    decided = by_way(plan, "decision")
    gone = {key for key, said in decided.items() if said == "not_expected"}
    assert gone == set(known) - {"K1"}
    assert decided["K1"] == "unchanged"
    assert {decided[w] for w in wanted if w != "K1"} == {"planned"}


def test_an_empty_month_plans_what_the_ledger_knows(office: Office) -> None:
    assert office.plan(REPAYMENT, []) == {}
    put(office.book, version(REPAYMENT, report_row("L1"), "held"))
    assert told(office.plan(REPAYMENT, [])) == {"L1": ("not_expected", "no_longer_expected")}


def test_rows_that_come_twice_are_a_fault(office: Office) -> None:
    with pytest.raises(ValueError, match="sorted by business_id and unique"):
        office.plan(REPAYMENT, [report_row("L1"), report_row("L1", 200_00)], baselines=False)
