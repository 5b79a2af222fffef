"""Repayment schedules: weekly, fortnightly, monthly and bullet ones, and 150 real ones.

What must not break: a real schedule keeps its amounts and the days between its instalments; it is
moved in time as a whole, and its dirt (one instalment falls due on the disbursal day) stays.
"""

import calendar
import csv
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from kiva_pipeline.money import ISO_DIGITS, to_minor
from kiva_pipeline.periods import Month

# In these the real schedules have decimals that ISO 4217 doesn't know: the loan's own digits win.
_OWN_DIGITS = {"RWF": 2, "UGX": 2}


class Instalment(NamedTuple):
    """One due payment, in minor units of the loan's currency."""

    due_on: date
    principal: int
    interest: int


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency that the demo lends in: its digits, and usual amounts in minor units."""

    code: str
    digits: int
    low: int
    high: int
    step: int


CURRENCIES = (
    Currency("RWF", 0, 100_000, 900_000, 5_000),
    Currency("KES", 2, 500_000, 8_000_000, 50_000),
    Currency("TJS", 2, 80_000, 900_000, 5_000),
    Currency("UGX", 0, 300_000, 4_000_000, 50_000),
    Currency("PHP", 2, 300_000, 6_000_000, 25_000),
    Currency("JOD", 3, 150_000, 1_500_000, 500),
)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often and how many times a loan is paid back; every 0 days means monthly."""

    every_days: int
    times: int
    months: int = 1

    def due_on(self, disbursed_on: date, number: int) -> date:
        """The day on which instalment ``number`` (from 1) falls due."""
        if self.every_days:
            return disbursed_on + timedelta(days=self.every_days * number)
        month = Month.of(disbursed_on).plus(self.months * number)
        last = calendar.monthrange(month.year, month.number)[1]
        return date(month.year, month.number, min(disbursed_on.day, last))


MONTHLY_YEAR = Rhythm(0, 12)


@dataclass(frozen=True, slots=True)
class RealSchedule:
    """A schedule of a real loan, in days from its disbursal."""

    number: int
    currency: str
    digits: int
    principal: int
    instalments: tuple[tuple[int, int], ...]  # days after the disbursal, principal

    def moved_to(self, disbursed_on: date) -> list[Instalment]:
        """The same schedule for a loan that is disbursed on another day."""
        return [
            Instalment(disbursed_on + timedelta(days=days), principal, 0)
            for days, principal in self.instalments
        ]

    @property
    def due_at_once(self) -> bool:
        """Whether an instalment falls due not after the disbursal: real dirt."""
        return any(days <= 0 for days, _ in self.instalments)


def rhythm(rng: Random) -> Rhythm:
    """A weekly, fortnightly, monthly or bullet rhythm."""
    roll = rng.random()
    if roll < 0.2:
        return Rhythm(7, rng.randrange(12, 41))
    if roll < 0.35:
        return Rhythm(14, rng.randrange(6, 25))
    if roll < 0.85:
        return Rhythm(0, rng.randrange(4, 19))
    return Rhythm(0, 1, rng.randrange(3, 13))


def schedule(principal: int, disbursed_on: date, paid: Rhythm) -> list[Instalment]:
    """Equal instalments, the rest in the last, with 2 % flat interest on each share."""
    share, rest = divmod(principal, paid.times)
    amounts = [share] * (paid.times - 1) + [share + rest]
    return [
        Instalment(paid.due_on(disbursed_on, number), amount, amount // 50)
        for number, amount in enumerate(amounts, 1)
    ]


@cache
def real_schedules() -> tuple[RealSchedule, ...]:
    """The real schedules, in the order of their file."""
    file = Path(__file__).parent.parent / "data" / "schedules.csv"
    rows: dict[str, list[dict[str, str]]] = {}
    with file.open(encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            rows.setdefault(row["loan"], []).append(row)
    return tuple(_real(of_loan) for of_loan in rows.values())


def _real(rows: list[dict[str, str]]) -> RealSchedule:
    currency, disbursed_on = rows[0]["currency"], date.fromisoformat(rows[0]["disbursed_on"])
    digits = _OWN_DIGITS.get(currency, ISO_DIGITS.get(currency, 2))
    instalments = tuple(
        ((date.fromisoformat(row["due_on"]) - disbursed_on).days, _exact(row["amount"], digits))
        for row in rows
    )
    principal = _exact(rows[0]["disbursed"], digits)
    return RealSchedule(int(rows[0]["loan"]), currency, digits, principal, instalments)


def _exact(amount: str, digits: int) -> int:
    minor = to_minor(amount, digits)
    if minor is None:
        raise ValueError(f"schedules.csv: {amount} has more than {digits} decimals")
    return minor
