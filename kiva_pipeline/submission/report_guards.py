"""The guards on a month's figures against what was sent before. Pure.

All are in terms of principal *repaid*, in exact minor units, whatever is sent. What must not break:
a guard is lifted for exactly the figure that a person approved, and a month that looks wrong as a
whole lets nothing go, not even the rows that look right.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kiva_pipeline.rules.runs import whole_numbers

_Flags = NDArray[np.bool_]

# Shares are compared as whole ten-thousandths, so that no amount ever becomes a float.
_PARTS = 10_000

# Why a row counts against its month, and how that is said of many.
SUSPICIONS = {
    "missing": "missing",
    "first_report": "without an earlier figure",
    "lower": "lower than sent before",
    "jump": "rose by much",
}


@dataclass(frozen=True, slots=True)
class GuardFacts:
    """What the guards find, a row each.

    Attributes:
        first: No figure is known of the loan, and this ledger did not post it.
        lower: The figure is below the newest that Kiva has, or may have.
        jump: It rose by more than a single figure may.
        leap: It rose by more than many figures of one month may.
    """

    first: _Flags
    lower: _Flags
    jump: _Flags
    leap: _Flags


def guard_facts(rows: pd.DataFrame, *, jump_above: float, leap_above: float) -> GuardFacts:
    """Hold the figures of a report against the newest ones that were sent.

    Args:
        rows: ``amount, disbursed, currency_digits`` and ``newest_amount, newest_digits``; empty
            where there is none.
        jump_above: Share of the principal that a figure may rise by before a person is asked.
        leap_above: The same for a figure that is counted against its month.
    """
    known = (rows["amount"].notna() & rows["newest_amount"].notna()).to_numpy(dtype=bool)
    ours, theirs = whole_numbers(rows["amount"]), whole_numbers(rows["newest_amount"])
    principal = whole_numbers(rows["disbursed"])
    digits, newest_digits = (
        whole_numbers(rows["currency_digits"]), whole_numbers(rows["newest_digits"]),
    )  # fmt: skip
    if (digits[known] != newest_digits[known]).any():
        # A migration of the MIS may have changed how many decimals an amount is kept with.
        most = np.maximum(digits, newest_digits)
        ours, principal = ours * 10 ** (most - digits), principal * 10 ** (most - digits)
        theirs = theirs * 10 ** (most - newest_digits)
    rise = ours - theirs
    return GuardFacts(
        first=rows["newest_amount"].isna().to_numpy(dtype=bool),
        lower=known & (rise < 0),
        jump=known & _above(rise, principal, jump_above),
        leap=known & _above(rise, principal, leap_above),
    )


def suspicions(
    facts: GuardFacts, *, missing: _Flags, figure: _Flags, approved: _Flags
) -> NDArray[np.object_]:
    """Which rows count against their month: a key of ``SUSPICIONS``, or "".

    Args:
        facts: Of the guards.
        missing: The MIS has no answer for the loan.
        figure: There is a figure that would go, or that waits for a person.
        approved: A person approved exactly this figure, or that there is none.
    """
    answer: NDArray[np.object_] = np.select(
        [missing & ~approved, *(figure & ~approved & f for f in (facts.first, facts.lower,
                                                                  facts.leap))],
        list(SUSPICIONS),
        "",
    ).astype(object)  # fmt: skip
    return answer


def mass_change(counts: Mapping[str, int], expected: int, *, share: float, at_least: int) -> str:
    """Why a month must wait as a whole, in words; "" if it need not.

    Args:
        counts: Rows by suspicion.
        expected: How many loans the month's report answers for.
        share: More than this share of them is a mass.
        at_least: But so many rows at least.
    """
    found = Counter({name: rows for name, rows in counts.items() if name in SUSPICIONS})
    total = found.total()
    # By the digits of the setting: 0.29 of 100 loans is 29, which a float is not.
    if total < at_least or total <= Decimal(str(share)) * expected:
        return ""
    parts = [f"{found[name]:,} {words}" for name, words in SUSPICIONS.items() if found[name]]
    return f"{total:,} of {expected:,} loans: {', '.join(parts)}"


def _above(rise: NDArray[np.int64], principal: NDArray[np.int64], share: float) -> _Flags:
    parts = round(share * _PARTS)
    # rise > principal * parts / _PARTS, exactly and without an overflow of large amounts.
    whole, rest = np.divmod(principal, _PARTS)
    limit = whole * parts + rest * parts // _PARTS
    above: _Flags = rise > limit
    return above
