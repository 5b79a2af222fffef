"""Months, the reporting period that is open, and PA2's disbursal window.

Everything here is a pure function of the days it is given: the clock is read at the edges
(``kiva_pipeline.clock``) in the partner's time zone. What must not break: only one month is ever
open for repayments, because the API knows no period and a post lands in whichever is open.
"""

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from kiva_pipeline.errors import SettingsError

# PA2's message at publishing: "The disbursal date must be less than 30 days in the past and no
# more than 90 days in the future."
WINDOW_DAYS_PAST = 29
WINDOW_DAYS_AHEAD = 90


@dataclass(frozen=True, order=True, slots=True)
class Month:
    """A calendar month of the partner's time zone; its text form is the Dagster partition key."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> "Month":
        """Read ``2026-10``.

        Raises:
            SettingsError: The text is not a month.
        """
        match = re.fullmatch(r"([0-9]{4})-([0-9]{2})", text.strip())
        if not match or not 1 <= int(match[2]) <= 12 or int(match[1]) < 1900:
            raise SettingsError(
                f"“{text}” is not a month.", "Write it as YYYY-MM, such as 2026-10."
            )
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, day: date) -> "Month":
        """The month that a day is in."""
        return cls(day.year, day.month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"

    @property
    def first_day(self) -> date:
        """The first day of the month."""
        return date(self.year, self.number, 1)

    @property
    def last_day(self) -> date:
        """The last day of the month: the as-of day of its repayment report."""
        return date(self.year, self.number, calendar.monthrange(self.year, self.number)[1])

    def plus(self, months: int) -> "Month":
        """The month so many months later (earlier when negative)."""
        index = self.year * 12 + self.number - 1 + months
        return Month(index // 12, index % 12 + 1)


class Phase(StrEnum):
    """Whether a month's report may be posted today."""

    NOT_YET = "not_yet"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class MonthMark:
    """What a person said of a month's report; a month without a mark follows the calendar.

    Attributes:
        month: Which one.
        closed: It was finalized in PA2: nothing more of it is ever posted.
        extended_until: Kiva gave more time, until the end of this day.
    """

    month: Month
    closed: bool = False
    extended_until: date | None = None


@dataclass(frozen=True, slots=True)
class ReportingCalendar:
    """When the report of month M may be posted: from ``opens`` to ``reporting_day`` of M+1.

    A person may close a month early or extend it; the marks that say so are asked for everywhere,
    so that nobody forgets them. While an extended month is open, the next one waits.
    """

    opens: int
    reporting_day: int

    def open_month(self, today: date, marks: Iterable[MonthMark]) -> Month | None:
        """The one month whose report may be posted today, or None between periods.

        Args:
            today: The partner's day.
            marks: Of any months; at least of those that were extended or closed lately.
        """
        known = {mark.month: mark for mark in marks}
        candidates = {Month.of(today).plus(-1)}
        candidates |= {m for m, mark in known.items() if mark.extended_until}
        open_ones = [
            month
            for month in candidates
            if not (month in known and known[month].closed)
            and self.opens_on(month) <= today <= self.last_day(month, known.get(month))
        ]
        return min(open_ones, default=None)

    def phase(self, month: Month, today: date, marks: Iterable[MonthMark]) -> Phase:
        """Whether the month's report may be posted today, may not yet, or may not any more.

        Args:
            month: Which report.
            today: The partner's day.
            marks: As for ``open_month``.
        """
        known = {mark.month: mark for mark in marks}
        mark = known.get(month)
        if (mark and mark.closed) or today > self.last_day(month, mark):
            return Phase.CLOSED
        # Within its own days a month still waits for an earlier one that was extended into them.
        return Phase.OPEN if self.open_month(today, known.values()) == month else Phase.NOT_YET

    def opens_on(self, month: Month) -> date:
        """The first day on which the report of the month may be posted."""
        return month.plus(1).first_day.replace(day=self.opens)

    def closes_on(self, month: Month) -> date:
        """The last day on which the report may be posted, unless the month was extended."""
        return month.plus(1).first_day.replace(day=self.reporting_day)

    def last_day(self, month: Month, mark: MonthMark | None) -> date:
        """The last day on which the report may be posted, with what a person gave it."""
        extended = mark.extended_until if mark else None
        return max(self.closes_on(month), extended or date.min)


@dataclass(frozen=True, slots=True)
class DisbursalWindow:
    """The disbursal days that PA2 takes when a draft is published on ``today``."""

    today: date

    @property
    def first_day(self) -> date:
        """The earliest disbursal day that is still taken."""
        return self.today - timedelta(days=WINDOW_DAYS_PAST)

    @property
    def last_day(self) -> date:
        """The latest disbursal day that is already taken."""
        return self.today + timedelta(days=WINDOW_DAYS_AHEAD)

    def months(self) -> list[Month]:
        """The months that the window touches: what the daily draft job runs."""
        month, last = Month.of(self.first_day), Month.of(self.last_day)
        found = []
        while month <= last:
            found.append(month)
            month = month.plus(1)
        return found


def window_closes_on(disbursed_on: date) -> date:
    """The last day on which a draft with this disbursal day can be published."""
    return disbursed_on + timedelta(days=WINDOW_DAYS_PAST)
