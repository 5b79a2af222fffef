"""How much may go to Kiva at a time: the section ``limits`` of the settings. All are off at first.

What must not break: money here is exact; a number that YAML has already rounded is refused.
"""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _money(value: object) -> Decimal:
    text = str(value).strip()
    if isinstance(value, bool | float) or not _PLAIN.fullmatch(text):
        msg = 'an amount in major units in quotes, such as "5000000" or "1250.50"'
        raise ValueError(msg)  # pydantic collects ValueErrors only
    return Decimal(text)


_PLAIN = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,6})?")

Amount = Annotated[Decimal, BeforeValidator(_money)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]
Rows = Annotated[int, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class RowsPerRun(_Section):
    """Rows that one run of a month may send of each stream."""

    loan_drafts: Rows | None = None
    repayments: Rows | None = None
    journals: Rows | None = None


class MoneyPerRun(_Section):
    """Sums that one run of a month may send of each stream, by currency, in major units.

    Of loan drafts it is the amounts of the loans, of repayments the figures of the report.
    """

    loan_drafts: dict[Currency, Amount] = {}
    repayments: dict[Currency, Amount] = {}


class Limits(_Section):
    """What is over a limit waits: it is deferred, and the next run goes on with it."""

    # PA2's credit limit: drafts that were created, or may have been, on the partner's day.
    drafts_per_day: Rows | None = None
    rows_per_run: RowsPerRun = RowsPerRun()
    money_per_run: MoneyPerRun = MoneyPerRun()
