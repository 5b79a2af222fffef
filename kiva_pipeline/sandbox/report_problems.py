"""What Kiva says about one row of a repayment report; codes and texts are ours.

Pure: a row and what is known of its loan go in, problems come out. An error keeps the row from
being applied, a warning does not. What must not break: a figure may fall as long as its period is
open (that is how a mistake is mended), but never below the last finalized one.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from kiva_pipeline.sandbox.loans import OVER, REPAYABLE
from kiva_pipeline.sandbox.messages import Repayment


class Complaint(Enum):
    """Everything that can be said about a row: its code, severity and text."""

    UNKNOWN_LOAN = ("unknown_loan", "error", "No loan of this partner has this id.")
    ENDED_LOAN = ("ended_loan", "error", "The loan has ended; no repayment is expected.")
    NOT_PAYING_BACK = ("not_paying_back", "error", "The loan is not paying back yet.")
    CLIENT_ID_MISSING = (
        "client_id_missing",
        "error",
        "This partner reports three columns: client_id is missing.",
    )
    CLIENT_ID_UNEXPECTED = (
        "client_id_unexpected",
        "error",
        "This partner reports two columns: leave client_id out.",
    )
    WRONG_CLIENT = ("wrong_client", "error", "The loan belongs to another client_id.")
    NEGATIVE = ("negative_amount", "error", "The amount is below zero.")
    ABOVE_PRINCIPAL = ("above_principal", "error", "The amount is above the loan's principal.")
    BELOW_LAST = ("below_last", "error", "The amount is below the last finalized one.")
    DELINQUENT = ("delinquent", "warning", "The amount is below the schedule.")
    PREPAID = ("prepaid", "warning", "The amount is above the schedule.")
    NO_CHANGE = ("no_change", "warning", "The amount is the same as in the last period.")

    def __init__(self, name: str, severity: str, details: str) -> None:
        self.code = f"sandbox.{name}"
        self.severity = severity
        self.details = details

    @property
    def is_error(self) -> bool:
        """Whether the row is not applied."""
        return self.severity == "error"

    def about(self, loan_id: str) -> dict[str, str]:
        """The problem as the API answers it."""
        return {
            "loan_id": loan_id,
            "details": self.details,
            "code": self.code,
            "severity": self.severity,
        }


@dataclass(frozen=True, slots=True)
class KnownLoan:
    """What the sandbox knows of a loan when a report comes in.

    Attributes:
        client_id: The client that it belongs to.
        status: Kiva's status.
        principal: Gross principal in local currency.
        last_finalized: The cumulative figure of the last finalized period, if there was one.
        due: Principal that its schedule asks for by the period's last day; None when not known.
    """

    client_id: str
    status: str
    principal: Decimal
    last_finalized: Decimal | None
    due: Decimal | None


def complaints_about(
    row: Repayment, loan: KnownLoan | None, column_format: str | None
) -> list[Complaint]:
    """What is wrong with a row: its first error alone, or all its warnings.

    Args:
        row: The row.
        loan: Its loan; None when the partner has no such loan.
        column_format: The partner's ``two_column`` or ``three_column``; None takes either.
    """
    error = _error(row, loan, column_format)
    if error or loan is None:
        return [error] if error else []
    behind = loan.due is not None and row.amount < loan.due
    checks = (
        (Complaint.DELINQUENT, behind or loan.status == "defaulted"),
        (Complaint.PREPAID, loan.due is not None and row.amount > loan.due),
        (Complaint.NO_CHANGE, row.amount == loan.last_finalized and row.amount < loan.principal),
    )
    return [complaint for complaint, found in checks if found]


def _error(row: Repayment, loan: KnownLoan | None, column_format: str | None) -> Complaint | None:
    if loan is None:
        return Complaint.UNKNOWN_LOAN
    last = loan.last_finalized
    checks = (
        (Complaint.CLIENT_ID_MISSING, column_format == "three_column" and not row.client_id),
        (
            Complaint.CLIENT_ID_UNEXPECTED,
            column_format == "two_column" and row.client_id is not None,
        ),
        (Complaint.WRONG_CLIENT, bool(row.client_id) and row.client_id != loan.client_id),
        (Complaint.ENDED_LOAN, loan.status in OVER),
        (Complaint.NOT_PAYING_BACK, loan.status not in REPAYABLE),
        (Complaint.NEGATIVE, row.amount < 0),
        (Complaint.ABOVE_PRINCIPAL, row.amount > loan.principal),
        (Complaint.BELOW_LAST, last is not None and row.amount < last),
    )
    return next((complaint for complaint, found in checks if found), None)
