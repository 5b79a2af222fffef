"""The shapes of what is posted, as the sandbox reads them; none is shared with the client.

Only shapes are checked here: Kiva takes partial drafts, so every field of a draft may be absent or
null, and PA2 judges it when a person publishes. Unknown fields are ignored.
"""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

MAX_ROWS = 20_000
_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MAX_DIGITS_BEFORE_POINT = 15
_MAX_DIGITS_AFTER_POINT = 6


def _exact(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("expected a number")  # noqa: TRY004  pydantic collects ValueErrors only
    amount = Decimal(value)
    exponent = amount.as_tuple().exponent
    if (
        not isinstance(exponent, int)
        or amount.adjusted() >= _MAX_DIGITS_BEFORE_POINT
        or exponent < -_MAX_DIGITS_AFTER_POINT
    ):
        raise ValueError(
            f"expected at most {_MAX_DIGITS_BEFORE_POINT} digits before the decimal point and"
            f" {_MAX_DIGITS_AFTER_POINT} after it"
        )
    return amount


def _day(text: str) -> str:
    if _ISO_DAY.fullmatch(text):  # the standard library would also read 2026-W47-5
        try:
            date.fromisoformat(text)
        except ValueError:
            pass
        else:
            return text
    raise ValueError("expected a day as YYYY-MM-DD")


# A length limit also refuses lone surrogates, which are no text that could be stored.
Text = Annotated[str, StringConstraints(max_length=100_000)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=500)]
DataUri = Annotated[str, StringConstraints(max_length=16 * 1024 * 1024)]
ListId = Annotated[int, Field(ge=0, le=2**31 - 1)]
Amount = Annotated[Decimal, BeforeValidator(_exact)]
Day = Annotated[Text, AfterValidator(_day)]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Borrower(_Shape):
    """One of a draft's ``entreps``."""

    client_id: Text | None = None
    loan_id: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    gender: Text | None = None
    amount: Amount | None = None


class Instalment(_Shape):
    """One line of a draft's ``schedule``."""

    date: Day | None = None
    principal: Amount | None = None
    interest: Amount | None = None


class LoanDraft(_Shape):
    """The body of ``POST /loan_draft``."""

    entreps: Annotated[list[Borrower], Field(max_length=MAX_ROWS)] | None = None
    group_name: Text | None = None
    internal_client_id: Text | None = None
    internal_loan_id: Text | None = None
    not_pictured: Annotated[list[bool], Field(max_length=MAX_ROWS)] | None = None
    activity_id: ListId | None = None
    theme_type_id: ListId | None = None
    description_language_id: ListId | None = None
    currency: Text | None = None
    location: Text | None = None
    disburse_time: Day | None = None
    schedule: Annotated[list[Instalment], Field(max_length=MAX_ROWS)] | None = None
    description: Text | None = None
    loanuse: Text | None = None
    client_waiver_signed: bool | None = None
    image_encoded: DataUri | None = None
    image_url: Text | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("no field of a loan draft is in it")
        return self


class Repayment(_Shape):
    """One row of a report: cumulative principal in local currency."""

    loan_id: Key
    client_id: Text | None = None
    amount: Amount


class Repayments(_Shape):
    """The body of ``POST /repayments``."""

    repayments: Annotated[list[Repayment], Field(min_length=1, max_length=MAX_ROWS)]


class Journal(_Shape):
    """One update on a borrower's loan."""

    internal_loan_id: Key
    internal_client_id: Text | None = None
    subject: Text
    body: Text
    image_url: Text | None = None


class Journals(_Shape):
    """The body of ``POST /journals``; a bare list is read as the same."""

    journals: Annotated[list[Journal], Field(min_length=1, max_length=MAX_ROWS)]

    @model_validator(mode="before")
    @classmethod
    def _bare_list(cls, value: object) -> object:
        return {"journals": value} if isinstance(value, list) else value
