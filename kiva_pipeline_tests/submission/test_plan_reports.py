"""What the planner decides of a report, whose figures are set while its month is open."""

from datetime import date
from typing import Any

import pandas as pd
import pytest

from kiva_pipeline.periods import Month
from kiva_pipeline_tests.submission.books import (
    AUGUST,
    DRAFT,
    OCTOBER,
    REPAYMENT,
    Office,
    draft_row,
    missing,
    put,
    report_row,
    told,
    version,
)
from kiva_pipeline_tests.submission.cases import (
    DAY_CLOSED,
    DAY_NOT_YET,
    DAY_OPEN,
    LEDGER_STATES,
    REPLACE,
    REPORT_AS,
    UNSENT,
    Case,
    by_way,
    detail,
    nothing_to_write,
)


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
