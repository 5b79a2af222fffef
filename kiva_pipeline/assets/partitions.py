"""The months of a partner, as Dagster partitions whose key is ``2026-10``.

One definition for every stream, because a job can't span two, and a month is one thing to the
people who run it. It reaches four months ahead, as far as PA2 takes a disbursal day; a month that
is not over has an empty report.
"""

import dagster as dg

from kiva_pipeline.periods import Month
from kiva_pipeline.settings import Calendar

MONTHS_AHEAD = 4


def month_partitions(calendar: Calendar) -> dg.MonthlyPartitionsDefinition:
    """All months from ``calendar.first_month`` to three after the running one."""
    return dg.MonthlyPartitionsDefinition(
        start_date=str(calendar.first_month),
        fmt="%Y-%m",
        timezone=calendar.timezone,
        end_offset=MONTHS_AHEAD,
    )


def month_of(context: dg.AssetExecutionContext) -> Month:
    """The month that a step works on."""
    return Month.parse(context.partition_key)
