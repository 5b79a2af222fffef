"""Which loans a month's report answers for: kept while the month is open, the same ever after.

What must not break: while a month is open its list is today's, and is kept; once it is final, the
list that was kept is the one that counts and is never written again. Where none was kept, today's
stands in and says so.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from kiva_pipeline.errors import PipelineError
from kiva_pipeline.frames import StoredFrame, private_folder, write_frame
from kiva_pipeline.lookups import among
from kiva_pipeline.mis.records import empty_frame
from kiva_pipeline.partner_api.records import EXPECTED_STATUSES, KIVA_LOAN_COLUMNS
from kiva_pipeline.periods import Month, Phase
from kiva_pipeline.rules.repayment_facts import business_ids

NOT_OVER = "the month is not over: nothing is expected yet"
TODAYS = "today's list; it is kept once the month's report is open"
KEPT_TODAY = "today's list, kept for the month while its report is open"
KEPT_BEFORE = "the list that was kept while the month's report was open"
NONE_KEPT = "no list was kept while the month was open: today's stands in for it"

# The loans of a month's list, and whether Kiva's list of today still has them.
EXPECTED_COLUMNS = KIVA_LOAN_COLUMNS | {"still_expected": "bool"}


@dataclass(frozen=True, slots=True)
class ExpectedList:
    """The loans that a month's report answers for.

    Attributes:
        loans: ``EXPECTED_COLUMNS``, sorted by ``internal_loan_id`` (code points), then Kiva's id.
        frozen: Where the list is from, in words.
    """

    loans: pd.DataFrame
    frozen: str


class ExpectedLists:
    """The lists of all months, one file each.

    Args:
        folder: Made with mode 0700 when the first list is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of_month(
        self, month: Month, kiva_loans: pd.DataFrame, *, phase: Phase, today: date, keep: bool
    ) -> ExpectedList:
        """The loans that the month's report answers for.

        Args:
            month: Which report.
            kiva_loans: ``KIVA_LOAN_COLUMNS`` of today.
            phase: Of the month's report today.
            today: The partner's day.
            keep: Keep today's list if the month is open; a dry run keeps nothing.

        Raises:
            PipelineError: The list that was kept can't be read.
        """
        todays = expected_loans(kiva_loans)
        if month.last_day >= today:
            return ExpectedList(_marked(todays.iloc[:0], todays), NOT_OVER)
        place = self._folder / f"{month}.parquet"
        if phase is Phase.OPEN:
            if keep:
                write_frame(todays.astype(KIVA_LOAN_COLUMNS), _in_private(place))
            return ExpectedList(_marked(todays, todays), KEPT_TODAY)
        if phase is Phase.CLOSED and place.is_file():
            return ExpectedList(_marked(_read(place), todays), KEPT_BEFORE)
        frozen = NONE_KEPT if phase is Phase.CLOSED else TODAYS
        return ExpectedList(_marked(todays, todays), frozen)


def expected_loans(kiva_loans: pd.DataFrame) -> pd.DataFrame:
    """The loans that Kiva expects in a report, sorted by ``internal_loan_id`` (code points)."""
    expected = kiva_loans[kiva_loans["status"].isin(EXPECTED_STATUSES)]
    return expected.sort_values("internal_loan_id", kind="stable", ignore_index=True)


def _marked(loans: pd.DataFrame, todays: pd.DataFrame) -> pd.DataFrame:
    if loans.empty:
        return empty_frame(EXPECTED_COLUMNS)
    still: object = True
    if loans is not todays:
        still = among(business_ids(loans), business_ids(todays))
    return loans.assign(still_expected=still)[list(EXPECTED_COLUMNS)].astype(EXPECTED_COLUMNS)


def _read(place: Path) -> pd.DataFrame:
    try:
        return StoredFrame(place).read(list(KIVA_LOAN_COLUMNS)).astype(KIVA_LOAN_COLUMNS)
    except (OSError, ValueError, KeyError) as error:
        raise PipelineError(
            f"The list of expected loans that was kept in {place} can't be read"
            f" ({type(error).__name__}).",
            "Take it from a backup, or remove it: today's list then stands in for it.",
        ) from None


def _in_private(place: Path) -> Path:
    private_folder(place.parent)
    return place
