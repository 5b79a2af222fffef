"""Raw rows become canonical ones: each row once, exact or marked, and none stops the others."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiva_pipeline.mis import records
from kiva_pipeline.mis.source import RAW_BALANCES, RAW_INSTALMENTS, RAW_LOANS, RAW_NOTES
from kiva_pipeline.rulebook import Rulebook

LOAN: dict[str, Any] = dict.fromkeys(RAW_LOANS) | {
    "source_key": 1, "loan_id": "L-1", "client_id": "C-1", "principal": "3500.00",
    "currency": "KES", "currency_digits": 2, "disbursed_on": "2026-10-06", "disbursed": 1,
    "waiver_signed_on": "2026-10-01",
}  # fmt: skip
INSTALMENT: dict[str, Any] = {
    "source_key": 1, "loan_id": "L-1", "number": 1, "due_on": "2026-11-06", "principal": "1750",
    "interest": "35.5",
}  # fmt: skip
BALANCE: dict[str, Any] = {
    "loan_id": "L-1", "client_id": "C-1", "currency": "KES", "currency_digits": 2,
    "disbursed_on": "2026-01-06", "disbursed_minor": 350000, "repaid_minor": 100000,
    "charged_back_minor": 0, "recovered_minor": 0, "written_off_minor": 0, "unknown_minor": 0,
    "unknown_types": None,
}  # fmt: skip
NOTE: dict[str, Any] = {
    "source_key": 1, "note_id": "N1", "loan_id": "L-1", "client_id": "C-1",
    "written_on": "2026-10-06", "subject": "Visit", "body": "All well.", "image_url": None,
}  # fmt: skip


def raw(row: dict[str, Any], *changes: dict[str, Any]) -> pd.DataFrame:
    """The row with each of the changes, as objects, as a source hands them over."""
    rows = [tuple({**row, **change}.values()) for change in changes]
    return pd.DataFrame(rows, columns=list(row), dtype=object)


def loans(*changes: dict[str, Any]) -> pd.DataFrame:
    numbered = ({"loan_id": f"L-{n}"} | change for n, change in enumerate(changes))
    return records.canonical_loans(raw(LOAN, *numbered))


def problems(frame: pd.DataFrame, rules: Rulebook) -> list[set[str]]:
    return [{rule.code for rule in rules.broken(bits)} for bits in frame["problems"]]


def typed(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(kind) for name, kind in frame.dtypes.items()}


def test_good_rows_have_no_problem() -> None:
    assert problems(loans({}), records.LOAN_RECORDS) == [set()]
    made = records.canonical_instalments(raw(INSTALMENT, {}), loans({"loan_id": "L-1"}))
    assert problems(made, records.INSTALMENT_RECORDS) == [set()]
    assert made["principal"].tolist() == [175000]
    made = records.canonical_balances(raw(BALANCE, {}))
    assert problems(made, records.BALANCE_RECORDS) == [set()]
    assert problems(records.canonical_notes(raw(NOTE, {})), records.NOTE_RECORDS) == [set()]


def test_a_month_without_rows_has_its_columns_and_types() -> None:
    none = loans()
    assert typed(none) == records.LOAN_COLUMNS
    assert typed(records.canonical_instalments(raw(INSTALMENT), none)) == records.INSTALMENT_COLUMNS
    assert typed(records.canonical_balances(raw(BALANCE))) == records.BALANCE_COLUMNS
    assert typed(records.canonical_notes(raw(NOTE))) == records.NOTE_COLUMNS
    for name, row, columns in (("l", LOAN, RAW_LOANS), ("i", INSTALMENT, RAW_INSTALMENTS),
                               ("b", BALANCE, RAW_BALANCES), ("n", NOTE, RAW_NOTES)):  # fmt: skip
        assert tuple(row) == columns, name


# --- money


@pytest.mark.parametrize(
    ("amount", "digits", "minor"),
    [
        ("3500", 2, 350000),
        ("3500.000000", 2, 350000),
        ("3500.5", 2, 350050),
        (" 3500.05 ", 2, 350005),
        ("\u00a03500\u00a0", 2, 350000),
        (3500, 0, 3500),
        (Decimal("1E+3"), 2, 100000),
        (Decimal("3500.10"), 3, 3500100),
        ("0.001", 3, 1),
        ("-12.34", 2, -1234),
        ("999999999999.99", 2, 99999999999999),
        ("999999999999.9999", 4, 9999999999999999),
        ("000012", 0, 12),
        ("0", 2, 0),
    ],
)
def test_an_amount_is_read_exactly(amount: Any, digits: int, minor: int) -> None:
    made = loans({"principal": amount, "currency_digits": digits})
    assert made["principal"].tolist() == [minor]
    assert problems(made, records.LOAN_RECORDS) == [set()]


@pytest.mark.parametrize(
    "amount",
    [None, "", " ", "n/a", "1,500", "1.500,00", "1 500", "1\u00a0500", "1E+3", "1_500", "--5", "+5",
     "0x10", "NaN", "inf", float("nan"), float("inf"), 1e300, True, False, b"12", "١٥٠٠", "１５００",
     "12\n13", "9" * 13, "9" * 4000, 10**40, Decimal("NaN"), Decimal("Infinity"), Decimal("1E+100"),
     "\ud800", "12\x00"],
)  # fmt: skip
def test_what_is_no_amount_is_empty_and_said_so_and_stops_no_other_row(amount: Any) -> None:
    made = loans({"principal": amount}, {}, {"principal": amount})
    assert made["principal"].tolist() == [pd.NA, 350000, pd.NA]
    bad = {"principal_unreadable"}
    assert problems(made, records.LOAN_RECORDS) == [bad, set(), bad]


@pytest.mark.parametrize(
    ("amount", "digits"),
    [("0.5", 0), ("0.001", 2), ("1.2345", 3), (0.1 + 0.2, 2), ("1.00000000000000000001", 2),
     (Decimal("1E-20"), 4)],
)  # fmt: skip
def test_more_decimals_than_the_currency_has_are_told_and_never_rounded(
    amount: Any, digits: int
) -> None:
    made = loans({"principal": amount, "currency_digits": digits}, {})
    assert made["principal"].tolist() == [pd.NA, 350000]
    assert problems(made, records.LOAN_RECORDS) == [{"principal_has_fraction"}, set()]


@pytest.mark.parametrize("digits", [None, "", "two", -1, 5, 2.5, "9" * 30, float("inf"), True])
def test_an_amount_without_known_decimals_is_no_amount(digits: Any) -> None:
    made = loans({"currency_digits": digits}, {})
    assert made["principal"].tolist() == [pd.NA, 350000]
    assert problems(made, records.LOAN_RECORDS) == [{"currency_digits_unreadable"}, set()]


@given(st.integers(-(10**12) + 1, 10**12 - 1), st.integers(0, 4), st.data())
def test_what_a_person_typed_is_what_is_kept(whole: int, digits: int, data: st.DataObject) -> None:
    places = data.draw(st.integers(0, digits))
    fraction = "".join(data.draw(st.lists(st.sampled_from("0123456789"), min_size=places, max_size=places)))  # fmt: skip
    text = f"{whole}.{fraction}" if fraction else f"{whole}"
    made = loans({"principal": text, "currency_digits": digits})
    assert made["principal"].tolist() == [int(Decimal(text).scaleb(digits))]


# --- balances: money that comes as whole numbers


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (2**53 + 1, 2**53 + 1),
        (2**62 + 1, 2**62 + 1),
        (-(2**62) - 1, -(2**62) - 1),
        ("100000", 100000),
        (Decimal("100000.000"), 100000),
        (100000.0, 100000),
        (0, 0),
    ],
)
@pytest.mark.parametrize("neighbour", [1, None, "x", 0.5])
def test_a_balance_is_kept_to_the_last_unit_whatever_stands_beside_it(
    given: Any, kept: int, neighbour: Any
) -> None:
    made = records.canonical_balances(
        raw(BALANCE, {"repaid_minor": given}, {"loan_id": "L-2", "repaid_minor": neighbour})
    )
    assert made["repaid"].iloc[0] == kept
    assert problems(made, records.BALANCE_RECORDS)[0] == set()


@pytest.mark.parametrize(
    "value",
    [None, "", "x", 0.5, "1.5", float("nan"), float("inf"), "inf", 1e30, 2**63, 10**40, True,
     "1e3", Decimal("NaN"), Decimal("0.1"), "١٢"],
)  # fmt: skip
def test_what_is_no_whole_number_of_units_is_empty_and_never_nought(value: Any) -> None:
    made = records.canonical_balances(
        raw(BALANCE, {"repaid_minor": value}, {"loan_id": "L-2", "repaid_minor": 7})
    )
    assert made["repaid"].tolist() == [pd.NA, 7]
    assert problems(made, records.BALANCE_RECORDS) == [{"repaid_unreadable"}, set()]


def test_two_balances_of_one_loan_are_both_marked() -> None:
    made = records.canonical_balances(raw(BALANCE, {}, {"loan_id": "L-2"}, {}))
    assert problems(made, records.BALANCE_RECORDS) == [
        {"duplicate_loan_id"}, set(), {"duplicate_loan_id"},
    ]  # fmt: skip


# --- days


@pytest.mark.parametrize(
    "day",
    ["2026-10-06", " 2026-10-06 ", "2026-10-06 23:59:59", "2026-10-06T23:59:59.123456",
     "2026-10-06T23:59:59+02:00", date(2026, 10, 6), datetime(2026, 10, 6, 23, 59),
     datetime(2026, 10, 6, 1, tzinfo=UTC), pd.Timestamp("2026-10-06"), np.datetime64("2026-10-06")],
)  # fmt: skip
def test_a_day_is_read_from_what_databases_give(day: Any) -> None:
    made = loans({"disbursed_on": day})
    assert made["disbursed_on"].dt.date.tolist() == [date(2026, 10, 6)]
    assert problems(made, records.LOAN_RECORDS) == [set()]


@pytest.mark.parametrize("day", ["0001-01-01", "1970-01-01", "9999-12-31", "2028-02-29"])
def test_a_day_of_any_century_is_read(day: str) -> None:
    made = loans({"disbursed_on": day})
    assert made["disbursed_on"].dt.strftime("%Y-%m-%d").tolist() == [day]


@pytest.mark.parametrize(
    "day",
    [None, "", "0000-00-00", "0000-00-00 00:00:00", "2026-02-29", "2026-13-01", "06/10/2026",
     "06.10.2026", "6 October 2026", "2026-10", "20261006", "2026-10-6", "2026-10-06xyz",
     "2026-10-061", 46301, 46301.0, "46301", pd.NaT, float("nan"), True, "soon", "٢٠٢٦-١٠-٠٦",
     "12026-10-06"],
)  # fmt: skip
def test_what_is_no_iso_day_is_empty_and_said_so(day: Any) -> None:
    made = loans({"disbursed_on": day}, {})
    assert made["disbursed_on"].isna().tolist() == [True, False]
    assert problems(made, records.LOAN_RECORDS) == [{"disbursed_on_unreadable"}, set()]


@pytest.mark.parametrize(
    ("day", "told"),
    [(None, set()), ("", set()), (pd.NaT, set()), ("0000-00-00", {"waiver_signed_on_unreadable"}),
     ("yes", {"waiver_signed_on_unreadable"})],
)  # fmt: skip
def test_a_day_that_may_be_empty_is_told_only_if_it_is_no_day(day: Any, told: set[str]) -> None:
    assert problems(loans({"waiver_signed_on": day}), records.LOAN_RECORDS) == [told]


def test_days_of_a_column_that_is_typed_are_read_too() -> None:
    frame = raw(LOAN, {}, {"loan_id": "L-2"})
    frame["disbursed_on"] = pd.to_datetime(pd.Series(["2026-10-06", None]))
    made = records.canonical_loans(frame)
    assert made["disbursed_on"].dt.strftime("%Y-%m-%d").fillna("").tolist() == ["2026-10-06", ""]


# --- texts, flags, whole numbers


def test_texts_are_nfc_and_trimmed_in_every_script() -> None:
    names = ["Nguye\u0302\u0303n", "محمد\u200f", "𐐷𐑊", " ゙か ", "தமிழ்", "A\u0300\u0323"]
    made = loans(*({"first_name": name} for name in names))
    assert made["first_name"].tolist() == [
        "Nguyễn", "محمد\u200f", "𐐷𐑊", "゙か", "தமிழ்", "Ạ̀",
    ]  # fmt: skip
    assert loans({"loan_id": 145})["loan_id"].tolist() == ["145"]


@pytest.mark.parametrize(
    ("flag", "read"),
    [(1, True), (0, False), ("1", True), (True, True), ("false", False), (1.0, True), (None, None),
     ("", None), ("ja", None), (2, None)],
)  # fmt: skip
def test_a_flag_is_true_false_or_unknown(flag: Any, read: bool | None) -> None:
    made = loans({"pictured": flag}, {"pictured": 1})
    assert made["pictured"].tolist() == [pd.NA if read is None else read, True]


@pytest.mark.parametrize("size", [None, 10, "10", "x", 1.5, float("inf"), 10**40])
def test_an_odd_size_of_a_photo_stops_no_row(size: Any) -> None:
    assert len(loans({"photo_bytes": size}, {})) == 2


@pytest.mark.parametrize("number", [None, "", "x", 1.5, "inf", float("inf"), 10**40, "1e400", True])
def test_an_instalment_without_a_number_is_marked_and_kept(number: Any) -> None:
    made = records.canonical_instalments(
        raw(INSTALMENT, {"number": number}, {"number": 2}), loans({"loan_id": "L-1"})
    )
    told = problems(made, records.INSTALMENT_RECORDS)
    assert sorted(map(len, told)) == [0, 1]
    assert {"number_unreadable"} in told


def test_instalments_use_their_own_loans_decimals_and_come_sorted() -> None:
    of = loans(
        {"loan_id": "B", "currency_digits": 0},
        {"loan_id": "A", "currency_digits": 3},
        {"loan_id": "C", "currency_digits": None},
    )
    made = records.canonical_instalments(
        raw(
            INSTALMENT,
            {"loan_id": "B", "number": 10, "principal": "5"},
            {"loan_id": "B", "number": 9, "principal": "5.5", "interest": "1"},
            {"loan_id": "A", "principal": "5.125", "interest": "0"},
            {"loan_id": "C", "principal": "5"},
            {"loan_id": "nobody's", "principal": "5"},
            {"loan_id": None, "principal": "5"},
        ),
        of,
    )
    assert made["loan_id"].tolist() == ["", "A", "B", "B", "C", "nobody's"]
    assert made["principal"].tolist() == [pd.NA, 5125, pd.NA, 5, pd.NA, pd.NA]


# --- rows


def test_rows_with_one_id_are_both_marked_and_both_kept() -> None:
    made = loans({"loan_id": "e\u0301"}, {"loan_id": "é "}, {"loan_id": None}, {"loan_id": ""})
    assert problems(made, records.LOAN_RECORDS) == [
        {"duplicate_loan_id"}, {"duplicate_loan_id"}, {"no_loan_id"}, {"no_loan_id"},
    ]  # fmt: skip


ANYTHING = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates()
    | st.decimals() | st.binary(max_size=4)
)  # fmt: skip


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(RAW_LOANS, ANYTHING)), max_size=6))
def test_whatever_a_source_gives_each_loan_comes_out_once_in_its_place(
    rows: list[dict[str, Any]],
) -> None:
    made = records.canonical_loans(raw(LOAN, *rows))
    assert len(made) == len(rows)
    assert typed(made) == records.LOAN_COLUMNS
    keys = made["source_key"].tolist()
    alone = [records.canonical_loans(raw(LOAN, row))["source_key"].iloc[0] for row in rows]
    assert keys == alone


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(RAW_BALANCES, ANYTHING)), max_size=6))
def test_whatever_a_source_gives_each_balance_comes_out_once(rows: list[dict[str, Any]]) -> None:
    made = records.canonical_balances(raw(BALANCE, *rows))
    assert len(made) == len(rows)
    assert typed(made) == records.BALANCE_COLUMNS


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(RAW_INSTALMENTS, ANYTHING)), max_size=6))
def test_whatever_a_source_gives_each_instalment_comes_out_once(
    rows: list[dict[str, Any]],
) -> None:
    made = records.canonical_instalments(raw(INSTALMENT, *rows), loans({}, {}))
    assert len(made) == len(rows)
    assert typed(made) == records.INSTALMENT_COLUMNS


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(RAW_NOTES, ANYTHING)), max_size=6))
def test_whatever_a_source_gives_each_note_comes_out_once(rows: list[dict[str, Any]]) -> None:
    made = records.canonical_notes(raw(NOTE, *rows))
    assert len(made) == len(rows)
    assert typed(made) == records.NOTE_COLUMNS


def test_a_month_of_nothing_but_bad_rows_is_kept_whole() -> None:
    made = loans(*({"principal": "?", "currency": None} for _ in range(500)))
    assert len(made) == 500
    counts = records.LOAN_RECORDS.counts(made["problems"].to_numpy())
    assert counts["principal_unreadable"] == counts["no_currency"] == 500


@pytest.mark.parametrize(
    ("columns", "rows"),
    [(records.LOAN_COLUMNS, records.LOAN_RECORDS), (records.INSTALMENT_COLUMNS, records.INSTALMENT_RECORDS),
     (records.BALANCE_COLUMNS, records.BALANCE_RECORDS), (records.NOTE_COLUMNS, records.NOTE_RECORDS)],
)  # fmt: skip
def test_no_rule_repeats_a_value_or_asks_for_a_column_that_is_not_there(
    columns: dict[str, str], rows: Rulebook
) -> None:
    for rule in rows.rules:
        assert rule.field in columns
        assert rule.sentence.endswith(".")
        assert "{" not in rule.sentence
