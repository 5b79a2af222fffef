"""What the planner decides of drafts and journals, which are created once; against a real ledger."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pandas as pd
import pytest

from kiva_pipeline.periods import Month
from kiva_pipeline.submission.acts import Person
from kiva_pipeline.submission.retry import retry
from kiva_pipeline_tests.submission.books import (
    DRAFT,
    JOURNAL,
    OCTOBER,
    REPAYMENT,
    SEPTEMBER,
    Office,
    blocked,
    draft_row,
    held,
    journal_row,
    kiva_loans,
    put,
    report_row,
    told,
    version,
)
from kiva_pipeline_tests.submission.cases import (
    CREATES,
    DRAFT_AS,
    LEDGER_STATES,
    UNSENT,
    As,
    Case,
    by_way,
    detail,
    nothing_to_write,
    only,
)


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
@pytest.mark.parametrize("meanwhile", ["blocked", "gone"])
def test_what_kiva_refused_is_not_forgotten_because_it_was_not_fit_to_go_in_between(
    office: Office, kind: Any, ways: As, meanwhile: str
) -> None:
    known = ways["same"]("L-1")
    put(office.book, version(kind, known, "rejected"))
    office.apply(kind, [ways["blocked"]("L-1")])
    office.apply(kind, [row for row in [ways[meanwhile]("L-1")] if row])
    back = only(office.apply(kind, [known]))
    assert (back["decision"], back["reason_code"]) == ("rejected", "refused_before")
    again = only(office.plan(kind, [known]))
    assert (again["decision"], again["write"]) == ("rejected", "")
    who = Person("Ada", "Kiva mended its list")
    retry(office.book, office.settings, who, ids=[known["business_id"]])
    assert told(office.plan(kind, [known])) == {known["business_id"]: ("planned", "retried")}


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
