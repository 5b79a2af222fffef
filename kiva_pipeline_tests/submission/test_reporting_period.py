"""Whose month it is, by the partner's own clock and by what persons said, read anew each time."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from kiva_pipeline.errors import LedgerError
from kiva_pipeline.periods import Month, MonthMark, Phase
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.acts import Person, close_month, extend_month, reopen_month
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.reporting_period import (
    marks_of_ledger,
    marks_of_partner,
    month_marks,
    report_phase,
)
from kiva_pipeline_tests.submission.books import (
    PARTNER,
    REPAYMENT,
    decided,
    report_row,
    settings_for,
)
from kiva_pipeline_tests.submission.desk import Desk
from kiva_pipeline_tests.submission.kiva import LoopbackKiva, Post, Reply, accept

SEPTEMBER = Month(2026, 9)
ADA = Person("Ada", "Kiva says so")


def phase_at(instant: datetime, zone: str, month: Month = SEPTEMBER, **days: int) -> Phase:
    calendar = {"timezone": zone, "practice_today": None} | days
    with time_machine.travel(instant, tick=False):
        return report_phase(settings_for(calendar=calendar), month, ())


# Zone, the hours by which its clock is before UTC in October 2026: the ends of the world, a clock
# at a quarter of an hour, and two with summer time.
ZONES = [
    ("Pacific/Kiritimati", 14.0),
    ("Pacific/Pago_Pago", -11.0),
    ("Asia/Kathmandu", 5.75),
    ("America/New_York", -4.0),
    ("Africa/Kigali", 2.0),
]


@pytest.mark.parametrize(("zone", "hours"), ZONES)
def test_a_month_opens_and_closes_at_the_partners_own_midnight(zone: str, hours: float) -> None:
    east = timedelta(hours=hours)
    opens = datetime(2026, 10, 2, tzinfo=UTC) - east
    closes = datetime(2026, 10, 16, tzinfo=UTC) - east
    blink = timedelta(seconds=1)
    told = [phase_at(at, zone) for at in (opens - blink, opens, closes - blink, closes)]
    assert told == [Phase.NOT_YET, Phase.OPEN, Phase.OPEN, Phase.CLOSED]


@pytest.mark.parametrize(
    ("zone", "day", "utc"),
    [
        # Clocks go back in New York at two on 1 November, and forward in Cairo and Santiago at
        # midnight, so that a day begins at one there.
        ("America/New_York", date(2026, 11, 1), datetime(2026, 11, 1, 4, tzinfo=UTC)),
        ("Africa/Cairo", date(2026, 4, 24), datetime(2026, 4, 23, 22, tzinfo=UTC)),
        ("America/Santiago", date(2026, 9, 6), datetime(2026, 9, 6, 4, tzinfo=UTC)),
    ],
)
def test_a_day_on_which_clocks_change_begins_and_ends_where_the_zone_says(
    zone: str, day: date, utc: datetime
) -> None:
    month = Month.of(day).plus(-1)
    opens = {"opens": day.day, "reporting_day": day.day}
    before, begun = utc - timedelta(seconds=1), utc
    assert phase_at(before, zone, month, **opens) is Phase.NOT_YET
    assert phase_at(begun, zone, month, **opens) is Phase.OPEN
    assert phase_at(begun + timedelta(hours=22, minutes=59), zone, month, **opens) is Phase.OPEN
    assert phase_at(begun + timedelta(hours=25), zone, month, **opens) is Phase.CLOSED


def test_by_default_kivas_own_month_has_begun_everywhere_when_a_report_opens() -> None:
    """Kiva's clock is in the US: where the day is first, a report waits for the 2nd."""
    first_moment = datetime(2026, 10, 2, tzinfo=UTC) - timedelta(hours=14)
    assert phase_at(first_moment, "Pacific/Kiritimati") is Phase.OPEN
    assert first_moment >= datetime(2026, 10, 1, 7, tzinfo=UTC)  # midnight in San Francisco


# --- what persons said, from the ledger


@pytest.fixture
def settings(book: Ledger, ledger_url: str, tmp_path: Path) -> Settings:
    del book  # born before it is looked into
    return settings_for(state={"folder": tmp_path / "state", "ledger_url": ledger_url})


def test_the_ledgers_marks_are_those_that_persons_set(book: Ledger, settings: Settings) -> None:
    assert marks_of_partner(settings) == ()
    extend_month(book, settings, SEPTEMBER, date(2026, 10, 20), ADA)
    extended = MonthMark(SEPTEMBER, extended_until=date(2026, 10, 20))
    assert marks_of_ledger(book) == marks_of_partner(settings) == (extended,)
    close_month(book, settings, SEPTEMBER, ADA)
    assert [mark.closed for mark in marks_of_partner(settings)] == [True]
    assert report_phase(settings, SEPTEMBER, marks_of_partner(settings)) is Phase.CLOSED
    reopen_month(book, settings, SEPTEMBER, ADA)
    assert report_phase(settings, SEPTEMBER, marks_of_partner(settings)) is Phase.OPEN


def test_before_a_ledger_is_born_the_calendar_alone_says_whose_month_it_is(tmp_path: Path) -> None:
    unborn = settings_for(state={"folder": tmp_path / "nowhere"})
    assert marks_of_partner(unborn) == ()
    assert not (tmp_path / "nowhere").exists()


def test_the_marks_are_read_in_the_transaction_of_whoever_asks(book: Ledger) -> None:
    with book.reading() as connection:
        assert month_marks(connection) == ()


# --- a run that outlives the day on which it began


@pytest.fixture
def late() -> Iterator[time_machine.Traveller]:
    """A clock that stands 30 seconds before midnight of the reporting day in Kathmandu."""
    midnight = datetime(2026, 10, 16, tzinfo=UTC) - timedelta(hours=5, minutes=45)
    with time_machine.travel(midnight - timedelta(seconds=30), tick=True) as clock:
        yield clock


def test_what_a_run_has_not_sent_by_midnight_waits_and_is_carried_forward(
    desk: Desk, kiva: LoopbackKiva, late: time_machine.Traveller
) -> None:
    own = desk.having(calendar={"timezone": "Asia/Kathmandu", "practice_today": None},
                      repayments={"batch_size": 1})  # fmt: skip
    rows = [report_row(f"L{n}") for n in range(5)]

    def midnight_comes(served: LoopbackKiva, post: Post) -> Reply:
        if post.number == 3:
            late.shift(timedelta(minutes=1))
        return accept(served, post)

    kiva.behave = midnight_comes
    first = own.run(REPAYMENT, rows)
    assert first.summary.stopped == "the month's report is not open any more"
    assert sorted(decided(first).values()) == ["accepted"] * 3 + ["deferred"] * 2
    assert sorted(decided(own.run(REPAYMENT, rows)).values()) == [
        "carried_forward", "carried_forward", "unchanged", "unchanged", "unchanged",
    ]  # fmt: skip
    assert len(kiva.posts) == 3


def test_a_month_that_is_extended_before_midnight_goes_on_after_it(
    desk: Desk, kiva: LoopbackKiva, late: time_machine.Traveller
) -> None:
    own = desk.having(calendar={"timezone": "Asia/Kathmandu", "practice_today": None},
                      repayments={"batch_size": 1})  # fmt: skip
    extend_month(desk.book, own.settings, SEPTEMBER, date(2026, 10, 16), ADA)

    def midnight_comes(served: LoopbackKiva, post: Post) -> Reply:
        late.shift(timedelta(seconds=20))
        return accept(served, post)

    kiva.behave = midnight_comes
    rows = [report_row(f"L{n}") for n in range(4)]
    assert set(decided(own.run(REPAYMENT, rows)).values()) == {"accepted"}


def test_the_ledger_of_another_partner_gives_no_marks(settings: Settings) -> None:
    other = settings.model_copy(update={"partner": settings.partner.model_copy(update={"id": "9"})})
    with pytest.raises(LedgerError, match=f"belongs to partner {PARTNER}"):
        marks_of_partner(other)
