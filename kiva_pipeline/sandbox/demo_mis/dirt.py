"""Every kind of dirt that the rules know, and how it gets into a loan draft.

What must not break: one kind spoils one thing, and what is planted is counted, so that what the
rules find can be compared with what is there.
"""

from collections.abc import Callable
from datetime import date
from enum import StrEnum

from kiva_pipeline.sandbox.demo_mis import portraits, texts
from kiva_pipeline.sandbox.demo_mis.rows import LoanRow, Unit

BIGGER_THAN_ALLOWED = 8_000_000


class Dirt(StrEnum):
    """A kind of dirt; the value is what is wrong."""

    ZERO_AMOUNT = "amount is zero"
    NEGATIVE_AMOUNT = "amount is negative"
    AMOUNT_NOT_A_NUMBER = "text where the amount belongs"
    AMOUNT_WITH_FRACTION = "amount with more decimals than its currency"
    NO_CURRENCY = "no currency"
    CURRENCY_NOT_OF_PARTNER = "currency that the partner doesn't lend in"
    DUPLICATE_LOAN_ID = "two loans with one id"
    NO_CLIENT = "no client"
    NO_WAIVER = "no waiver"
    WAIVER_IN_FUTURE = "waiver signed in the far future"
    WAIVER_NOT_A_DATE = "text where the waiver's day belongs"
    UNKNOWN_ACTIVITY = "activity that Kiva doesn't know"
    UNKNOWN_THEME = "theme that Kiva doesn't know"
    UNKNOWN_LOCATION = "location that Kiva doesn't know"
    UNKNOWN_LANGUAGE = "language that Kiva doesn't know"
    DISBURSED_TOO_LONG_AGO = "disbursed before PA2's window, not at Kiva"
    DISBURSED_TOO_FAR_AHEAD = "disbursal after PA2's window"
    NO_DISBURSAL_DAY = "no disbursal day"
    DISBURSAL_DAY_NOT_A_DATE = "text where the disbursal day belongs"
    SCHEDULE_NOT_ADDING_UP = "schedule that doesn't add up to the amount"
    SCHEDULE_BEFORE_DISBURSAL = "instalment due not after the disbursal"
    NO_SCHEDULE = "no schedule"
    INSTALMENT_NOT_A_NUMBER = "text where an instalment's amount belongs"
    INSTALMENT_DAY_NOT_A_DATE = "text where an instalment's day belongs"
    NO_PHOTO = "no photo"
    PHOTO_NOT_AN_IMAGE = "a file that is no image as the photo"
    PHOTO_TOO_BIG = "photo of more bytes than allowed"
    GENDER_ODDLY_SPELLED = "gender that only the mapping knows"  # goes out
    GENDER_UNKNOWN = "gender that nobody knows"
    NO_FIRST_NAME = "no first name"
    NO_LAST_NAME = "no last name"  # people with a single name: goes out
    NO_DESCRIPTION = "no description"
    NO_LOAN_USE = "no loan use"
    FIRST_PERSON = "description in the first person"  # warned of
    LAST_NAME_IN_DESCRIPTION = "last name in the description"  # warned of
    # groups
    GROUP_OF_ONE = "group with a single member"
    MEMBER_WITH_OTHER_CURRENCY = "group member with another currency"
    MEMBER_WITH_OTHER_DAY = "group member disbursed on another day: a group of one beside"
    # what the monthly report must notice
    UNKNOWN_TO_MIS = "expected by Kiva, unknown to the MIS"
    OTHER_CURRENCY_AT_KIVA = "another currency at Kiva"
    OTHER_PRICE_AT_KIVA = "another principal at Kiva"
    OTHER_CLIENT_AT_KIVA = "another client at Kiva"
    REPAID_ABOVE_PRINCIPAL = "repaid more than the principal"
    LOWER_THAN_REPORTED = "repaid less than was reported"
    DISBURSAL_UNDONE = "disbursal reversed, at Kiva all the same"
    RECOVERED = "recovery after a write-off"
    CHARGED_BACK = "chargeback"
    UNKNOWN_TRANSACTION = "transaction type that nobody has classified"
    GROUP_MEMBER_LOST = "group at Kiva, a member's loan unknown to the MIS"
    # notes for lenders
    NOTE_WITHOUT_BODY = "note without a text"
    NOTE_WITHOUT_SUBJECT = "note without a subject"
    NOTE_WITHOUT_LOAN = "note that is on no loan"
    NOTE_BEFORE_KIVA = "note on a loan that is not at Kiva"
    NOTE_DAY_NOT_A_DATE = "text where the note's day belongs"


def _area(first: Dirt, last: Dirt) -> tuple[Dirt, ...]:
    kinds = list(Dirt)
    return tuple(kinds[kinds.index(first) : kinds.index(last) + 1])


DRAFT_DIRT = _area(Dirt.ZERO_AMOUNT, Dirt.LAST_NAME_IN_DESCRIPTION)
GROUP_DIRT = _area(Dirt.GROUP_OF_ONE, Dirt.MEMBER_WITH_OTHER_DAY)
BALANCE_DIRT = _area(Dirt.UNKNOWN_TO_MIS, Dirt.UNKNOWN_TRANSACTION)
NOTE_DIRT = _area(Dirt.NOTE_WITHOUT_BODY, Dirt.NOTE_DAY_NOT_A_DATE)


def spoil_draft(kind: Dirt, unit: Unit) -> None:
    """Put one kind of ``DRAFT_DIRT`` into an individual loan that is still a draft.

    Kinds that concern the disbursal's place in time or a second loan are made by whoever makes
    the loan: nothing is left to spoil here.
    """
    loan = unit.loans[0]
    if kind in _TEXTS:
        for name, value in _TEXTS[kind].items():
            setattr(loan, name, value)
    elif kind in _SPOILERS:
        _SPOILERS[kind](loan)
    elif kind in _PHOTOS:
        loan.photo_id, image = _PHOTOS[kind](loan)
        unit.photos = {loan.photo_id: image}


_TEXTS: dict[Dirt, dict[str, str | None]] = {
    Dirt.ZERO_AMOUNT: {"amount": "0.00"},
    Dirt.AMOUNT_NOT_A_NUMBER: {"amount": "12,500 (see paper file)"},
    Dirt.NO_CURRENCY: {"currency": None},
    Dirt.CURRENCY_NOT_OF_PARTNER: {"currency": "ZMW"},
    Dirt.NO_CLIENT: {"client_id": None},
    Dirt.NO_WAIVER: {"waiver_signed_on": None},
    Dirt.WAIVER_IN_FUTURE: {"waiver_signed_on": "2099-01-01"},
    Dirt.WAIVER_NOT_A_DATE: {"waiver_signed_on": "yes"},
    Dirt.UNKNOWN_ACTIVITY: {"activity": "Misc. (to be classified)"},
    Dirt.UNKNOWN_THEME: {"theme": "Head office pilot 3"},
    Dirt.UNKNOWN_LOCATION: {"location": "Branch 07"},
    Dirt.UNKNOWN_LANGUAGE: {"language": "Elvish"},
    Dirt.GENDER_ODDLY_SPELLED: {"gender": "Mme"},
    Dirt.GENDER_UNKNOWN: {"gender": "see form"},
    Dirt.NO_FIRST_NAME: {"first_name": None},
    Dirt.NO_LAST_NAME: {"last_name": None},
    Dirt.NO_DESCRIPTION: {"description": None},
    Dirt.NO_LOAN_USE: {"loan_use": "  "},
    Dirt.NO_PHOTO: {"photo_id": None},
}
_PHOTOS: dict[Dirt, Callable[[LoanRow], tuple[str, bytes]]] = {
    Dirt.PHOTO_NOT_AN_IMAGE: lambda loan: (f"P-{loan.pk}", portraits.NOT_AN_IMAGE),
    # One big file serves all, else a big demo would be made of little else.
    Dirt.PHOTO_TOO_BIG: lambda _loan: ("P-big", portraits.oversized(BIGGER_THAN_ALLOWED)),
}


def _negative(loan: LoanRow) -> None:
    loan.amount = f"-{loan.amount}"


def _fraction(loan: LoanRow) -> None:
    loan.amount = f"{loan.principal // 10**loan.digits}.{'5'.rjust(loan.digits + 1, '0')}"


def _no_day(loan: LoanRow) -> None:
    loan.expected_on = loan.disbursed_on = None
    loan.status, loan.transactions = "approved", []


def _local_form_of_day(loan: LoanRow) -> None:
    day = date.fromisoformat(loan.expected_on or "")
    _no_day(loan)
    loan.expected_on = f"{day:%d/%m/%Y}"


def _not_adding_up(loan: LoanRow) -> None:
    loan.instalments[-1].principal = "1"


def _before_disbursal(loan: LoanRow) -> None:
    loan.instalments[0].due_on = loan.approved_on.isoformat()


def _no_schedule(loan: LoanRow) -> None:
    loan.instalments = []


def _instalment_not_a_number(loan: LoanRow) -> None:
    loan.instalments[0].principal = "n/a"


def _instalment_not_a_date(loan: LoanRow) -> None:
    loan.instalments[0].due_on = "end of month"


def _first_person(loan: LoanRow) -> None:
    loan.language = "English"
    loan.description = f"{loan.first_name} sells food.{texts.FIRST_PERSON['en']}"


def _last_name(loan: LoanRow) -> None:
    loan.last_name = "Habyarimana"  # long enough to be told from a common word
    loan.language = "English"
    loan.description = f"{loan.first_name} Habyarimana sells food at the market."


_SPOILERS: dict[Dirt, Callable[[LoanRow], None]] = {
    Dirt.NEGATIVE_AMOUNT: _negative,
    Dirt.AMOUNT_WITH_FRACTION: _fraction,
    Dirt.NO_DISBURSAL_DAY: _no_day,
    Dirt.DISBURSAL_DAY_NOT_A_DATE: _local_form_of_day,
    Dirt.SCHEDULE_NOT_ADDING_UP: _not_adding_up,
    Dirt.SCHEDULE_BEFORE_DISBURSAL: _before_disbursal,
    Dirt.NO_SCHEDULE: _no_schedule,
    Dirt.INSTALMENT_NOT_A_NUMBER: _instalment_not_a_number,
    Dirt.INSTALMENT_DAY_NOT_A_DATE: _instalment_not_a_date,
    Dirt.FIRST_PERSON: _first_person,
    Dirt.LAST_NAME_IN_DESCRIPTION: _last_name,
}
