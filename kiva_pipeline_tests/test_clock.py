"""The partner's day is the day on the partner's calendar, wherever the machine stands."""

from datetime import UTC, date, datetime

import pytest
import time_machine

from kiva_pipeline.clock import Clock


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Pacific/Tongatapu", 1), ("Africa/Kigali", 30), ("Pacific/Pago_Pago", 30), ("UTC", 30)],
)
def test_today_is_the_partners_day(zone: str, day: int) -> None:
    with time_machine.travel(datetime(2026, 11, 30, 11, 30, tzinfo=UTC), tick=False):
        clock = Clock(zone)
        assert clock.today().day == day
        assert clock.now() == datetime(2026, 11, 30, 11, 30, tzinfo=UTC)


def test_a_practice_day_stands_in_for_today_but_not_for_the_instant() -> None:
    with time_machine.travel(datetime(2026, 11, 30, 11, 30, tzinfo=UTC), tick=False):
        clock = Clock("Africa/Kigali", date(2020, 2, 29))
        assert clock.today() == date(2020, 2, 29)
        assert clock.now().year == 2026
