"""Which loans the demo holds, in which order, and where the dirt is planted.

What must not break: units come one after another, so that a demo of any size takes the same
memory; dirt comes at a steady pace, about 4 % of the drafts of a big demo, and at least once of
each kind from a few hundred loans on.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from random import Random

from kiva_pipeline.sandbox.demo_mis import notes
from kiva_pipeline.sandbox.demo_mis.days import DemoCalendar
from kiva_pipeline.sandbox.demo_mis.dirt import (
    BALANCE_DIRT,
    DRAFT_DIRT,
    GROUP_DIRT,
    NOTE_DIRT,
    Dirt,
    spoil_draft,
)
from kiva_pipeline.sandbox.demo_mis.kiva_side import seed_of, spoil_report
from kiva_pipeline.sandbox.demo_mis.mis_file import MisWriter
from kiva_pipeline.sandbox.demo_mis.portfolio import OWN_FUNDS_SHARE, Portfolio
from kiva_pipeline.sandbox.demo_mis.repayments import Payer
from kiva_pipeline.sandbox.demo_mis.rows import LoanRow, Unit
from kiva_pipeline.sandbox.demo_mis.schedules import MONTHLY_YEAR, real_schedules

REAL_FROM_LOANS = 300  # a demo of so many loans or more holds all real schedules

_GROUP_SHARE = 0.35
_GROUP_SIZES = (5, 3, 10, 4, 20, 7, 40, 5, 6, 12)
_GROUP_IS_OLD = (True, False, True, True, False, True, False)
_OLD_SHARE = 0.6
_AT_LEAST_EVERY = {"draft": 62, "group": 25, "report": 100, "note": 50}


class _Pace:
    """Hands out kinds of dirt in turn, one at every so many chances."""

    def __init__(self, kinds: Sequence[Dirt], chances: float, at_least_every: int) -> None:
        self._kinds = kinds
        self._every = max(2, min(at_least_every, int(chances / len(kinds))))
        self._seen = 0

    def next(self) -> Dirt | None:
        """The kind to plant at this chance, if any."""
        self._seen += 1
        turn, rest = divmod(self._seen, self._every)
        return None if rest else self._kinds[(turn - 1) % len(self._kinds)]


class Mixture:
    """The units of one demo.

    Args:
        calendar: The days of the demo.
        loans: How many loans the MIS is to hold.
        rng: The source of all chance.
        writer: Is told what Kiva knows and what was planted; the units themselves are the
            caller's to write.
    """

    def __init__(self, calendar: DemoCalendar, loans: int, rng: Random, writer: MisWriter) -> None:
        self._calendar = calendar
        self._loans = loans
        self._rng = rng
        self._writer = writer
        self.portfolio = Portfolio(calendar, rng)
        # Old enough to have repaid something, and young enough to pay in the report's month.
        half_way = calendar.today - timedelta(days=240)
        self._half_way = max(half_way, calendar.first_month.first_day)
        self._early_notes = 0
        alone = (loans - (150 if loans >= REAL_FROM_LOANS else 0)) * (1 - _GROUP_SHARE)
        old = alone * _OLD_SHARE * 0.6  # kept low, so that even unlucky seeds plant every kind
        groups = loans * _GROUP_SHARE / 12
        self._drafts = _Pace(DRAFT_DIRT, alone * 0.85, _AT_LEAST_EVERY["draft"])
        self._groups = _Pace(GROUP_DIRT, groups * 0.3, _AT_LEAST_EVERY["group"])
        self._old_groups = _Pace((Dirt.GROUP_MEMBER_LOST,), groups * 0.3, _AT_LEAST_EVERY["group"])
        self._reports = _Pace(BALANCE_DIRT, old, _AT_LEAST_EVERY["report"])
        self._notes = _Pace(NOTE_DIRT, old * notes.FOR_KIVA_SHARE, _AT_LEAST_EVERY["note"])

    def units(self) -> Iterator[Unit]:
        """Units, some with dirt, until they hold as many loans as asked for."""
        if self._loans >= REAL_FROM_LOANS:
            yield from self._real()
        left = self._loans - (len(real_schedules()) if self._loans >= REAL_FROM_LOANS else 0)
        in_groups, made = 0, 0
        while made < left:
            if in_groups < made * _GROUP_SHARE and left - made >= 3:
                unit = self._group(left - made)
                in_groups += len(unit.loans) - len(unit.lost)
            else:
                unit = self._individual(left - made)
            made += len(unit.loans) - len(unit.lost)
            yield unit

    def _real(self) -> Iterator[Unit]:
        for number, real in enumerate(real_schedules()):
            turn = number % 10
            if turn < 6:
                yield self._old(self.portfolio.real(real, self._calendar.past_day(self._rng)))
                continue
            this_month = turn < 9 or real.due_at_once
            day = (
                self._calendar.day_this_month(self._rng)
                if this_month
                else self._calendar.draft_day(self._rng)
            )
            unit = self.portfolio.real(real, day)
            if real.due_at_once:
                self._plant(Dirt.SCHEDULE_BEFORE_DISBURSAL, unit)
            yield unit

    def _individual(self, room: int) -> Unit:
        kind = self._drafts.next()
        if kind is Dirt.DUPLICATE_LOAN_ID and room < 2:
            kind = None
        if kind:
            return self._dirty_draft(kind)
        if self._rng.random() < _OLD_SHARE:
            return self._old_individual()
        unit = self.portfolio.individual(self._calendar.draft_day(self._rng))
        self._write_notes(unit)
        return unit

    def _dirty_draft(self, kind: Dirt) -> Unit:
        window = self._calendar.window
        day = {
            Dirt.DISBURSED_TOO_LONG_AGO: window.first_day - timedelta(days=1),
            Dirt.DISBURSED_TOO_FAR_AHEAD: window.last_day + timedelta(days=9),
        }.get(kind) or self._calendar.day_this_month(self._rng)
        unit = self.portfolio.individual(day, tagged=True)
        spoil_draft(kind, unit)
        self._plant(kind, unit)
        if kind is Dirt.DUPLICATE_LOAN_ID:
            other = self.portfolio.individual(day, tagged=True)
            other.loans[0].loan_id = unit.loans[0].loan_id
            unit.loans += other.loans
            unit.photos |= other.photos
        return unit

    def _old_individual(self) -> Unit:
        tagged = self._rng.random() >= OWN_FUNDS_SHARE
        kind = self._reports.next() if tagged else None
        if not kind:
            day = self._calendar.past_day(self._rng)
            unit = self.portfolio.individual(day, tagged=tagged)
            return self._old(unit) if tagged else unit
        unit = self.portfolio.individual(
            self._half_way, tagged=True, paid=MONTHLY_YEAR, payer=Payer.REGULAR
        )
        return self._old(unit, kind)

    def _group(self, room: int) -> Unit:
        number = self.portfolio.next_group
        size = min(_GROUP_SIZES[number % len(_GROUP_SIZES)], room)
        if _GROUP_IS_OLD[number % len(_GROUP_IS_OLD)]:
            old_kind = self._old_groups.next()
            day = self._half_way if old_kind else self._calendar.past_day(self._rng)
            return self._old(self.portfolio.group(day, size), old_kind)
        kind = self._groups.next()
        if not kind:
            return self.portfolio.group(self._calendar.draft_day(self._rng), size)
        day = self._calendar.day_this_month(self._rng)
        unit = self.portfolio.group(day, 1 if kind is Dirt.GROUP_OF_ONE else 3)
        last = unit.loans[-1]
        if kind is Dirt.MEMBER_WITH_OTHER_CURRENCY:
            last.currency = "USD"
        elif kind is Dirt.MEMBER_WITH_OTHER_DAY:
            _move(last, day)
        self._plant(kind, unit)
        return unit

    def _old(self, unit: Unit, kind: Dirt | None = None) -> Unit:
        """Have a unit at Kiva, with a note now and then."""
        if kind:
            self._writer.kiva_loan(spoil_report(kind, unit, self._calendar))
            self._plant(kind, unit)
            return unit
        self._writer.kiva_loan(seed_of(unit, self._calendar))
        self._write_notes(unit)
        return unit

    def _write_notes(self, unit: Unit) -> None:
        """Put notes on a unit, on the first member's loan of a group."""
        rng, loan, today = self._rng, unit.loans[0], self._calendar.today
        if unit.disbursal_day >= self._calendar.window.first_day:
            if self._early_notes and unit.tagged:
                self._early_notes -= 1
                loan.notes.append(notes.journal(rng, loan, self._calendar.report_ends))
                self._plant(Dirt.NOTE_BEFORE_KIVA, unit)
            return
        if rng.random() < notes.REMARK_SHARE:
            loan.notes.append(notes.remark(rng, notes.a_day(rng, unit.disbursal_day, today)))
        if not unit.tagged or rng.random() >= notes.FOR_KIVA_SHARE:
            return
        kind = self._notes.next()
        if kind is Dirt.NOTE_BEFORE_KIVA:
            self._early_notes += 1
            kind = None
        recent = kind is not None or rng.random() < 0.5
        reported = self._calendar.report_ends.replace(day=1)
        after = max(unit.disbursal_day, reported) if recent else unit.disbursal_day
        until = self._calendar.report_ends if kind else today
        note = notes.journal(rng, loan, notes.a_day(rng, after, until))
        if kind:
            notes.spoil_note(kind, note)
            self._plant(kind, unit)
        loan.notes.append(note)

    def _plant(self, kind: Dirt, unit: Unit) -> None:
        self._writer.planted(kind, unit.kiva_loan_id)


def _move(loan: LoanRow, day: date) -> None:
    other = day + timedelta(days=-1 if day.day > 1 else 1)
    loan.expected_on = other.isoformat()
    loan.disbursed_on = other.isoformat() if loan.disbursed_on else None
