"""Rows of the demo MIS while they are being made, before they are written to its tables."""

from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from kiva_pipeline.money import to_digits
from kiva_pipeline.sandbox.demo_mis.schedules import Instalment


class Transaction(NamedTuple):
    """One booking on a loan; amounts in minor units of the loan's currency."""

    type: str
    transaction_date: date  # the value date: what a month's balance goes by
    submitted_on: date  # the day of entry
    principal: int
    interest: int = 0
    is_reversed: bool = False


@dataclass(slots=True)
class InstalmentRow:
    """An instalment as the MIS holds it: texts, since people type them."""

    number: int
    due_on: str
    principal: str
    interest: str


@dataclass(slots=True)
class NoteRow:
    """A note on a loan; only those marked for Kiva may ever leave."""

    for_kiva: bool
    written_on: str
    entered_on: date
    subject: str
    body: str
    has_loan: bool = True


@dataclass(slots=True)
class LoanRow:
    """One borrower's loan with all that hangs on it.

    ``principal`` is exact, in minor units; ``amount`` is the text that staff typed for it.
    """

    pk: int
    loan_id: str
    client_id: str | None
    script: str
    first_name: str | None
    last_name: str | None
    gender: str
    group_id: str | None
    principal: int
    amount: str
    currency: str | None
    digits: int
    approved_on: date
    expected_on: str | None
    disbursed_on: str | None
    status: str
    tagged: bool
    activity: str
    theme: str
    location: str
    language: str
    description: str | None
    loan_use: str | None
    waiver_signed_on: str | None
    photo_id: str | None
    pictured: bool
    instalments: list[InstalmentRow] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    notes: list[NoteRow] = field(default_factory=list)

    def repaid(self, as_of: date) -> int:
        """Cumulative principal of live repayments with a value date up to ``as_of``."""
        return sum(
            t.principal
            for t in self.transactions
            if t.type in {"repayment", "down_payment"}
            and not t.is_reversed
            and t.transaction_date <= as_of
        )

    def use_schedule(self, schedule: list[Instalment]) -> None:
        """Write the schedule down as the MIS holds it."""
        self.instalments = [
            InstalmentRow(
                number,
                due_on.isoformat(),
                to_digits(principal, self.digits),
                to_digits(interest, self.digits),
            )
            for number, (due_on, principal, interest) in enumerate(schedule, 1)
        ]


@dataclass(slots=True)
class Unit:
    """What becomes one draft: an individual loan, or the loans of a group's members."""

    loans: list[LoanRow]
    disbursal_day: date
    kiva_activity: str
    kiva_location: str
    group_name: str | None = None
    photos: dict[str, bytes] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)  # keys of loans that the MIS has lost

    @property
    def tagged(self) -> bool:
        """Whether it is meant for Kiva."""
        return self.loans[0].tagged

    @property
    def kiva_loan_id(self) -> str:
        """The id by which Kiva knows it: the loan's, or the group's by the group rule."""
        first = self.loans[0]
        return f"{first.group_id}-{self.disbursal_day}" if first.group_id else first.loan_id
