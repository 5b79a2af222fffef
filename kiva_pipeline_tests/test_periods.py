"""Months, the reporting period that is open, and PA2's disbursal window."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiva_pipeline.errors import SettingsError
from kiva_pipeline.periods import (
    DisbursalWindow,
    Month,
    MonthMark,
    Phase,
    ReportingCalendar,
    window_closes_on,
)

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
    open_month = calendar.open_month(today, ())
    before = Month.of(today).plus(-1)
    inside = calendar.opens_on(before) <= today <= calendar.closes_on(before)
    assert open_month == (before if inside else None)


@pytest.mark.parametrize(
    ("today", "month"),
    [("2026-10-01", None), ("2026-10-02", "2026-09"), ("2026-10-15", "2026-09"),
     ("2026-10-16", None), ("2027-01-02", "2026-12"), ("2028-03-15", "2028-02")],
)  # fmt: skip
def test_the_period_opens_and_closes_on_its_days(today: str, month: str | None) -> None:
    found = ReportingCalendar(2, 15).open_month(date.fromisoformat(today), ())
    assert (str(found) if found else None) == month


SEPTEMBER, OCTOBER = Month(2026, 9), Month(2026, 10)


def phases(today: str, *marks: MonthMark) -> dict[str, str]:
    day, calendar = date.fromisoformat(today), ReportingCalendar(2, 15)
    months = [SEPTEMBER, OCTOBER, Month(2026, 11)]
    return {str(month): calendar.phase(month, day, marks).value for month in months}


@pytest.mark.parametrize(
    ("today", "september"),
    [("2026-10-01", "not_yet"), ("2026-10-02", "open"), ("2026-10-15", "open"),
     ("2026-10-16", "closed"), ("2031-01-05", "closed")],
)  # fmt: skip
def test_without_a_persons_word_the_calendar_says_whose_month_it_is(
    today: str, september: str
) -> None:
    assert phases(today)["2026-09"] == september


def test_a_month_that_a_person_closed_is_closed_at_once_and_opens_no_other() -> None:
    closed = MonthMark(SEPTEMBER, closed=True)
    assert phases("2026-10-06", closed) == {
        "2026-09": "closed", "2026-10": "not_yet", "2026-11": "not_yet",
    }  # fmt: skip
    assert ReportingCalendar(2, 15).open_month(date(2026, 10, 6), [closed]) is None


def test_an_extended_month_stays_open_until_the_end_of_its_day() -> None:
    extended = MonthMark(SEPTEMBER, extended_until=date(2026, 10, 20))
    assert phases("2026-10-20", extended)["2026-09"] == "open"
    assert phases("2026-10-21", extended)["2026-09"] == "closed"


def test_the_next_month_waits_until_the_extended_one_is_closed_or_its_days_are_over() -> None:
    extended = MonthMark(SEPTEMBER, extended_until=date(2026, 11, 5))
    both = phases("2026-11-04", extended)
    assert (both["2026-09"], both["2026-10"]) == ("open", "not_yet")
    over = phases("2026-11-06", extended)
    assert (over["2026-09"], over["2026-10"]) == ("closed", "open")
    closed = phases("2026-11-04", MonthMark(SEPTEMBER, closed=True,
                                            extended_until=date(2026, 11, 5)))  # fmt: skip
    assert (closed["2026-09"], closed["2026-10"]) == ("closed", "open")


def test_an_extension_to_an_earlier_day_than_the_calendars_takes_no_day_away() -> None:
    earlier = MonthMark(SEPTEMBER, extended_until=date(2026, 10, 4))
    assert phases("2026-10-15", earlier)["2026-09"] == "open"


MARKS = st.lists(
    st.builds(
        MonthMark,
        st.integers(-3, 3).map(OCTOBER.plus),
        closed=st.booleans(),
        extended_until=st.none() | st.dates(date(2026, 10, 1), date(2027, 3, 31)),
    ),
    unique_by=lambda mark: mark.month,
    max_size=5,
)


@given(st.dates(date(2026, 6, 1), date(2027, 4, 30)), CALENDARS, MARKS)
def test_never_more_than_one_month_is_open_whatever_persons_say(
    today: date, calendar: ReportingCalendar, marks: list[MonthMark]
) -> None:
    months = [OCTOBER.plus(n) for n in range(-8, 9)]
    open_ones = [m for m in months if calendar.phase(m, today, marks) is Phase.OPEN]
    found = calendar.open_month(today, marks)
    assert open_ones == ([found] if found else [])
    if found:
        assert found.last_day < today
        assert not any(mark.closed for mark in marks if mark.month == found)


@given(CALENDARS, MARKS)
def test_a_month_opens_and_closes_once(calendar: ReportingCalendar, marks: list[MonthMark]) -> None:
    days = [date(2026, 9, 1) + timedelta(days=n) for n in range(240)]
    order = [Phase.NOT_YET, Phase.OPEN, Phase.CLOSED]
    for month in (OCTOBER, OCTOBER.plus(1)):
        seen = [order.index(calendar.phase(month, day, marks)) for day in days]
        assert seen == sorted(seen)


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
