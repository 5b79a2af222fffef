"""Which months a day asks for, in the partner's zone, and that no schedule starts by itself."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
import time_machine

from kiva_pipeline.assets.partitions import month_partitions
from kiva_pipeline.automation.schedules import (
    draft_months,
    journal_months,
    report_months,
    schedules,
)
from kiva_pipeline.definitions import build_definitions
from kiva_pipeline.demo_home import demo_settings_file, unborn_demo_settings
from kiva_pipeline.periods import Month, MonthMark
from kiva_pipeline.settings import Calendar

FIRST = Month(2026, 1)
JOBS = {
    "loan_drafts_daily": ("loan_drafts_of_a_month", "0 6 * * *"),
    "repayments_daily": ("repayments_of_a_month", "0 7 * * *"),
    "journals_daily": ("journals_of_a_month", "0 8 * * *"),
    "reconciliation_nightly": ("whole_month", "0 22 * * *"),
}


def calendar(timezone="Africa/Kigali", first_month="2026-01", **days):
    return Calendar(timezone=timezone, first_month=first_month, **days)


def asked(name, at, of=None):
    """One tick, as the daemon evaluates it at that moment."""
    settings = unborn_demo_settings().model_copy(update={"calendar": of or calendar()})
    repository = build_definitions(settings, demo_settings_file()).get_repository_def()
    context = dg.build_schedule_context(scheduled_execution_time=at, repository_def=repository)
    with time_machine.travel(at, tick=False):
        return repository.get_schedule_def(name).evaluate_tick(context)


def months(tick):
    return [request.partition_key for request in tick.run_requests]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 10, 6), ["2026-09", "2026-10", "2026-11", "2026-12", "2027-01"]),
        (date(2026, 10, 31), ["2026-10", "2026-11", "2026-12", "2027-01"]),
        (date(2026, 1, 1), ["2026-01", "2026-02", "2026-03", "2026-04"]),  # none before the first
    ],
)
def test_drafts_ask_for_every_month_that_pa2s_window_touches(day, expected):
    assert [str(month) for month in draft_months(day, FIRST)] == expected


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 10, 1), []),  # Kiva's clock is in the US: not before the 2nd
        (date(2026, 10, 2), ["2026-09"]),
        (date(2026, 10, 15), ["2026-09"]),
        (date(2026, 10, 16), []),  # the report is final
        (date(2027, 1, 5), ["2026-12"]),
        (date(2026, 1, 5), []),  # the month before the first
    ],
)
def test_repayments_ask_for_the_open_month_only(day, expected):
    assert [str(month) for month in report_months(day, calendar(), [])] == expected


def test_repayments_follow_the_partners_own_reporting_days():
    late = calendar(opens=5, reporting_day=20)
    open_days = [d for d in range(1, 32) if report_months(date(2026, 10, d), late, [])]
    assert open_days == list(range(5, 21))


def test_repayments_follow_what_a_person_said_of_the_month():
    september = Month(2026, 9)
    closed = [MonthMark(september, closed=True)]
    assert report_months(date(2026, 10, 6), calendar(), closed) == []
    extended = [MonthMark(september, extended_until=date(2026, 10, 20))]
    assert report_months(date(2026, 10, 20), calendar(), extended) == [september]
    assert report_months(date(2026, 10, 21), calendar(), extended) == []


def test_a_tick_asks_again_what_a_person_said():
    said = []
    (schedule,) = [s for s in schedules(calendar(), lambda: said) if s.name == "repayments_daily"]
    at = datetime(2026, 10, 20, 5, 0, tzinfo=UTC)
    context = dg.build_schedule_context(scheduled_execution_time=at)
    assert schedule.evaluate_tick(context).run_requests == []
    said.append(MonthMark(Month(2026, 9), extended_until=date(2026, 10, 22)))
    settings = unborn_demo_settings().model_copy(update={"calendar": calendar()})
    repository = build_definitions(settings, demo_settings_file()).get_repository_def()
    with time_machine.travel(at, tick=False):
        tick = schedule.evaluate_tick(
            dg.build_schedule_context(scheduled_execution_time=at, repository_def=repository)
        )
    assert months(tick) == ["2026-09"]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 10, 1), ["2026-09", "2026-10"]),
        (date(2026, 10, 5), ["2026-09", "2026-10"]),
        (date(2026, 10, 6), ["2026-10"]),
        (date(2026, 1, 1), ["2026-01"]),
    ],
)
def test_journals_ask_for_the_running_month_and_at_first_the_one_before(day, expected):
    assert [str(month) for month in journal_months(day, FIRST)] == expected


def test_all_schedules_are_there_and_stopped_until_somebody_starts_them():
    made = {s.name: s for s in schedules(calendar(), list)}
    assert {n: (s.job_name, s.cron_schedule) for n, s in made.items()} == JOBS
    for schedule in made.values():
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
        assert schedule.execution_timezone == "Africa/Kigali"
        assert schedule.description


def test_the_day_is_the_partners_not_utcs():
    # 20:00 UTC on the 1st is already the 2nd in Manila: the report is open.
    at = datetime(2026, 10, 1, 20, 0, tzinfo=UTC)
    manila = calendar("Asia/Manila")
    assert months(asked("repayments_daily", at, manila)) == ["2026-09"]
    assert months(asked("repayments_daily", at, calendar("America/La_Paz"))) == []


def test_a_day_without_an_open_month_says_so_instead_of_asking():
    tick = asked("repayments_daily", datetime(2026, 10, 20, 5, 0, tzinfo=UTC))
    assert tick.run_requests == []
    assert tick.skip_message == "no month is open on 2026-10-20"


@pytest.mark.parametrize("name", JOBS)
def test_a_tick_that_is_repeated_asks_for_nothing_new_and_the_next_day_for_a_run_of_its_own(name):
    at = datetime(2026, 10, 6, 6, 0, tzinfo=UTC)
    once, twice = asked(name, at), asked(name, at + timedelta(minutes=3))
    tomorrow = asked(name, at + timedelta(days=1))
    keys = [request.run_key for request in once.run_requests]
    assert keys
    assert keys == [request.run_key for request in twice.run_requests]
    assert not set(keys) & {request.run_key for request in tomorrow.run_requests}


@pytest.mark.parametrize("month", range(1, 13))
def test_every_month_that_a_schedule_may_ask_for_is_a_partition_on_that_day(month):
    for day in (1, 2, 15, 28):
        today = date(2026, month, day)
        with time_machine.travel(datetime(2026, month, day, 4, 0, tzinfo=UTC), tick=False):
            known = set(month_partitions(calendar(first_month="2025-06")).get_partition_keys())
        wanted = {*draft_months(today, FIRST), *journal_months(today, FIRST), Month.of(today)}
        assert {str(wished) for wished in wanted} <= known, today
