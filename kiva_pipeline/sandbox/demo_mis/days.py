"""The days that the demo's loans fall on, seen from the practice day."""

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from kiva_pipeline.periods import DisbursalWindow, Month

# Of the loans that are still drafts: in the month before today's, in it, and in the three after it.
_SHARES = {-1: 0.2, 0: 0.45, 1: 0.18, 2: 0.12, 3: 0.05}


@dataclass(frozen=True, slots=True)
class DemoCalendar:
    """The practice day and the first month of the demo.

    Raises:
        ValueError: ``first_month`` is not before PA2's window.
    """

    today: date
    first_month: Month

    def __post_init__(self) -> None:
        if self.first_month.first_day >= self.window.first_day:
            raise ValueError(f"{self.first_month} is no month before PA2's window of {self.today}")

    @property
    def window(self) -> DisbursalWindow:
        """PA2's window: loans disbursed before it are at Kiva, the others are drafts."""
        return DisbursalWindow(self.today)

    @property
    def month(self) -> Month:
        """The month of the practice day: most drafts are disbursed in it."""
        return Month.of(self.today)

    @property
    def report_ends(self) -> date:
        """The last day of the month whose report is next."""
        return self.month.plus(-1).last_day

    @property
    def last_report_ended(self) -> date:
        """The last day of the month that was reported before."""
        return self.month.plus(-2).last_day

    def past_day(self, rng: Random) -> date:
        """A disbursal day of a loan that is at Kiva."""
        first = self.first_month.first_day
        return first + timedelta(days=rng.randrange((self.window.first_day - first).days))

    def draft_day(self, rng: Random) -> date:
        """A disbursal day in PA2's window."""
        month = self.month.plus(rng.choices(list(_SHARES), list(_SHARES.values()))[0])
        return self._day_in(month, rng) or self.day_this_month(rng)

    def day_this_month(self, rng: Random) -> date:
        """A disbursal day in PA2's window and in the practice day's month."""
        return self._day_in(self.month, rng) or self.today

    def _day_in(self, month: Month, rng: Random) -> date | None:
        first = max(month.first_day, self.window.first_day)
        last = min(month.last_day, self.window.last_day)
        return (
            first + timedelta(days=rng.randrange((last - first).days + 1))
            if first <= last
            else None
        )
