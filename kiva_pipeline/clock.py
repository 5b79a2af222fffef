"""The one place that reads the clock.

A practice day, allowed in the sandbox only, stands in for today so that a rehearsal can be held
on any date; instants (for the ledger's audit columns) are always real.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Clock:
    """Today in the partner's time zone, and the present instant in UTC."""

    timezone: str
    practice_today: date | None = None

    def today(self) -> date:
        """The partner's calendar day."""
        return self.practice_today or datetime.now(ZoneInfo(self.timezone)).date()

    def day_began(self) -> datetime:
        """The instant at which the partner's real day began, in UTC; no practice day changes it."""
        day = datetime.now(ZoneInfo(self.timezone)).date()
        return datetime.combine(day, time.min, ZoneInfo(self.timezone)).astimezone(UTC)

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.now(UTC)
