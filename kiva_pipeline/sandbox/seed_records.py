"""A loan that Kiva knows already: what the demo MIS hands to the sandbox when it is seeded."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class KivaLoanSeed:
    """One older loan of ``GET /loans``.

    Attributes:
        internal_loan_id: The id by which the loan comes back and is reported; a group's own id.
        internal_client_id: The client's id beside it; a group's own id for a group.
        borrower_count: How many borrowers the loan has; 1 for an individual.
        name: What Kiva shows lenders: a first name, or the group's name.
        location: Kiva's ``full_name``, such as ``Karongi: Rwanda``.
        currency: ISO 4217 code.
        price: Gross principal in local currency, exact decimal text.
        status: Kiva's status, such as ``payingBack`` or ``defaulted``.
        disbursed_on: The day of the disbursal.
        last_reported: Cumulative principal repaid as last reported, exact decimal text; None when
            nothing was reported yet.
        activity: Kiva's name of the activity.
    """

    internal_loan_id: str
    internal_client_id: str
    borrower_count: int
    name: str
    location: str
    currency: str
    price: str
    status: str
    disbursed_on: date
    last_reported: str | None
    activity: str
