"""Raw cells of an MIS as typed columns: text, ids, whole numbers, days, yes and no, money.

A driver hands over whatever it likes: texts, Decimals, floats, bytes, dates. Each function takes
one raw column and never raises for what is in it. What must not break: a value that is not exactly
readable becomes empty and is said to be so; it is never guessed, rounded or cut off.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

import numpy as np
import pandas as pd

from kiva_pipeline.money import MinorProblem, read_minor

Column: TypeAlias = "pd.Series[str]"  # a raw column may hold anything
Flags: TypeAlias = "pd.Series[bool]"

# Amounts beyond it are no loan's: hundreds of them still add up within an int64.
AMOUNT_LIMIT = 10**16

# Kinds of columns that pandas itself turns into the text that is wanted.
_PLAIN_KINDS = frozenset({"string", "integer", "empty", "date", "datetime", "datetime64"})
# Control characters, and what stands for bytes that nobody could read; line breaks are fine.
_BROKEN_TEXT = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]"
# An id is compared character by character at Kiva: nothing in it may be invisible.
_BROKEN_ID = "[\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff\ufffd]"
# A time is only let through where it can't move the day: midnight, or without a zone.
_ISO_DAY = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ](?:00:00(?::00(?:\.0+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?|[0-9]{2}:[0-9]{2}[0-9:.]*))?"
)
_YES = ("1", "true", "t", "yes", "y", "1.0", "\x01")
_NO = ("0", "false", "f", "no", "n", "0.0", "\x00")
_YES_AND_NO = dict.fromkeys(_YES, True) | dict.fromkeys(_NO, False)
_FLOAT_DIGITS = 15  # every decimal number of so many digits survives being a float


def texts(values: Column) -> Column:
    """NFC text without blanks at its ends; "" for an empty cell.

    Bytes are read as UTF-8; what is none becomes U+FFFD, which ``unreadable_texts`` finds. So does
    a NUL, which not every ledger can keep.
    """
    found = _written(values).str.replace("\0", "\N{REPLACEMENT CHARACTER}", regex=False)
    foreign = ~found.str.isascii()
    if foreign.any():  # ASCII is NFC, and ids are hardly ever anything else
        found[foreign] = found[foreign].str.normalize("NFC").to_numpy()
    return found.str.strip()


def unreadable_texts(found: Column) -> Flags:
    """Which texts hold control characters, or bytes that are no UTF-8."""
    return found.str.contains(_BROKEN_TEXT, regex=True)


def unreadable_ids(values: Column, found: Column) -> Flags:
    """Which ids are not the text that they were in the MIS, or hold what can't be seen.

    Args:
        values: The raw column: an id that came as a decimal number may have lost its zeros.
        found: The same as ``texts`` reads it.
    """
    bad = found.str.contains(_BROKEN_ID, regex=True)
    if _kind(values) in _PLAIN_KINDS:
        return bad
    return bad | pd.Series(map(_is_no_id, values), index=values.index, dtype="bool")


def whole_numbers(values: Column) -> "pd.Series[int]":
    """``Int64``; empty where it is no whole number below ``AMOUNT_LIMIT``."""
    numbers = _as_integers(values)
    if numbers is None:
        whole = _written(values).str.strip().str.extract(r"^(-?[0-9]{1,17})(?:\.0*)?$")[0]
        numbers = whole.fillna("0").astype("int64").astype("Int64").where(whole.notna())
    return numbers.where(numbers.between(-AMOUNT_LIMIT, AMOUNT_LIMIT, inclusive="neither"))


def days(values: Column, *, required: bool) -> tuple["pd.Series[pd.Timestamp]", Flags]:
    """``datetime64[ms]``, and which could not be read.

    Only ISO days are read: a source that has other forms must say which, never let us guess. A
    time of day with a zone is none of them either: its day depends on where one looks from.

    Args:
        values: The raw column.
        required: Whether an empty cell counts as one that could not be read.
    """
    text = _written(values).str.strip()
    iso = text.where(text.str.fullmatch(_ISO_DAY), "").str.slice(0, 10)
    read = pd.to_datetime(iso, format="%Y-%m-%d", errors="coerce").astype("datetime64[ms]")
    return read, read.isna() & (required | (text != ""))


def yes_or_no(values: Column) -> Flags:
    """``boolean``; empty where it says neither."""
    return _written(values).str.lower().map(_YES_AND_NO).astype("boolean")


@dataclass(frozen=True, slots=True)
class Money:
    """A column of amounts.

    Attributes:
        minor: ``Int64`` minor units, empty where the amount can't be had exactly.
        unreadable: It is empty or no number.
        fraction: It has more decimals than the currency.
        too_large: It is beyond ``AMOUNT_LIMIT``.
    """

    minor: "pd.Series[int]"
    unreadable: Flags
    fraction: Flags
    too_large: Flags


def money(values: Column, digits: "pd.Series[int]") -> Money:
    """Exact minor units, by digits of text: no float is ever made of an amount.

    Args:
        values: Amounts in major units.
        digits: ``Int64``, the number of decimals of each row's currency; empty where unknown: of
            such a row it is only said whether it is a number.
    """
    text = _written(values).str.strip()
    parts = text.str.extract(r"^(?P<sign>-?)(?P<whole>[0-9]{1,12})(?:\.(?P<places>[0-9]{1,6}))?$")
    usual = parts["whole"].notna().to_numpy()
    whole = parts["whole"].fillna("0").astype("int64").to_numpy()
    micro = parts["places"].fillna("").str.pad(6, side="right", fillchar="0").astype("int64")
    shift = 10 ** (6 - digits.fillna(2).astype("int64").to_numpy())
    minor, rest = np.divmod(whole * 1_000_000 + micro.to_numpy(), shift)
    minor = np.where(parts["sign"].to_numpy() == "-", -minor, minor)
    fraction = usual & (rest != 0)
    unreadable, too_large = ~usual & (text == "").to_numpy(), np.zeros(len(text), dtype=bool)
    for at in np.flatnonzero(~usual & ~unreadable).tolist():
        places = digits.iloc[at]
        read = _unusual(text.iloc[at], values.iloc[at], 4 if pd.isna(places) else int(places))
        unreadable[at] = read is MinorProblem.NOT_A_NUMBER
        fraction[at] = read is MinorProblem.FRACTION
        too_large[at] = read is MinorProblem.TOO_LARGE
        minor[at] = 0 if isinstance(read, MinorProblem) else read
    known = digits.notna().to_numpy()
    good = known & ~unreadable & ~fraction & ~too_large

    def column(array: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> Flags:
        return pd.Series(array, index=values.index)

    return Money(
        pd.Series(minor, index=values.index, dtype="Int64").where(column(good)),
        column(unreadable),
        column(fraction & known),
        column(too_large & known),
    )


def _unusual(text: str, value: object, digits: int) -> int | MinorProblem:
    read = read_minor(text, digits)
    if isinstance(read, MinorProblem):
        return read
    inexact = isinstance(value, float) and abs(value) >= 10**_FLOAT_DIGITS
    return MinorProblem.TOO_LARGE if inexact or abs(read) >= AMOUNT_LIMIT else read


def _as_integers(values: Column) -> "pd.Series[int] | None":
    """The column where it holds integers already and nothing else; the usual case, and fast."""
    if values.dtype == "Int64":
        return values
    if values.dtype.kind == "u" or _kind(values, skipna=False) != "integer":
        return None
    try:
        return pd.Series(values.to_numpy(dtype="int64"), index=values.index, dtype="Int64")
    except (OverflowError, ValueError):
        return None


def _written(values: Column) -> Column:
    """Each cell as it would be written down; "" for an empty one."""
    if _kind(values) in _PLAIN_KINDS:
        try:
            return values.astype("str").fillna("")
        except UnicodeEncodeError:  # half a character, as a broken export leaves it
            pass
    cells = [_as_text(value) for value in values]
    return pd.Series(cells, index=values.index, dtype="str")


def _kind(values: Column, *, skipna: bool = True) -> str:
    try:
        return str(pd.api.types.infer_dtype(values, skipna=skipna))
    except ArithmeticError:  # a signalling NaN
        return "mixed"


def _as_text(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, Decimal):
        # Decimal("1E+3") is a thousand; its plain form is what a person would have typed.
        return format(value, "f")
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return ""
    return str(value).encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _is_no_id(value: object) -> bool:
    if isinstance(value, Decimal):
        return not value.is_finite() or value.as_tuple().exponent != 0
    return isinstance(value, bool | np.bool_ | float) and not pd.isna(value)
