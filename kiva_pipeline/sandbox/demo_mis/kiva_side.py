"""What Kiva knows of the older loans, and the dirt that only the monthly report can notice.

What must not break: a seed says what *was* true when it was reported; planting dirt spoils either
the seed or the MIS, never both alike.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from kiva_pipeline.money import to_digits
from kiva_pipeline.sandbox.demo_mis.days import DemoCalendar
from kiva_pipeline.sandbox.demo_mis.dirt import Dirt
from kiva_pipeline.sandbox.demo_mis.rows import Transaction, Unit
from kiva_pipeline.sandbox.seed_records import KivaLoanSeed


def seed_of(unit: Unit, calendar: DemoCalendar) -> KivaLoanSeed:
    """A tagged, disbursed unit as Kiva has it before the next report."""
    first, reported_until = unit.loans[0], calendar.last_report_ended
    principal = sum(loan.principal for loan in unit.loans)
    repaid = sum(loan.repaid(reported_until) for loan in unit.loans)
    written_off = any(
        t.type == "write_off" and t.transaction_date <= reported_until
        for loan in unit.loans
        for t in loan.transactions
    )
    status = "ended" if repaid == principal else "defaulted" if written_off else "payingBack"
    return KivaLoanSeed(
        internal_loan_id=unit.kiva_loan_id,
        internal_client_id=first.group_id or first.client_id or "",
        borrower_count=len(unit.loans),
        name=unit.group_name or first.first_name or "",
        location=unit.kiva_location,
        currency=first.currency or "",
        price=to_digits(principal, first.digits),
        status=status,
        disbursed_on=unit.disbursal_day,
        last_reported=(
            to_digits(repaid, first.digits) if unit.disbursal_day <= reported_until else None
        ),
        activity=unit.kiva_activity,
    )


def spoil_report(kind: Dirt, unit: Unit, calendar: DemoCalendar) -> KivaLoanSeed:
    """Put one kind of ``BALANCE_DIRT`` into an old loan, or of the lost group member.

    Args:
        kind: What to plant.
        unit: A tagged unit that pays back in the month of the report; its bookings are changed.
        calendar: The days of the demo.

    Returns:
        What Kiva knows of the loan.
    """
    seed = seed_of(unit, calendar)
    if kind in _AT_KIVA:
        return _AT_KIVA[kind](seed)
    if kind is Dirt.GROUP_MEMBER_LOST:
        unit.lost = {unit.loans[-1].pk}
    elif kind is Dirt.UNKNOWN_TO_MIS:
        unit.lost = {loan.pk for loan in unit.loans}
    elif kind is Dirt.LOWER_THAN_REPORTED:
        _reverse_last(unit, calendar)
    elif kind is Dirt.DISBURSAL_UNDONE:
        loan = unit.loans[0]
        loan.transactions = [t._replace(is_reversed=True) for t in loan.transactions]
    else:
        _book(kind, unit, calendar.report_ends)
    return seed


def loans_at_kiva(path: Path) -> Iterator[KivaLoanSeed]:
    """What the sandbox must be seeded with: the loans that Kiva knew when the demo was made.

    Args:
        path: The file that ``create_demo_mis`` made.

    Yields:
        One seed for each individual or group loan, by its id.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        rows = connection.execute("SELECT * FROM demo_kiva_loans ORDER BY internal_loan_id")
        for row in rows:
            loan_id, client_id, borrowers, name, location, currency, price, status, *rest = row
            disbursed_on, last_reported, activity = rest
            yield KivaLoanSeed(
                loan_id, client_id, borrowers, name, location, currency, price, status,
                date.fromisoformat(disbursed_on), last_reported, activity,
            )  # fmt: skip


_AT_KIVA: dict[Dirt, Callable[[KivaLoanSeed], KivaLoanSeed]] = {
    Dirt.OTHER_CURRENCY_AT_KIVA: lambda seed: replace(seed, currency="USD"),
    Dirt.OTHER_PRICE_AT_KIVA: lambda seed: replace(seed, price=f"1{seed.price}"),
    Dirt.OTHER_CLIENT_AT_KIVA: lambda seed: replace(seed, internal_client_id="C9999999"),
}


def _reverse_last(unit: Unit, calendar: DemoCalendar) -> None:
    loan, reported_until = unit.loans[0], calendar.last_report_ended
    kept = [t for t in loan.transactions if t.transaction_date <= reported_until]
    last = max(
        i
        for i, t in enumerate(kept)
        if t.type in {"repayment", "down_payment"} and not t.is_reversed
    )
    kept[last] = kept[last]._replace(is_reversed=True)
    loan.transactions = kept


def _book(kind: Dirt, unit: Unit, day: date) -> None:
    loan = unit.loans[0]
    left, tenth = loan.principal - loan.repaid(day), loan.principal // 10

    def book(type_: str, principal: int, on: date = day) -> None:
        loan.transactions.append(Transaction(type_, on, on, principal))

    if kind is Dirt.REPAID_ABOVE_PRINCIPAL:
        book("repayment", left + tenth)
    elif kind is Dirt.CHARGED_BACK:
        book("chargeback", tenth)
    elif kind is Dirt.UNKNOWN_TRANSACTION:
        book("goodwill_credit", tenth)
    else:  # RECOVERED
        book("write_off", left, day - timedelta(days=20))
        book("recovery", tenth)
        loan.status = "written_off"
