"""What the pipeline asks of an MIS: four kinds of rows, and the source's own counts.

A source hands over *raw* rows with the column names below, as it finds them; ``mis.records`` turns
them into canonical records and says what is wrong with each. A source never drops a row, never
guesses a value and never writes to the MIS.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from types import TracebackType
from typing import Protocol, Self

import pandas as pd

from kiva_pipeline.periods import Month

# The columns of the raw frames. Amounts are decimals in major units (text, Decimal or int), except
# those that end in `_minor`, which are ints in minor units of the loan's currency. Days are dates
# or ISO text. Empty is None. `source_key` is the row's own key in the MIS and is never empty.
RAW_LOANS = (
    "source_key",  # primary key of the MIS row
    "loan_id", "client_id",  # as they are sent to Kiva; text
    "group_id", "group_client_id", "group_name",  # empty for an individual loan
    "first_name", "last_name", "gender", "pictured",
    "principal", "currency", "currency_digits",  # gross disbursed
    "disbursed_on", "disbursed",  # the actual day, else the expected one; whether it is actual
    "activity", "theme", "location", "language",  # as the MIS spells them
    "description", "loan_use", "waiver_signed_on",
    "photo_ref", "photo_sha256", "photo_mime", "photo_bytes",  # facts of the photo, not the photo
)  # fmt: skip
RAW_INSTALMENTS = ("source_key", "loan_id", "number", "due_on", "principal", "interest")
RAW_BALANCES = (
    "loan_id", "client_id", "currency", "currency_digits", "disbursed_on",
    "disbursed_minor",  # gross principal disbursed by the as-of day; 0 if undone
    "disbursed_later_minor",  # and after it: a loan may be reported before its first disbursal
    "repaid_minor",  # principal portions of live repayments and down payments
    "charged_back_minor", "recovered_minor", "written_off_minor",
    "unknown_minor", "unknown_types",  # principal in transaction types nobody has classified
)  # fmt: skip
RAW_NOTES = (
    "source_key",
    "note_id",
    "loan_id",
    "client_id",
    "written_on",
    "subject",
    "body",
    "image_url",
)


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """What the source itself counts for a month by its own COUNT, not by rows handed over."""

    loans: int
    instalments: int
    notes: int


class Source(Protocol):
    """A reader of one MIS; opened by ``mis.open_source`` and used as a context manager."""

    def counts(self, month: Month) -> SourceCounts:
        """Count what ``loans``, ``instalments`` and ``notes`` of this month have to hand over."""
        ...

    def loans(self, month: Month) -> pd.DataFrame:
        """``RAW_LOANS``: tagged for Kiva, disbursal day (actual, else expected) in the month."""
        ...

    def instalments(self, month: Month) -> pd.DataFrame:
        """``RAW_INSTALMENTS`` of exactly the loans that ``loans(month)`` gives."""
        ...

    def balances(self, loan_ids: Sequence[str], as_of: date) -> Iterator[pd.DataFrame]:
        """``RAW_BALANCES`` of the loans with these ids, tagged or not, up to and with ``as_of``.

        One row for each id that the MIS knows; none for an id that it doesn't. In chunks, ordered
        by ``loan_id``.
        """
        ...

    def group_members(self, group_ids: Sequence[str]) -> pd.DataFrame:
        """``group_id, loan_id``: the members' loans of groups, as the group rule forms them."""
        ...

    def notes(self, month: Month) -> pd.DataFrame:
        """``RAW_NOTES``: marked for Kiva, written in the month. Staff remarks never come out."""
        ...

    def photo(self, photo_ref: str) -> bytes:
        """The photo's bytes.

        Raises:
            SourceError: There is no such photo any more.
        """
        ...

    def close(self) -> None:
        """Give back connections."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
