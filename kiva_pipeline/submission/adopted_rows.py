"""The ledger rows of what Kiva had before the ledger began. Pure.

What must not break: the content of what was adopted is not known (its hash is empty), so it is
never called changed by its hash; what is known beside it (amount, day, clients, members) is kept,
because the checks for a second copy need it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pandas as pd

from kiva_pipeline.money import ISO_DIGITS, to_minor
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.periods import Month
from kiva_pipeline.submission.reason_json import reason
from kiva_pipeline.submission.states import ADOPTED, ADOPTED_WAITING, State


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was last reported of a loan, by whatever way.

    Attributes:
        loan_id: As Kiva lists it.
        month: The month that the figure was for.
        repaid: Cumulative principal repaid, in minor units.
        currency: Of the loan at Kiva.
        digits: Its number of decimals.
    """

    loan_id: str
    month: Month
    repaid: int
    currency: str
    digits: int


@dataclass(frozen=True, slots=True)
class LoanFacts:
    """What the MIS says of one loan.

    Attributes:
        client_id: Its client.
        digits: The number of decimals of its currency; None if the MIS does not say.
        disbursed_on: ISO day; "" if it has none.
    """

    client_id: str
    digits: int | None
    disbursed_on: str


@dataclass(frozen=True, slots=True)
class WaitingDraft:
    """A draft that waits in PA2, with what the MIS says of it today.

    Attributes:
        loan_id: The loan's id; a group's own.
        client_id: The client's id; a group's own.
        loan_ids: Its members' loans; empty if the MIS has it in no month that can be posted.
        client_ids: Its members' clients.
        amount: In minor units; None if not known.
        currency: "" if not known.
        digits: Of the currency.
        disbursed_on: ISO day; "" if not known.
    """

    loan_id: str
    client_id: str = ""
    loan_ids: Sequence[str] = ()
    client_ids: Sequence[str] = ()
    amount: int | None = None
    currency: str = ""
    digits: int | None = None
    disbursed_on: str = ""


def loan_rows(
    kiva_loans: pd.DataFrame,
    members: Mapping[str, Sequence[str]],
    facts: Mapping[str, LoanFacts],
) -> Iterator[dict[str, Any]]:
    """Loans that Kiva lists, as accepted drafts; ``KIVA_LOAN_COLUMNS`` in."""
    columns = ("internal_loan_id", "internal_client_id", "loan_currency", "loan_local_price")
    for loan_id, client_id, currency, price in zip(
        *(kiva_loans[name].tolist() for name in columns), strict=True
    ):
        loan_ids = members.get(loan_id) or [loan_id]
        known = [facts[each] for each in loan_ids if each in facts]
        whole = len(known) == len(loan_ids)
        digits = known[0].digits if known else None
        if digits is None:
            digits = ISO_DIGITS.get(currency, 2)
        days = {each.disbursed_on for each in known}
        yield _UNKNOWN_CONTENT | {
            "reason_code": ADOPTED,
            "reasons": _ADOPTED_REASONS,
            "business_id": loan_id,
            "amount": to_minor(price, digits),
            "currency": currency,
            "currency_digits": digits,
            "effective_on": days.pop() if whole and len(days) == 1 else "",
            "client_id": client_id,
            "loan_ids": id_list(loan_ids),
            "client_ids": id_list([each.client_id for each in known] if whole else []),
        }


def draft_row(draft: WaitingDraft, members: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A draft that waits in PA2, as an accepted one; its month is that of its disbursal."""
    return _UNKNOWN_CONTENT | {
        "reason_code": ADOPTED_WAITING,
        "reasons": _WAITING_REASONS,
        "business_id": draft.loan_id,
        "month": draft.disbursed_on[:7],
        "amount": draft.amount,
        "currency": draft.currency,
        "currency_digits": draft.digits,
        "effective_on": draft.disbursed_on,
        "client_id": draft.client_id,
        "loan_ids": id_list(members.get(draft.loan_id) or draft.loan_ids or [draft.loan_id]),
        "client_ids": id_list(draft.client_ids),
    }


def figure_row(baseline: Baseline, client_id: str) -> dict[str, Any]:
    """A last reported figure, as an accepted one of its month."""
    return _UNKNOWN_CONTENT | {
        "kind": PostKind.REPAYMENT.value,
        "reason_code": ADOPTED,
        "reasons": _ADOPTED_REASONS,
        "period": str(baseline.month),
        "month": str(baseline.month),
        "business_id": baseline.loan_id,
        "amount": baseline.repaid,
        "currency": baseline.currency,
        "currency_digits": baseline.digits,
        "effective_on": baseline.month.last_day.isoformat(),
        "client_id": client_id,
        "loan_ids": id_list([baseline.loan_id]),
    }


def id_list(ids: Sequence[str]) -> str:
    """Ids as the ledger writes them: a JSON list."""
    return orjson.dumps(list(ids)).decode()


_UNKNOWN_CONTENT: dict[str, Any] = {
    "kind": PostKind.LOAN_DRAFT.value, "period": "", "month": "", "state": State.ACCEPTED.value,
    "payload_hash": "", "field_hashes": "", "disbursed": None, "client_ids": "[]",
}  # fmt: skip
_ADOPTED_REASONS, _WAITING_REASONS = reason(ADOPTED), reason(ADOPTED_WAITING)
