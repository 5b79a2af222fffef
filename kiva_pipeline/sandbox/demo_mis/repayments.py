"""How borrowers pay: on time, early, in parts, late, entered late, reversed, or not at all.

What must not break: no booking is entered after the practice day, so that the MIS holds just what
its staff could know.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from enum import Enum
from random import Random

from kiva_pipeline.sandbox.demo_mis.rows import Transaction
from kiva_pipeline.sandbox.demo_mis.schedules import Instalment

WRITE_OFF_AFTER_DAYS = 200


class Payer(Enum):
    """How a loan is paid back."""

    REGULAR = "regular"
    STOPS = "stops"  # in arrears after a few instalments
    WRITTEN_OFF = "written off"  # stops, and is written off half a year later


def a_payer(rng: Random) -> Payer:
    """Mostly regular ones; one in twenty is written off."""
    weights = (0.9, 0.05, 0.05)
    return rng.choices((Payer.REGULAR, Payer.STOPS, Payer.WRITTEN_OFF), weights)[0]


def bookings(
    rng: Random, schedule: list[Instalment], disbursed_on: date, today: date, payer: Payer
) -> list[Transaction]:
    """All bookings of a loan that was disbursed on a day not after ``today``.

    Returns:
        The disbursal and what followed, each entered by ``today``, in order of entry.
    """
    principal = sum(instalment.principal for instalment in schedule)
    made = [Transaction("disbursement", disbursed_on, disbursed_on, principal)]
    paying = schedule if payer is Payer.REGULAR else schedule[: rng.randrange(0, 4)]
    for instalment in paying:
        if instalment.due_on > today:
            break
        made.extend(t for t in payments(rng, instalment, disbursed_on) if t.submitted_on <= today)
    written_off_on = disbursed_on + timedelta(days=WRITE_OFF_AFTER_DAYS)
    if payer is Payer.WRITTEN_OFF and written_off_on <= today:
        repaid = sum(t.principal for t in made if t.type == "repayment" and not t.is_reversed)
        if repaid < principal:
            left = principal - repaid
            made.append(Transaction("write_off", written_off_on, written_off_on, left))
    return sorted(made, key=lambda t: t.submitted_on)


def payments(rng: Random, due: Instalment, not_before: date) -> Iterator[Transaction]:
    """The bookings that settle one instalment."""
    day, principal, interest = max(due.due_on, not_before), due.principal, due.interest
    roll = rng.random()
    if roll < 0.78:
        paid = day + timedelta(days=rng.choice((0, 0, 0, 1, 2, 3)))
        yield Transaction("repayment", paid, paid, principal, interest)
    elif roll < 0.86:  # in two parts
        rest = day + timedelta(days=12)
        yield Transaction("repayment", day, day, principal // 2, interest)
        yield Transaction("repayment", rest, rest, principal - principal // 2)
    elif roll < 0.91:  # early
        paid = max(day - timedelta(days=9), not_before)
        yield Transaction("repayment", paid, paid, principal, interest)
    elif roll < 0.95:  # entered wrongly, reversed, entered again
        again = day + timedelta(days=4)
        yield Transaction("repayment", day, day, principal * 2, interest, is_reversed=True)
        yield Transaction("repayment", day, again, principal, interest)
    elif roll < 0.98:  # the branch's sheet was entered weeks later, with the true day
        entered = day + timedelta(days=rng.randrange(15, 40))
        yield Transaction("repayment", day, entered, principal, interest)
    else:
        yield Transaction("down_payment", day, day, principal, interest)
        yield Transaction("fee", day, day, 0, interest // 2)
