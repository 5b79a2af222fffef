"""When the jobs run, in the partner's time zone. All are stopped until somebody starts them.

Which months a tick asks for is a pure function of the day (``periods.py``). What must not break: a
run key holds the day, so that a tick that is repeated asks for nothing new.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from kiva_pipeline.automation.jobs import JOURNALS_JOB, LOAN_DRAFTS_JOB, MONTH_JOB, REPAYMENTS_JOB
from kiva_pipeline.periods import DisbursalWindow, Month, MonthMark
from kiva_pipeline.settings import Calendar


def draft_months(today: date, first: Month) -> list[Month]:
    """The months that PA2's disbursal window touches today."""
    return [month for month in DisbursalWindow(today).months() if month >= first]


def report_months(today: date, calendar: Calendar, marks: Iterable[MonthMark]) -> list[Month]:
    """The month whose report is open today, if any."""
    month = calendar.reporting.open_month(today, marks)
    return [month] if month and month >= calendar.first_month else []


def journal_months(today: date, first: Month) -> list[Month]:
    """The running month, and in its first days the one before, for notes entered late."""
    running = Month.of(today)
    months = [running.plus(-1), running] if today.day <= 5 else [running]
    return [month for month in months if month >= first]


def schedules(
    calendar: Calendar, marks: Callable[[], Iterable[MonthMark]]
) -> Sequence[dg.ScheduleDefinition]:
    """The daily schedules of the streams and the nightly one of the month that is reported.

    Args:
        calendar: The partner's.
        marks: Reads, at each tick, which months a person closed or extended.
    """
    first = calendar.first_month

    def open_report(today: date) -> list[Month]:
        return report_months(today, calendar, marks())

    def daily(name: str, job: str, hour: int, months: Any, tells: str) -> dg.ScheduleDefinition:  # noqa: ANN401
        @dg.schedule(
            name=name,
            job_name=job,
            cron_schedule=f"0 {hour} * * *",
            execution_timezone=calendar.timezone,
            description=tells,
        )
        def tick(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
            today = context.scheduled_execution_time.astimezone(ZoneInfo(calendar.timezone)).date()
            asked = months(today)
            for month in asked:
                yield dg.RunRequest(run_key=f"{job}#{month}#{today}", partition_key=str(month))
            if not asked:
                yield dg.SkipReason(f"no month is open on {today}")

        return tick

    return [
        daily("loan_drafts_daily", LOAN_DRAFTS_JOB, 6, lambda day: draft_months(day, first),
              "Every month that PA2's window (30 days back to 90 ahead) touches."),
        daily("repayments_daily", REPAYMENTS_JOB, 7, open_report,
              "The month whose report is open, each day until the reporting day, so that fixes"
              " get in."),
        daily("journals_daily", JOURNALS_JOB, 8, lambda day: journal_months(day, first),
              "The running month; in its first five days also the one before."),
        daily("reconciliation_nightly", MONTH_JOB, 22, lambda day: [Month.of(day)],
              "The running month through all streams, then its reconciliation and worklist."),
    ]  # fmt: skip
