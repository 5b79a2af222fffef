"""Exact money: int64 minor units in frames, exact decimal digits on the wire, never a float."""

from decimal import Decimal, InvalidOperation

# ISO 4217 minor units that differ from 2, for currencies of Kiva's partners and their neighbours.
# The loan's own number of digits in the MIS wins; this is for amounts that come without one.
ISO_DIGITS = {
    "BHD": 3, "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "IQD": 3, "JOD": 3, "JPY": 0, "KMF": 0,
    "KRW": 0, "KWD": 3, "LYD": 3, "OMR": 3, "PYG": 0, "RWF": 0, "TND": 3, "UGX": 0, "VND": 0,
    "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
}  # fmt: skip


def to_minor(amount: str | int | Decimal, digits: int) -> int | None:
    """Exact minor units of a decimal amount, or None if it isn't one or has more digits than that.

    Trailing zeros beyond the digits are fine (``"3500.000000"`` at 2 digits is 350000).
    """
    try:
        scaled = Decimal(str(amount).strip()).scaleb(digits)
        if not scaled.is_finite() or scaled != scaled.to_integral_value():
            return None
    except InvalidOperation:
        return None
    return int(scaled)


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
