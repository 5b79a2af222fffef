"""Exact money: int64 minor units in frames, exact decimal digits on the wire, never a float."""

import re
from collections.abc import Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from enum import Enum
from functools import cache

# ISO 4217 minor units that differ from 2, for currencies of Kiva's partners and their neighbours.
# The loan's own number of digits in the MIS wins; this is for amounts that come without one.
ISO_DIGITS = {
    "BHD": 3, "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "IQD": 3, "JOD": 3, "JPY": 0, "KMF": 0,
    "KRW": 0, "KWD": 3, "LYD": 3, "OMR": 3, "PYG": 0, "RWF": 0, "TND": 3, "UGX": 0, "VND": 0,
    "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
}  # fmt: skip

_PLAIN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
# An amount with more digits than this is refused instead of rounded.
_EXACTLY = Context(prec=40, traps=[Inexact, InvalidOperation, Overflow])
_LIMIT = 2**63
_LIMIT_DIGITS = 19


class MinorProblem(Enum):
    """Why an amount has no exact minor units."""

    NOT_A_NUMBER = "not a plain decimal number"
    FRACTION = "more decimals than the currency has"
    TOO_LARGE = "more than an int64 holds"


def read_minor(amount: str | int | Decimal, digits: int) -> int | MinorProblem:
    """Exact minor units of a decimal amount, or why it has none.

    Trailing zeros beyond the digits are fine (``"3500.000000"`` at 2 digits is 350000).
    """
    text = str(amount).strip()
    # Decimal also reads digits of other scripts and underscores, which no MIS means as an amount.
    if not _PLAIN.fullmatch(text):
        return MinorProblem.NOT_A_NUMBER
    try:
        scaled = Decimal(text).scaleb(digits, _EXACTLY)
    except Inexact:
        # More digits than any amount has: they are before the point, or behind it.
        beyond = Decimal(text).adjusted() + digits >= _LIMIT_DIGITS
        return MinorProblem.TOO_LARGE if beyond else MinorProblem.FRACTION
    except ArithmeticError:
        return MinorProblem.TOO_LARGE
    if abs(scaled) >= _LIMIT:
        return MinorProblem.TOO_LARGE
    return int(scaled) if scaled == scaled.to_integral_value() else MinorProblem.FRACTION


def to_minor(amount: str | int | Decimal, digits: int) -> int | None:
    """``read_minor``, or None where there is no exact answer."""
    read = read_minor(amount, digits)
    return read if isinstance(read, int) else None


def to_decimal(minor: int, digits: int) -> Decimal:
    """The decimal amount of minor units, with exactly ``digits`` places."""
    return Decimal(minor).scaleb(-digits)


def to_digits(minor: int, digits: int) -> str:
    """Exact plain digits for the wire: ``(350000, 2)`` gives ``"3500.00"``."""
    if digits == 0:
        return str(minor)
    sign, text = ("-", str(-minor)) if minor < 0 else ("", str(minor))
    text = text.rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}"


def all_digits(minors: Sequence[int], digits: Sequence[int]) -> list[str]:
    """``to_digits`` of each amount; quick where all have the same number of digits."""
    places = digits[0] if digits else 0
    if places == 0 or min(minors) < 0 or digits.count(places) != len(digits):
        return [to_digits(minor, each) for minor, each in zip(minors, digits, strict=True)]
    unit, fractions = 10**places, _fractions(places)
    return [f"{minor // unit}{fractions[minor % unit]}" for minor in minors]


@cache
def _fractions(places: int) -> list[str]:
    """``.00`` to ``.99``."""
    return [f".{part:0{places}d}" for part in range(10**places)]
