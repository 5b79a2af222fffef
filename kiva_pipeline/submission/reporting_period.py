"""Whose month it is: whether a month's report may be posted at this moment."""

from kiva_pipeline.periods import Month
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.plan import Phase


def report_phase(settings: Settings, month: Month) -> Phase:
    """Whether the month's report may be posted today."""
    today, calendar = settings.clock.today(), settings.calendar.reporting
    if calendar.open_month(today) == month:
        return Phase.OPEN
    return Phase.NOT_YET if today < calendar.opens_on(month) else Phase.CLOSED
