"""Corrections of the past, as an MIS's staff make them: each changes one thing on one loan.

What must not break: a correction is made on loans without planted dirt (save for the fixes), each
on a loan of its own, so that what the pipeline then sends is just what was corrected.
"""

import sqlite3
from collections.abc import Callable
from datetime import date, timedelta
from enum import StrEnum
from random import Random
from typing import Any

from kiva_pipeline.money import to_digits, to_minor
from kiva_pipeline.sandbox.demo_mis.days import DemoCalendar
from kiva_pipeline.sandbox.demo_mis.dirt import Dirt
from kiva_pipeline.sandbox.demo_mis.mis_file import MisWriter
from kiva_pipeline.sandbox.demo_mis.portfolio import Portfolio
from kiva_pipeline.sandbox.demo_mis.repayments import Payer
from kiva_pipeline.sandbox.demo_mis.rows import Transaction


_Row = tuple[Any, ...]


class Correction(StrEnum):
    """A kind of correction; the value is what was done."""

    REPAYMENT_REVERSED = "a repayment of the month of the report was reversed"
    REPAYMENT_BACK_DATED = "a repayment was entered late, with its day in the month of the report"
    AMOUNT_CHANGED = "the amount of a disbursed loan was changed"
    TEXT_EDITED = "a description was edited"
    REDATED = "an expected disbursal was put off by a week"
    UNTAGGED = "a loan is no longer for Kiva"
    ADDED_LATE = "a loan that was disbursed weeks ago was entered"
    NEW_LOAN = "a new loan of this month"
    LOAN_FIXED = "a loan without a loan use got one"
    NOTE_FIXED = "a note without a text got one"


# A payer at Kiva, alone in the loan and not spoiled; or a clean draft. The month is bound.
_PAYING = """
FROM loans l JOIN demo_kiva_loans k ON k.internal_loan_id = l.loan_id
WHERE k.status = 'payingBack' AND l.status = 'active'
  AND l.loan_id NOT IN (SELECT loan_id FROM demo_planted)
"""
_DRAFT = """
FROM loans l
WHERE l.funding_source = 'KIVA' AND l.group_id IS NULL
  AND l.expected_disbursal_on BETWEEN :first AND :last
  AND l.loan_id NOT IN (SELECT loan_id FROM demo_planted)
  AND l.loan_id NOT IN (SELECT internal_loan_id FROM demo_kiva_loans)
"""


class Corrector:
    """Corrects an open demo MIS.

    Args:
        connection: For writing; the caller commits.
        calendar: The days, seen from today.
        portfolio: Makes the loans that are added.
        rng: The source of all chance.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        calendar: DemoCalendar,
        portfolio: Portfolio,
        rng: Random,
    ) -> None:
        self._connection = connection
        self._calendar = calendar
        self._portfolio = portfolio
        self._rng = rng
        self._used: set[str] = set()
        self._acts: dict[Correction, Callable[[], str | None]] = {
            Correction.REPAYMENT_REVERSED: self._reverse,
            Correction.REPAYMENT_BACK_DATED: self._back_date,
            Correction.AMOUNT_CHANGED: self._change_amount,
            Correction.TEXT_EDITED: self._edit_text,
            Correction.REDATED: self._redate,
            Correction.UNTAGGED: self._untag,
            Correction.ADDED_LATE: self._add_late,
            Correction.NEW_LOAN: self._add_new,
            Correction.LOAN_FIXED: self._fix_loan,
            Correction.NOTE_FIXED: self._fix_note,
        }

    def make(self, correction: Correction) -> str | None:
        """Make one correction.

        Returns:
            The id of the loan it was made on; None when the MIS has no loan for it.
        """
        loan_id = self._acts[correction]()
        if loan_id:
            self._used.add(loan_id)
        return loan_id

    def _reverse(self) -> str | None:
        month = self._calendar.month.plus(-1)
        found = self._pick(
            "SELECT l.loan_id, max(t.id)"
            + _PAYING.replace("WHERE", "JOIN transactions t ON t.loan_pk = l.id WHERE", 1)
            + " AND t.type = 'repayment' AND t.is_reversed = 0 AND t.principal_minor > 0"
            " AND t.transaction_date BETWEEN :first AND :last GROUP BY l.id ORDER BY l.id",
            first=month.first_day,
            last=month.last_day,
        )
        if not found:
            return None
        self._do("UPDATE transactions SET is_reversed = 1 WHERE id = :id", id=found[1])
        return str(found[0])

    def _back_date(self) -> str | None:
        found = self._pick(
            "SELECT l.loan_id, l.id, l.principal, l.currency_digits, (SELECT"
            " coalesce(sum(t.principal_minor), 0) FROM transactions t WHERE t.loan_pk = l.id AND"
            " t.is_reversed = 0 AND t.type IN ('repayment', 'down_payment')) AS repaid"
            + _PAYING
            + " ORDER BY repaid = 0, l.id"
        )
        if not found:
            return None
        loan_id, pk, amount, digits, repaid = found
        left = (to_minor(amount, digits) or 0) - repaid
        day = self._calendar.report_ends - timedelta(days=5)
        self._book(pk, Transaction("repayment", day, self._calendar.today, max(1, left // 4)))
        return str(loan_id)

    def _change_amount(self) -> str | None:
        found = self._draft("l.id, l.principal, l.currency_digits", "l.disbursed_on IS NOT NULL")
        if not found:
            return None
        loan_id, pk, amount, digits = found
        old = to_minor(amount, digits) or 0
        new = old + old // 10
        last, due = self._connection.execute(
            "SELECT id, principal FROM instalments WHERE loan_pk = ? ORDER BY number DESC", [pk]
        ).fetchone()
        due_now = to_digits((to_minor(due, digits) or 0) + new - old, digits)
        self._do(
            "UPDATE loans SET principal = :new WHERE id = :pk", pk=pk, new=to_digits(new, digits)
        )
        self._do("UPDATE instalments SET principal = :due WHERE id = :id", id=last, due=due_now)
        self._do(
            "UPDATE transactions SET principal_minor = :new"
            " WHERE loan_pk = :pk AND type = 'disbursement'",
            pk=pk,
            new=new,
        )
        return str(loan_id)

    def _edit_text(self) -> str | None:
        found = self._draft("l.id", "l.language LIKE '%english%'")
        if not found:
            return None
        more = " The workshop has moved to a better place."
        self._do("UPDATE loans SET description = description || :more WHERE id = :pk",
                 pk=found[1], more=more)  # fmt: skip
        return str(found[0])

    def _redate(self) -> str | None:
        found = self._draft("l.id", "l.disbursed_on IS NULL")
        if not found:
            return None
        self._do(
            "UPDATE loans SET expected_disbursal_on = date(expected_disbursal_on, '+7 days')"
            " WHERE id = :pk",
            pk=found[1],
        )
        self._do(
            "UPDATE instalments SET due_on = date(due_on, '+7 days') WHERE loan_pk = :pk",
            pk=found[1],
        )
        return str(found[0])

    def _untag(self) -> str | None:
        found = self._draft("l.id", "l.disbursed_on IS NULL")
        if not found:
            return None
        self._do("UPDATE loans SET funding_source = 'OWN' WHERE id = :pk", pk=found[1])
        return str(found[0])

    def _add_late(self) -> str:
        first = self._calendar.window.first_day
        return self._add(max(first, self._calendar.today - timedelta(days=20)))

    def _add_new(self) -> str:
        return self._add(self._calendar.day_this_month(self._rng))

    def _add(self, day: date) -> str:
        unit = self._portfolio.individual(day, tagged=True, payer=Payer.REGULAR)
        writer = MisWriter(self._connection)
        writer.unit(unit)
        writer.flush()
        return unit.kiva_loan_id

    def _fix_loan(self) -> str | None:
        loan_id = self._planted(Dirt.NO_LOAN_USE)
        use = "to buy more stock for the shop."
        self._do("UPDATE loans SET loan_use = :use WHERE loan_id = :id", id=loan_id, use=use)
        return loan_id

    def _fix_note(self) -> str | None:
        loan_id = self._planted(Dirt.NOTE_WITHOUT_BODY)
        self._do(
            "UPDATE notes SET body = 'The shop is open again and sells well.' WHERE body = ''"
            " AND loan_pk = (SELECT id FROM loans WHERE loan_id = :id)",
            id=loan_id,
        )
        return loan_id

    def _planted(self, kind: Dirt) -> str | None:
        row = self._connection.execute(
            "SELECT loan_id FROM demo_planted WHERE kind = ? ORDER BY loan_id", [kind.name]
        ).fetchone()
        if row:
            self._do("DELETE FROM demo_planted WHERE kind = :kind AND loan_id = :id",
                     kind=kind.name, id=row[0])  # fmt: skip
        return str(row[0]) if row else None

    def _draft(self, columns: str, condition: str) -> _Row | None:
        month = self._calendar.month
        return self._pick(
            f"SELECT l.loan_id, {columns} {_DRAFT} AND {condition} ORDER BY l.id",  # noqa: S608
            first=month.first_day,
            last=month.last_day,
        )

    def _pick(self, sql: str, **values: date) -> _Row | None:
        bound = {name: day.isoformat() for name, day in values.items()}
        rows = self._connection.execute(sql, bound)
        return next((row for row in rows if row[0] not in self._used), None)

    def _book(self, pk: int, transaction: Transaction) -> None:
        writer = MisWriter(self._connection)
        writer.transactions(pk, [transaction])
        writer.flush()

    def _do(self, sql: str, **values: str | int | None) -> None:
        self._connection.execute(sql, values)
