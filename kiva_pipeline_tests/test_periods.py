"""Months, the reporting period that is open, and PA2's disbursal window."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiva_pipeline.errors import SettingsError
from kiva_pipeline.periods import DisbursalWindow, Month, ReportingCalendar, window_closes_on

DAYS = st.dates(date(1999, 1, 1), date(2100, 12, 31))
MONTHS = DAYS.map(Month.of)
CALENDARS = st.tuples(st.integers(1, 28), st.integers(1, 28)).map(
    lambda days: ReportingCalendar(min(days), max(days))
)


@given(MONTHS)
def test_a_month_is_read_back_from_its_own_text(month: Month) -> None:
    assert Month.parse(str(month)) == month
    assert Month.parse(f" {month}\n") == month


@pytest.mark.parametrize(
    "text",
    ["", "2026-00", "2026-13", "2026-1", "26-01", "2026/01", "2026-01-01", "1899-12", "0000-01",
     "٢٠٢٦-١٠", "２０２６-10", "2026-1O", "2026-10\n2026-11"],
)  # fmt: skip
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is not a month"):
        Month.parse(text)


@given(MONTHS, st.integers(-500, 500), st.integers(-500, 500))
def test_months_are_counted_like_numbers(month: Month, some: int, more: int) -> None:
    assert month.plus(some).plus(more) == month.plus(some + more)
    assert (month.plus(some) > month) == (some > 0)
    assert month.plus(1).first_day == month.last_day + timedelta(days=1)


@pytest.mark.parametrize(
    ("month", "last"),
    [("2024-02", "2024-02-29"), ("2026-02", "2026-02-28"), ("2100-02", "2100-02-28"),
     ("2026-12", "2026-12-31")],
)  # fmt: skip
def test_the_last_day_knows_leap_years(month: str, last: str) -> None:
    assert str(Month.parse(month).last_day) == last


@given(DAYS, CALENDARS)
def test_only_the_month_before_is_ever_open(today: date, calendar: ReportingCalendar) -> None:
    open_month = calendar.open_month(today)
    before = Month.of(today).plus(-1)
    inside = calendar.opens_on(before) <= today <= calendar.closes_on(before)
    assert open_month == (before if inside else None)


@pytest.mark.parametrize(
    ("today", "month"),
    [("2026-10-01", None), ("2026-10-02", "2026-09"), ("2026-10-15", "2026-09"),
     ("2026-10-16", None), ("2027-01-02", "2026-12"), ("2028-03-15", "2028-02")],
)  # fmt: skip
def test_the_period_opens_and_closes_on_its_days(today: str, month: str | None) -> None:
    found = ReportingCalendar(2, 15).open_month(date.fromisoformat(today))
    assert (str(found) if found else None) == month


def test_pa2_takes_less_than_30_days_back_and_90_ahead() -> None:
    window = DisbursalWindow(date(2026, 10, 6))
    assert window.first_day == date(2026, 9, 7)
    assert window.last_day == date(2027, 1, 4)


@given(DAYS)
def test_the_window_names_every_month_that_it_touches_once(today: date) -> None:
    window = DisbursalWindow(today)
    days = [window.first_day + timedelta(days=n) for n in range(120)]
    assert days[-1] == window.last_day
    assert window.months() == sorted({Month.of(day) for day in days})


@given(DAYS)
def test_the_last_day_to_publish_is_the_last_on_which_the_window_has_the_day(day: date) -> None:
    last = window_closes_on(day)
    assert DisbursalWindow(last).first_day == day
    assert DisbursalWindow(last + timedelta(days=1)).first_day > day
