"""The guards on a month's figures: what waits for a person, and what their approval lets go."""

from collections.abc import Mapping
from datetime import date, datetime
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from kiva_pipeline.periods import Month
from kiva_pipeline.settings import MassChange
from kiva_pipeline.submission.acts import Person
from kiva_pipeline.submission.approve import approve, waiting
from kiva_pipeline.submission.held import held_table, table_digest, what_approval_does
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.report_guards import guard_facts, mass_change
from kiva_pipeline.submission.states import LIFTED_BY_APPROVAL, State
from kiva_pipeline.submission.tables import approval, report_month
from kiva_pipeline_tests.submission.books import (
    AUGUST,
    DRAFT,
    REPAYMENT,
    SEPTEMBER,
    Office,
    Row,
    decided,
    draft_row,
    held,
    missing,
    put,
    reason_codes,
    report_row,
    settings_for,
    states,
    told,
    version,
    words,
)
from kiva_pipeline_tests.submission.desk import Desk
from kiva_pipeline_tests.submission.kiva import LoopbackKiva, Post, Reply, accept


@pytest.fixture
def office(book: Ledger, tmp_path: Path) -> Office:
    """A new ledger of a partner who left the guards as they are."""
    return Office(book, settings_for(), tmp_path / "spool").with_settings(
        repayments={"mass_change": MassChange()}
    )


@pytest.fixture
def careful(desk: Desk) -> Desk:
    """A desk of such a partner."""
    return desk.having(repayments={"batch_size": 1, "mass_change": {"at_least": 5}})


def sent_in_august(office: Office, figures: Mapping[str, int]) -> None:
    for loan_id, repaid in figures.items():
        put(office.book, version(REPAYMENT, report_row(loan_id, repaid), "accepted", month=AUGUST))


def approved(book: Ledger, *rows: Row, month: Month = SEPTEMBER) -> None:
    """A person approved these figures, or (without one) that there is none."""
    with book.writing() as connection:
        connection.execute(
            approval.insert(),
            [
                {
                    "at": "2026-10-06T08:00:00.000000Z", "who": "Ada", "why": "looked",
                    "kind": "repayment", "period": str(month),
                    "business_id": row["business_id"], "payload_hash": row["payload_hash"],
                }
                for row in rows
            ],
        )  # fmt: skip


def plan(office: Office, rows: list[Row]) -> dict[str, tuple[str, str]]:
    return told(office.plan(REPAYMENT, rows, baselines=False))


# --- a loan's first report


def test_the_first_figure_of_a_loan_that_was_adopted_or_is_unknown_waits(office: Office) -> None:
    put(office.book, version(DRAFT, draft_row("adopted"), "accepted", code="adopted"))
    made = plan(office, [report_row("adopted", 0), report_row("unknown")])
    assert set(made.values()) == {("held", "first_report_without_baseline")}


@pytest.mark.parametrize(
    "code", ["accepted", "seen_at_kiva", "resolved_arrived", "adopted_waiting"]
)
def test_the_first_figure_of_a_loan_that_came_to_kiva_with_this_ledger_goes(
    office: Office, code: str
) -> None:
    put(office.book, version(DRAFT, draft_row("L1"), "accepted", code=code))
    assert plan(office, [report_row("L1")]) == {"L1": ("planned", "new")}


@pytest.mark.parametrize("state", ["planned", "uncertain", "rejected", "withdrawn", "held"])
def test_a_draft_that_kiva_has_not_accepted_is_no_baseline(office: Office, state: str) -> None:
    put(office.book, version(DRAFT, draft_row("L1"), state))
    assert plan(office, [report_row("L1")])["L1"] == ("held", "first_report_without_baseline")


def test_a_loan_that_was_posted_from_here_rises_from_nothing(office: Office) -> None:
    put(office.book, version(DRAFT, draft_row("L1"), "accepted", code="accepted"))
    careful = office.with_settings(repayments={"hold_jump_above": 0.3})
    assert plan(careful, [report_row("L1", 1050_00)])["L1"] == ("planned", "new")
    made = careful.plan(REPAYMENT, [report_row("L1", 1050_01)], baselines=False)["L1"]
    assert (made["decision"], made["reason_code"]) == ("held", "jump")
    assert "never reported" in made["reasons"]


def test_an_adopted_baseline_lets_the_first_figure_go_and_an_equal_one_is_there(
    office: Office,
) -> None:
    baseline = {"payload_hash": "", "amount": 100_00}
    for loan_id in ("rises", "falls"):
        row = report_row(loan_id) | baseline
        put(office.book, version(REPAYMENT, row, "accepted", month=AUGUST, code="adopted"))
    row = report_row("same") | baseline
    put(office.book, version(REPAYMENT, row, "accepted", code="adopted"))
    made = plan(office, [report_row("rises", 100_01), report_row("falls", 99_99),
                         report_row("same", 100_00)])  # fmt: skip
    assert made == {
        "rises": ("planned", "new"), "falls": ("held", "lower_than_sent"),
        "same": ("unchanged", "same"),
    }  # fmt: skip


# --- a figure against the newest one


def test_figures_are_compared_as_money_where_the_number_of_decimals_changed(
    office: Office,
) -> None:
    old = report_row("L1", 100_000, currency_digits=3, disbursed=3500_000)
    put(office.book, version(REPAYMENT, old, "accepted", month=AUGUST))
    assert plan(office, [report_row("L1", 99_99)])["L1"] == ("held", "lower_than_sent")
    assert plan(office, [report_row("L1", 100_00)])["L1"] == ("planned", "new")


def test_a_guard_names_both_figures_and_the_month_of_the_old_one(office: Office) -> None:
    sent_in_august(office, {"L1": 300_00})
    made = office.plan(REPAYMENT, [report_row("L1", 299_99)], baselines=False)["L1"]
    assert "amount 300.00 (2026-08) → 299.99 TJS" in made["reasons"]


AMOUNTS, DIGITS = st.integers(0, 10**14), st.integers(0, 4)
FIGURES = st.lists(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS, DIGITS, DIGITS), min_size=1, max_size=5)


@given(FIGURES, st.integers(1, 10_000))
def test_falls_and_jumps_are_exact_whatever_the_decimals(
    loans: list[tuple[int, int, int, int, int]], parts: int
) -> None:
    columns = ["amount", "newest_amount", "disbursed", "currency_digits", "newest_digits"]
    rows = pd.DataFrame(loans, columns=columns).astype("Int64")
    facts = guard_facts(rows, jump_above=parts / 10_000, leap_above=1.0)
    for at, (amount, newest, disbursed, digits, newest_digits) in enumerate(loans):
        new, principal = Fraction(amount, 10**digits), Fraction(disbursed, 10**digits)
        old = Fraction(newest, 10**newest_digits)
        assert facts.lower[at] == (new < old)
        assert facts.jump[at] == (new - old > Fraction(parts, 10_000) * principal)
        assert facts.leap[at] == (new - old > principal)
    assert not facts.first.any()


# --- what an approval lets go


def test_an_approved_figure_goes_and_another_one_is_held_again(office: Office) -> None:
    sent_in_august(office, {"falls": 300_00, "jumps": 0})
    careful = office.with_settings(repayments={"hold_jump_above": 0.3})
    rows = [report_row("falls", 200_00), report_row("jumps", 2000_00), report_row("first")]
    waits = {
        "falls": ("held", "lower_than_sent"), "jumps": ("held", "jump"),
        "first": ("held", "first_report_without_baseline"),
    }  # fmt: skip
    assert plan(careful, rows) == waits
    approved(office.book, *rows)
    assert plan(careful, rows) == dict.fromkeys(waits, ("planned", "approved"))
    others = [report_row("falls", 200_01), report_row("jumps", 2000_01), report_row("first", 1)]
    assert plan(careful, others) == waits


def test_an_approval_is_of_one_month_and_one_loan(office: Office) -> None:
    sent_in_august(office, {"L1": 300_00, "L2": 300_00})
    falls, other = report_row("L1", 200_00), report_row("L2", 200_00)
    approved(office.book, falls, month=AUGUST)
    approved(office.book, other | {"payload_hash": falls["payload_hash"]})
    approved(office.book, falls | {"business_id": "L2"})
    assert {d for d, _ in plan(office, [falls, other]).values()} == {"held"}


@pytest.mark.parametrize(
    "code",
    ["other_currency", "other_client", "other_principal", "repaid_above_principal",
     "repaid_negative", "other_borrower_count", "recoveries", "unknown_transactions",
     "mis_loan_asked_twice", "price_unreadable"],
)  # fmt: skip
def test_no_approval_lets_go_what_a_rule_holds(office: Office, code: str) -> None:
    row = held(report_row("L1"), code)
    approved(office.book, row)
    assert plan(office, [row])["L1"] == ("held", code)
    assert code not in LIFTED_BY_APPROVAL


def test_an_approval_never_makes_a_figure_of_what_is_missing(office: Office) -> None:
    approved(office.book, missing("L1"))
    assert plan(office, [missing("L1")])["L1"] == ("missing", "not_in_mis")


# --- a month as a whole


def months_rows(falling: int, of: int = 100, office: Office | None = None) -> list[Row]:
    """A month of which some rows fall; all have a figure of August when there is an office."""
    ids = [f"L{n:03}" for n in range(of)]
    if office:
        sent_in_august(office, dict.fromkeys(ids, 100_00))
    return [report_row(i, 99_99 if n < falling else 101_00) for n, i in enumerate(ids)]


def test_a_month_with_few_strange_rows_holds_those_and_sends_the_others(office: Office) -> None:
    made = plan(office, months_rows(5, office=office))
    assert list(made.values()).count(("held", "lower_than_sent")) == 5
    assert list(made.values()).count(("planned", "new")) == 95


def test_a_month_with_many_strange_rows_sends_nothing_and_says_why(office: Office) -> None:
    made = office.plan(REPAYMENT, months_rows(6, office=office), baselines=False)
    assert list(told(made).values()).count(("held", "lower_than_sent")) == 6
    assert list(told(made).values()).count(("held", "month_held")) == 94
    assert "6 of 100 loans: 6 lower than sent before" in made["L099"]["reasons"]


def test_missing_first_falling_and_leaping_rows_count_together(office: Office) -> None:
    rows = months_rows(2, office=office)
    rows[10:12] = [missing("L010"), missing("L011")]
    rows[20] = report_row("L020", 1850_01)  # more than half of the principal at once
    rows.append(report_row("new"))
    made = office.plan(REPAYMENT, rows, baselines=False)
    assert made["L099"]["reason_code"] == "month_held"
    assert (
        "6 of 101 loans: 2 missing, 1 without an earlier figure, 2 lower than sent before,"
        " 1 rose by much"
    ) in made["L099"]["reasons"]
    assert made["L020"]["reason_code"] == "month_held"
    assert made["L010"]["decision"] == "missing"


def test_the_shares_are_settings(office: Office) -> None:
    rows = months_rows(6, office=office)
    lax = office.settings.repayments.mass_change.model_copy(update={"share": 0.06})
    few = office.settings.repayments.mass_change.model_copy(update={"at_least": 7})
    for terms in (lax, few):
        made = plan(office.with_settings(repayments={"mass_change": terms}), rows)
        assert list(made.values()).count(("planned", "new")) == 94


@pytest.mark.parametrize(
    ("counts", "expected", "share", "at_least", "held"),
    [
        ({"lower": 29}, 100, 0.29, 5, False),  # a float of 0.29 · 100 is below 29
        ({"lower": 30}, 100, 0.29, 5, True),
        ({"lower": 4}, 4, 0.05, 5, False),
        ({"lower": 5}, 5, 0.05, 5, True),
        ({"": 95, "missing": 5}, 100, 0.05, 5, False),
        ({}, 0, 0.05, 1, False),
    ],
)
def test_a_mass_is_more_than_the_share_and_no_fewer_than_the_least(
    counts: dict[str, int], expected: int, share: float, at_least: int, held: bool
) -> None:
    assert bool(mass_change(counts, expected, share=share, at_least=at_least)) is held


def test_in_doubt_is_neither_sent_again_nor_forgotten_while_the_month_waits(
    office: Office,
) -> None:
    rows = months_rows(6, office=office)
    lost = rows[50]
    put(office.book, version(REPAYMENT, lost, "uncertain"))
    again = office.with_settings(repayments={"repayments_replace": True})
    made = again.plan(REPAYMENT, rows, baselines=False)[lost["business_id"]]
    assert (made["decision"], made["write"]) == ("uncertain", "")
    rows = months_rows(0)
    rows[50] = lost
    assert plan(again, rows)[lost["business_id"]] == ("planned", "resend_same")


def test_a_month_of_many_chunks_is_judged_as_a_whole(office: Office) -> None:
    """All that is strange lies in the last chunk, and the first ones wait for it."""
    rows = list(reversed(months_rows(6, office=office)))
    rows = [r | {"business_id": f"L{n:03}", "payload_hash": f"{n:x}"} for n, r in enumerate(rows)]
    made = told(office.plan(REPAYMENT, rows, baselines=False, chunk_rows=7))
    assert made["L000"] == ("held", "month_held")


def test_what_a_person_has_approved_of_a_month_goes_and_no_longer_counts(office: Office) -> None:
    rows = months_rows(6, office=office)
    rows[10] = missing("L010")
    approved(office.book, *rows[:3], rows[20])
    made = plan(office, rows)  # four strange rows are left: no mass
    assert [made[f"L{n:03}"] for n in (0, 3, 10, 20, 99)] == [
        ("planned", "approved"), ("held", "lower_than_sent"), ("missing", "not_in_mis"),
        ("planned", "approved"), ("planned", "new"),
    ]  # fmt: skip
    rows[30:40] = [missing(f"L{n:03}") for n in range(30, 40)]
    made = plan(office, rows)  # many again: but what was approved stands
    assert [made[f"L{n:03}"][1] for n in (0, 20, 99)] == ["approved", "approved", "month_held"]
    approved(office.book, *rows[30:40])
    made = plan(office, rows)
    assert [made[f"L{n:03}"] for n in (30, 99)] == [("missing", "not_in_mis"), ("planned", "new")]


def test_only_what_may_go_counts_against_its_month(office: Office) -> None:
    """Refused, unreadable, in doubt, or as it was sent: nobody could approve those."""
    rows = months_rows(0, office=office)
    for n in range(10):
        rows[n] = report_row(f"L{n:03}", 1) | {
            "state": "blocked", "reason_code": "x", "reasons": words("x"), "payload_hash": "",
        }  # fmt: skip
    for n in range(10, 20):
        rows[n] = report_row(f"L{n:03}", 3000_00)
        put(office.book, version(REPAYMENT, rows[n], "rejected",
                                 updated_at="2999-10-06T08:00:00.000000Z"))  # fmt: skip
    for n in range(20, 30):
        rows[n] = report_row(f"L{n:03}", 3000_00)
        put(office.book, version(REPAYMENT, rows[n], "accepted"))
    assert ("planned", "new") in plan(office, rows).values()


def test_a_month_that_is_not_open_is_not_held_but_carried_forward(office: Office) -> None:
    closed = office.on(date(2026, 10, 16))
    made = plan(closed, months_rows(50, office=office))
    assert set(made.values()) == {("carried_forward", "month_closed")}


# --- the table of a month


def test_the_table_shows_what_waits_beside_what_kiva_has(office: Office) -> None:
    sent_in_august(office, {"falls": 300_00, "gone": 250_00, "fine": 1})
    rows = [
        report_row("falls", 200_00), missing("gone"), report_row("fine"), report_row("new", 5),
        held(report_row("other"), "other_currency"),
        report_row("undone", 0) | {"state": "needs_person", "reason_code": "disbursal_undone",
                                   "reasons": words("disbursal_undone"), "payload_hash": ""},
    ]  # fmt: skip
    office.apply(REPAYMENT, rows, baselines=False)
    with office.book.reading() as connection:
        table = held_table(connection, SEPTEMBER)
    shown = table.set_index("loan_id")[["state", "guard", "last_month", "goes_if_approved"]]
    assert list(shown.itertuples(name=None)) == [
        ("falls", "held", "lower_than_sent", "2026-08", True),
        ("fine", "held", "month_held", "2026-08", True),
        ("gone", "missing", "not_in_mis", "2026-08", False),
        ("new", "held", "first_report_without_baseline", "", True),
        ("other", "held", "other_currency", "", False),
        ("undone", "needs_person", "disbursal_undone", "", False),
    ]
    assert table["last_amount"].fillna(-1).tolist() == [300_00, 1, 250_00, -1, -1, -1]
    assert table["amount"].fillna(-1).tolist() == [200_00, 100_00, -1, 5, 100_00, 0]
    said = [what_approval_does(row.state, row.guard) for row in table.itertuples()]
    assert [text.split()[0] for text in said] == ["goes", "goes", "stays", "goes", "stays", "stays"]


def test_the_digest_moves_with_the_loan_the_guard_the_figure_and_the_month() -> None:
    table = pd.DataFrame(
        {
            "month": "2026-09", "loan_id": ["a", "b"], "guard": ["jump", "not_in_mis"],
            "payload_hash": ["1", ""], "state": "held", "last_amount": 1,
        }
    )  # fmt: skip
    digest = table_digest(table)
    assert digest == table_digest(table.iloc[::-1].assign(last_amount=2, state="x"))
    for column, value in (("loan_id", "c"), ("guard", "x"), ("payload_hash", "2"), ("month", "m")):
        other = table.copy()
        other.loc[1, column] = value
        assert table_digest(other) != digest
    assert table_digest(table.iloc[:1]) != digest


def test_a_held_month_goes_once_a_person_approved_its_table_and_not_a_row_more(
    careful: Desk, kiva: LoopbackKiva
) -> None:
    """The whole way: run, look, approve, run; then a figure that moved waits again."""
    desk = careful
    ids = [f"L{n:02}" for n in range(40)]
    for loan_id in ids:
        row = report_row(loan_id, 100_00)
        put(desk.book, version(REPAYMENT, row, "accepted", month=AUGUST))
    rows = [report_row(i, 99_99 if n < 6 else 101_00) for n, i in enumerate(ids)]
    rows[6] = missing("L06")
    rows[7] = held(report_row("L07", 101_00), "other_currency")
    first = desk.run(REPAYMENT, rows, baselines=False)
    assert kiva.posts == []
    assert set(reason_codes(first).values()) == {
        "lower_than_sent", "month_held", "not_in_mis", "other_currency",
    }  # fmt: skip
    with desk.book.reading() as connection:
        digest = waiting(connection, SEPTEMBER).digest
    who = Person("Ada", "the write-offs of August were taken back")
    approve(desk.book, desk.settings, SEPTEMBER, who, table=digest)
    moved = [*rows[:5], report_row("L05", 98_00), *rows[6:]]
    result = desk.run(REPAYMENT, moved, baselines=False)
    decisions = decided(result)
    assert (decisions["L05"], decisions["L06"], decisions["L07"]) == ("held", "missing", "held")
    assert sorted(k for k, d in decisions.items() if d == "accepted") == [
        *ids[:5], *ids[8:],
    ]  # fmt: skip
    assert set(kiva.applied.values()) == {1}
    third = decided(desk.run(REPAYMENT, moved, baselines=False))
    assert set(third.values()) == {"unchanged", "held", "missing"}


# --- a month that is final, or not this ledger's turn


def test_a_difference_of_a_final_month_is_carried_forward_or_needs_a_person(
    office: Office,
) -> None:
    """It is carried forward if Kiva still expects the loan, else a person has to know."""
    for loan_id in ("stays", "left", "same"):
        put(office.book, version(REPAYMENT, report_row(loan_id, 100_00), "accepted"))
    closed = office.on(date(2026, 10, 16))
    rows = [
        report_row("stays", 90_00), report_row("left", 90_00, still_expected=False),
        report_row("same", 100_00, still_expected=False),
        report_row("never", 1, still_expected=False), report_row("late", 1),
    ]  # fmt: skip
    made = closed.plan(REPAYMENT, rows, baselines=False)
    assert told(made) == {
        "stays": ("carried_forward", "month_closed"),
        "left": ("needs_person", "month_closed_not_expected"),
        "same": ("unchanged", "same"),
        "never": ("needs_person", "month_closed_not_expected"),
        "late": ("carried_forward", "month_closed"),
    }
    assert "100.00 → 90.00" in made["left"]["reasons"]
    # A backfill leaves no trace of loans that were never reported in the month.
    assert {key: row["write"] for key, row in made.items()} == {
        "stays": "insert", "left": "insert", "same": "", "never": "", "late": "",
    }  # fmt: skip


def test_a_loan_that_left_while_the_month_is_open_is_not_expected(office: Office) -> None:
    put(office.book, version(REPAYMENT, report_row("held", 1), "held"))
    row = report_row("left", still_expected=False)
    made = office.plan(REPAYMENT, [row], baselines=False)
    assert told(made) == {
        "left": ("not_expected", "left_meanwhile"), "held": ("not_expected", "no_longer_expected"),
    }  # fmt: skip


def test_a_later_months_figure_keeps_an_older_one_back_even_where_a_lost_one_may_go_again(
    office: Office,
) -> None:
    row = report_row("L1", 100_00)
    put(office.book, version(REPAYMENT, row, "uncertain"),
        version(REPAYMENT, report_row("L1", 200_00), "accepted", month=Month(2026, 10)))  # fmt: skip
    again = office.with_settings(repayments={"repayments_replace": True})
    assert plan(again, [row])["L1"] == ("uncertain", "still_uncertain")


def test_a_month_that_a_person_closes_in_the_middle_of_a_run_is_not_posted_any_further(
    desk: Desk, kiva: LoopbackKiva
) -> None:
    rows = [report_row(f"L{n}") for n in range(4)]

    def close(served: LoopbackKiva, post: Post) -> Reply:
        if post.number == 2:
            with desk.book.writing() as connection:
                connection.execute(
                    report_month.insert().values(month="2026-09", closed_at="2026-10-06T09:00:00Z")
                )
        return accept(served, post)

    kiva.behave = close
    result = desk.run(REPAYMENT, rows)
    assert result.summary.stopped == "the month's report is not open any more"
    assert sorted(decided(result).values()) == ["accepted", "accepted", "deferred", "deferred"]
    assert sorted(decided(desk.run(REPAYMENT, rows)).values()) == [
        "carried_forward", "carried_forward", "unchanged", "unchanged",
    ]  # fmt: skip
    assert len(kiva.posts) == 2


def test_an_extended_month_is_posted_and_the_next_one_waits_for_it(
    desk: Desk, kiva: LoopbackKiva
) -> None:
    late = desk.having(calendar={"practice_today": date(2026, 11, 4)})
    with desk.book.writing() as connection:
        connection.execute(
            report_month.insert().values(month="2026-09", extended_until="2026-11-05")
        )
    october = [report_row("L1", 200_00, effective_on=datetime(2026, 10, 31))]
    waits = late.run(REPAYMENT, october, month=Month(2026, 10))
    assert reason_codes(waits) == {"L1": "month_not_open_yet"}
    assert decided(late.run(REPAYMENT, [report_row("L1")])) == {"L1": "accepted"}
    with desk.book.writing() as connection:
        connection.execute(sa.update(report_month).values(closed_at="2026-11-04T09:00:00Z"))
    assert decided(late.run(REPAYMENT, october, month=Month(2026, 10))) == {"L1": "accepted"}
    assert states(desk.book)["L1"] == State.ACCEPTED.value
    assert len(kiva.posts) == 2
