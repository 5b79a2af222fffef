"""Money is exact or it is nothing."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiva_pipeline.money import MinorProblem, read_minor, to_decimal, to_digits, to_minor

MINOR = st.integers(-(2**63) + 1, 2**63 - 1)
DIGITS = st.integers(0, 4)


@given(MINOR, DIGITS)
def test_the_digits_on_the_wire_say_exactly_the_minor_units(minor: int, digits: int) -> None:
    assert to_minor(to_digits(minor, digits), digits) == minor
    assert to_minor(to_decimal(minor, digits), digits) == minor
    assert Decimal(to_digits(minor, digits)) == to_decimal(minor, digits)
    assert "E" not in to_digits(minor, digits)


@pytest.mark.parametrize(
    ("minor", "digits", "text"),
    [(350000, 2, "3500.00"), (5, 2, "0.05"), (-5, 2, "-0.05"), (0, 3, "0.000"), (7, 0, "7"),
     (-1234, 3, "-1.234"), (10, 4, "0.0010")],
)  # fmt: skip
def test_wire_digits_have_all_places_of_the_currency(minor: int, digits: int, text: str) -> None:
    assert to_digits(minor, digits) == text


@pytest.mark.parametrize(
    ("amount", "digits", "minor"),
    [("3500.000000", 2, 350000), (" 12.5 ", 2, 1250), (Decimal("1E+3"), 0, 1000),
     ("1E+3", 2, 100000), (7, 3, 7000), ("-0.01", 2, -1), ("+5", 0, 5), (".5", 1, 5),
     ("\u00a012.50", 2, 1250)],
)  # fmt: skip
def test_amounts_that_people_and_databases_write_are_read(
    amount: str | int | Decimal, digits: int, minor: int
) -> None:
    assert to_minor(amount, digits) == minor


@pytest.mark.parametrize(
    ("amount", "digits"),
    [("0.001", 2), ("1.5", 0), ("", 2), (" ", 2), ("NaN", 2), ("sNaN", 2), ("Infinity", 2),
     ("1,500.00", 2), ("1 500", 2), ("1_500", 2), ("١٥٠٠", 2), ("１５００", 2), (True, 2),
     (False, 0), ("0x10", 0), ("12.5.1", 2), ("KES 5", 2), ("--5", 2)],
)  # fmt: skip
def test_what_is_no_exact_amount_is_none(amount: str | int | Decimal, digits: int) -> None:
    assert to_minor(amount, digits) is None


@pytest.mark.parametrize(
    "amount",
    [2**63, "9" * 40, Decimal("1E+1000"), "1E+999999999", "123456789012345678901234567890"],
)
def test_an_amount_that_no_int64_can_hold_is_none_and_never_rounded(
    amount: str | int | Decimal,
) -> None:
    assert to_minor(amount, 0) is None
    assert to_minor(amount, 2) is None


@pytest.mark.parametrize(
    ("amount", "problem"),
    [
        ("a lot", MinorProblem.NOT_A_NUMBER), ("", MinorProblem.NOT_A_NUMBER),
        (Decimal("sNaN"), MinorProblem.NOT_A_NUMBER), ("12.345", MinorProblem.FRACTION),
        ("1E-999", MinorProblem.FRACTION), ("1." + "1" * 60, MinorProblem.FRACTION),
        ("9" * 60, MinorProblem.TOO_LARGE), ("1E+999", MinorProblem.TOO_LARGE),
        ("92233720368547758.08", MinorProblem.TOO_LARGE),
    ],
)  # fmt: skip
def test_an_amount_without_minor_units_says_why(
    amount: str | Decimal, problem: MinorProblem
) -> None:
    assert read_minor(amount, 2) is problem
    assert to_minor(amount, 2) is None


@given(st.decimals(allow_nan=False, allow_infinity=False), DIGITS)
def test_whatever_is_read_is_exactly_the_amount(amount: Decimal, digits: int) -> None:
    read = read_minor(amount, digits)
    if isinstance(read, int):
        assert to_decimal(read, digits) == amount
