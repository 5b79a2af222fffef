"""Time goes by in a demo MIS: a month is added, and the past is corrected.

What must not break: both are one transaction of the file, and follow from its content alone.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from random import Random

from kiva_pipeline.money import to_minor
from kiva_pipeline.periods import Month
from kiva_pipeline.sandbox.demo_mis import texts
from kiva_pipeline.sandbox.demo_mis.corrections import Correction, Corrector
from kiva_pipeline.sandbox.demo_mis.days import DemoCalendar
from kiva_pipeline.sandbox.demo_mis.facts import Memory
from kiva_pipeline.sandbox.demo_mis.mis_file import MisWriter, opened
from kiva_pipeline.sandbox.demo_mis.notes import a_day
from kiva_pipeline.sandbox.demo_mis.portfolio import Portfolio
from kiva_pipeline.sandbox.demo_mis.rows import Transaction

SMALL_CORRECTIONS = (
    Correction.REPAYMENT_REVERSED,
    Correction.REPAYMENT_BACK_DATED,
    Correction.NEW_LOAN,
    Correction.LOAN_FIXED,
    Correction.NOTE_FIXED,
)
_ARREARS_THAT_STAY = 3  # whoever owes so many instalments no longer pays
_SKIPS_SHARE = 0.08
_NOTE_SHARE = 0.05

Corrected = dict[Correction, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class AdvanceFacts:
    """What a month brought, as loan ids (a group's members each with their own).

    Attributes:
        today: The new practice day.
        new_loans: Entered in the month.
        disbursed: Approved before, disbursed in the month.
        repaid: Have a new repayment.
        noted: Have a new note for lenders.
        corrected: What was corrected in the past, and on which loans; every kind is listed.
    """

    today: date
    new_loans: tuple[str, ...]
    disbursed: tuple[str, ...]
    repaid: tuple[str, ...]
    noted: tuple[str, ...]
    corrected: Corrected


def advance(path: Path, *, loans: int | None = None) -> AdvanceFacts:
    """Let a month go by: loans, disbursals, repayments and notes come, and the past is corrected.

    Args:
        path: The file that ``create_demo_mis`` made.
        loans: How many loans are entered; by default a twelfth of those that are there.

    Returns:
        What changed. The new practice day is the same day of the next month, or its last.
    """
    with opened(path) as connection:
        before = Memory.of(connection)
        month = Month.of(before.today).plus(1)
        today = date(month.year, month.number, min(before.today.day, month.last_day.day))
        calendar, portfolio, rng = _resumed(before, today)
        disbursed = _disburse(connection, today)
        repaid = _repay(connection, before.today, today, rng)
        noted = _note(connection, before.today, today, rng)
        if loans is None:
            loans = connection.execute("SELECT count(*) FROM loans").fetchone()[0] // 12
        writer = MisWriter(connection)
        new_loans = []
        for _ in range(loans):
            unit = portfolio.individual(calendar.draft_day(rng))
            writer.unit(unit)
            new_loans.append(unit.kiva_loan_id)
        writer.flush()
        corrected = _correct(connection, calendar, portfolio, rng, list(Correction))
        _keep(connection, before, today, portfolio)
    return AdvanceFacts(today, tuple(new_loans), disbursed, repaid, noted, corrected)


def correct_past(path: Path, corrections: Sequence[Correction] = SMALL_CORRECTIONS) -> Corrected:
    """Correct a few things, on the same practice day.

    A reversed repayment lowers a figure that may have been sent: the pipeline then holds it until
    a person approves.

    Args:
        path: The file that ``create_demo_mis`` made.
        corrections: What to correct, once each.

    Returns:
        The ids of the loans that each correction was made on; none where the MIS has no such loan.
    """
    with opened(path) as connection:
        before = Memory.of(connection)
        calendar, portfolio, rng = _resumed(before, before.today)
        corrected = _correct(connection, calendar, portfolio, rng, corrections)
        _keep(connection, before, before.today, portfolio)
    return corrected


def _resumed(memory: Memory, today: date) -> tuple[DemoCalendar, Portfolio, Random]:
    calendar = DemoCalendar(today, memory.first_month)
    rng = Random(f"{memory.seed} {memory.changes}")  # noqa: S311  no secret
    portfolio = Portfolio(calendar, rng, next_pk=memory.next_pk, next_group=memory.next_group)
    return calendar, portfolio, rng


def _keep(
    connection: sqlite3.Connection, before: Memory, today: date, portfolio: Portfolio
) -> None:
    replace(
        before,
        today=today,
        changes=before.changes + 1,
        next_pk=portfolio.next_pk,
        next_group=portfolio.next_group,
    ).keep(connection)


def _correct(
    connection: sqlite3.Connection,
    calendar: DemoCalendar,
    portfolio: Portfolio,
    rng: Random,
    corrections: Sequence[Correction],
) -> Corrected:
    corrector = Corrector(connection, calendar, portfolio, rng)
    made = {correction: corrector.make(correction) for correction in corrections}
    return {c: (loan_id,) if loan_id else () for c, loan_id in made.items()}


def _disburse(connection: sqlite3.Connection, today: date) -> tuple[str, ...]:
    due = connection.execute(
        "SELECT id, loan_id, principal, currency_digits, expected_disbursal_on FROM loans"
        " WHERE status = 'approved' AND date(expected_disbursal_on) <= ? ORDER BY id",
        [today.isoformat()],
    ).fetchall()
    writer, disbursed = MisWriter(connection), []
    for pk, loan_id, amount, digits, expected in due:
        minor, day = to_minor(amount, digits), date.fromisoformat(expected)
        if not minor or minor < 0:
            continue  # a teller can't pay out what is no amount
        connection.execute(
            "UPDATE loans SET status = 'active', disbursed_on = ? WHERE id = ?", [expected, pk]
        )
        writer.transactions(pk, [Transaction("disbursement", day, day, minor)])
        disbursed.append(loan_id)
    writer.flush()
    return tuple(disbursed)


def _repay(
    connection: sqlite3.Connection, before: date, today: date, rng: Random
) -> tuple[str, ...]:
    due = connection.execute(
        "SELECT l.id, l.loan_id, l.currency_digits, i.due_on, i.principal, (SELECT"
        " coalesce(sum(t.principal_minor), 0) FROM transactions t WHERE t.loan_pk = l.id AND"
        " t.is_reversed = 0 AND t.type IN ('repayment', 'down_payment'))"
        " FROM loans l JOIN instalments i ON i.loan_pk = l.id"
        " WHERE l.status = 'active' AND i.due_on <= ? ORDER BY l.id, i.number",
        [today.isoformat()],
    )
    payments = []
    for (pk, loan_id), rows in groupby(due, key=itemgetter(0, 1)):
        instalments = list(rows)
        amounts = [to_minor(row[4], row[2]) or 0 for row in instalments]
        owed = sum(amounts) - instalments[0][5]
        last_due = instalments[-1][3]
        skips = rng.random() < _SKIPS_SHARE
        if skips or owed <= 0 or owed > _ARREARS_THAT_STAY * max(amounts):
            continue
        day = max(date.fromisoformat(last_due), before + timedelta(days=1))
        payments.append((pk, loan_id, Transaction("repayment", day, day, owed)))
    writer = MisWriter(connection)
    for pk, _, payment in payments:
        writer.transactions(pk, [payment])
    writer.flush()
    return tuple(loan_id for _, loan_id, _ in payments)


def _note(
    connection: sqlite3.Connection, before: date, today: date, rng: Random
) -> tuple[str, ...]:
    paying = connection.execute(
        "SELECT l.id, l.loan_id, c.first_name FROM loans l"
        " JOIN demo_kiva_loans k ON k.internal_loan_id = l.loan_id"
        " JOIN clients c ON c.client_id = l.client_id"
        " WHERE k.status = 'payingBack' AND l.status = 'active' ORDER BY l.id"
    ).fetchall()
    writer, noted = MisWriter(connection), []
    for pk, loan_id, first_name in paying:
        if rng.random() >= _NOTE_SHARE:
            continue
        day = a_day(rng, before, today).isoformat()
        subject, body = texts.journal(rng, first_name)
        writer.note(pk, for_kiva=True, written_on=day, entered_on=day, subject=subject, body=body)
        noted.append(loan_id)
    writer.flush()
    return tuple(noted)
