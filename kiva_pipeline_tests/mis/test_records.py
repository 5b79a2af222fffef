"""Canonical records: every raw row comes out, exactly read or marked with what is wrong with it."""

import csv
import datetime as dt
import unicodedata
from decimal import Decimal
from importlib import resources

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiva_pipeline.mis import records
from kiva_pipeline.mis.cells import AMOUNT_LIMIT
from kiva_pipeline.mis.records import (
    BALANCE_COLUMNS,
    BALANCE_RECORDS,
    INSTALMENT_COLUMNS,
    INSTALMENT_RECORDS,
    LOAN_COLUMNS,
    LOAN_RECORDS,
    NOTE_COLUMNS,
    NOTE_RECORDS,
    canonical_balances,
    canonical_instalments,
    canonical_loans,
    canonical_notes,
)
from kiva_pipeline.mis.source import RAW_BALANCES, RAW_INSTALMENTS, RAW_LOANS, RAW_NOTES
from kiva_pipeline.money import to_digits

LOAN = dict.fromkeys(RAW_LOANS) | {
    "source_key": 1, "loan_id": "L1", "client_id": "C1", "first_name": "Aline",
    "principal": "3500.00", "currency": "KES", "currency_digits": 2,
    "disbursed_on": "2026-10-06", "disbursed": 1,
}  # fmt: skip
INSTALMENT = dict.fromkeys(RAW_INSTALMENTS) | {
    "source_key": 1, "loan_id": "L1", "number": 1, "due_on": "2026-11-06",
    "principal": "3500.00", "interest": "35.00",
}  # fmt: skip
BALANCE = dict.fromkeys(RAW_BALANCES) | {
    "loan_id": "L1", "client_id": "C1", "currency": "KES", "currency_digits": 2,
    **{name: 0 for name in RAW_BALANCES if name.endswith("_minor")},
}  # fmt: skip
NOTE = dict.fromkeys(RAW_NOTES) | {
    "source_key": 1, "note_id": "N1", "loan_id": "L1", "client_id": "C1",
    "written_on": "2026-10-06", "subject": "News", "body": "She bought an oven.",
}  # fmt: skip


def raw(rows, columns):
    # As objects, like every source: an empty cell must turn no id or count into a float.
    return pd.DataFrame(rows, columns=list(columns), dtype=object)


def loans(*changes):
    """A good loan first, then one for each change; all are judged together."""
    rows = [
        LOAN,
        *(LOAN | {"source_key": n, "loan_id": f"L{n}"} | c for n, c in enumerate(changes, 2)),
    ]
    return canonical_loans(raw(rows, RAW_LOANS))


def balances(*changes):
    rows = [BALANCE | {"loan_id": f"L{n}"} | c for n, c in enumerate(changes, 1)]
    return canonical_balances(raw(rows, RAW_BALANCES))


def instalments(*changes, of=None):
    rows = [INSTALMENT | {"number": n} | c for n, c in enumerate(changes, 1)]
    return canonical_instalments(raw(rows, RAW_INSTALMENTS), loans() if of is None else of)


def notes(*changes):
    rows = [NOTE | {"source_key": n, "note_id": f"N{n}"} | c for n, c in enumerate(changes, 1)]
    return canonical_notes(raw(rows, RAW_NOTES))


def codes(book, frame, row=-1):
    return [rule.code for rule in book.broken(int(frame["problems"].iloc[row]))]


def read(column, values, **others):
    """What each value becomes in its own loan, and what is said of that row."""
    frame = loans(*({column: value} | others for value in values))
    assert codes(LOAN_RECORDS, frame, 0) == []  # their good neighbour
    cells = [None if pd.isna(cell) else cell for cell in frame[column]]
    return [(cells[n], codes(LOAN_RECORDS, frame, n)) for n in range(1, len(cells))]


def all_read(values, found):
    return [(found, [])] * len(values)


def none_read(values, code):
    return [(None, [code])] * len(values)


# --- shape


@pytest.mark.parametrize(
    ("made", "columns"),
    [
        (lambda: canonical_loans(raw([], RAW_LOANS)), LOAN_COLUMNS),
        (loans, LOAN_COLUMNS),
        (lambda: canonical_instalments(raw([], RAW_INSTALMENTS), loans()), INSTALMENT_COLUMNS),
        (lambda: instalments({}, of=loans().iloc[:0]), INSTALMENT_COLUMNS),
        (lambda: instalments({}), INSTALMENT_COLUMNS),
        (lambda: canonical_balances(raw([], RAW_BALANCES)), BALANCE_COLUMNS),
        (lambda: balances({}), BALANCE_COLUMNS),
        (lambda: canonical_notes(raw([], RAW_NOTES)), NOTE_COLUMNS),
        (lambda: notes({}), NOTE_COLUMNS),
    ],
)
def test_a_frame_has_its_columns_and_dtypes_whether_it_has_rows_or_not(made, columns):
    frame = made()
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == columns
    records.record_schema("as Dagster shows it", columns).validate(frame)


def test_good_rows_have_no_problems_and_say_what_the_mis_says():
    loan = loans().iloc[0]
    assert (loan["loan_id"], loan["principal"], loan["currency_digits"]) == ("L1", 350_000, 2)
    assert loan["disbursed_on"] == pd.Timestamp(2026, 10, 6)
    due = instalments({}).iloc[0]
    assert (due["principal"], due["interest"]) == (350_000, 3_500)
    assert balances({"repaid_minor": 12_345})["repaid"].tolist() == [12_345]
    assert notes({})["body"].tolist() == ["She bought an oven."]
    for frame in (loans(), instalments({}), balances({}), notes({})):
        assert frame["problems"].tolist() == [0] * len(frame)


# What a driver, an export or a person may put in any cell.
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.binary(max_size=8),
    st.decimals(allow_nan=True, allow_infinity=True), st.dates(), st.datetimes(), st.times(),
    st.sampled_from(
        [pd.NA, pd.NaT, np.nan, np.float64(2), np.int64(7), np.bool_(True), Decimal("sNaN"),
         Decimal("1E+30"), dt.timedelta(1), "1e400", "9" * 400, "\ud800", "2026-10-06", "3500",
         dt.datetime(2026, 1, 1, tzinfo=dt.UTC), np.datetime64("NaT"), [1], {"a": 1}]
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "good", "made"),
    [
        (RAW_LOANS, LOAN, canonical_loans),
        (RAW_BALANCES, BALANCE, canonical_balances),
        (RAW_NOTES, NOTE, canonical_notes),
        (RAW_INSTALMENTS, INSTALMENT, lambda rows: canonical_instalments(rows, loans())),
    ],
    ids=["loans", "balances", "notes", "instalments"],
)
@settings(max_examples=15)
@given(values=st.lists(ANYTHING, min_size=1, max_size=25))
def test_whatever_the_cells_hold_each_row_comes_out_once_and_a_good_one_stays_good(
    columns, good, made, values
):
    bad = [dict.fromkeys(columns, value) | {"source_key": n} for n, value in enumerate(values, 2)]
    frame = made(raw([good, *bad], columns))
    assert len(frame) == len(values) + 1
    of_good = frame["loan_id"] == "L1"
    assert frame.loc[of_good, "problems"].tolist() == [0]
    if "source_key" in frame:
        assert set(frame["source_key"]) == {str(n) for n in range(1, len(values) + 2)}


def test_an_odd_or_doubled_index_of_the_raw_frame_moves_nothing():
    rows = raw(
        [LOAN, LOAN | {"loan_id": "Ł2", "principal": "1E+2"}, LOAN | {"loan_id": None}], RAW_LOANS
    )
    rows.index = [7, 7, -1]
    frame = canonical_loans(rows)
    assert frame["loan_id"].tolist() == ["L1", "Ł2", ""]
    assert frame["principal"].tolist() == [350_000, 10_000, 350_000]
    assert [bool(bits) for bits in frame["problems"]] == [False, False, True]


# --- money


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(-AMOUNT_LIMIT + 1, AMOUNT_LIMIT - 1), st.integers(0, 4)),
        min_size=1, max_size=30,
    )
)  # fmt: skip
def test_money_of_every_currency_becomes_exactly_its_minor_units(amounts):
    changes = [
        {"principal": to_digits(minor, digits), "currency_digits": digits}
        for minor, digits in amounts
    ]
    frame = loans(*changes)
    assert frame["principal"].tolist()[1:] == [minor for minor, _ in amounts]
    assert frame["problems"].tolist() == [0] * len(frame)


AMOUNTS = [
    ("50000", 0, 50_000), ("12.5", 2, 1_250), ("12.500", 3, 12_500), ("0.0001", 4, 1),
    ("3500.000000", 2, 350_000), ("3500.00000000000000000000", 0, 3_500), ("-5", 2, -500),
    (" 12.50\u00a0", 2, 1_250), ("0000000000003500", 0, 3_500), ("+7", 0, 7), ("7.", 1, 70),
    (".5", 2, 50), ("1e3", 2, 100_000), ("1.5E+3", 0, 1_500), ("-0", 2, 0),
    (Decimal("1E+3"), 0, 1_000), (Decimal("12.50"), 2, 1_250), (Decimal("0E-6"), 2, 0),
    (7, 3, 7_000), (np.int64(7), 0, 7), (12.5, 2, 1_250), (3500.0, 0, 3_500), (0.1, 1, 1),
    (999_999_999_999.99, 2, 99_999_999_999_999), (b"12.5", 2, 1_250),
    ("99999999999999.99", 2, 10**16 - 1),
]  # fmt: skip


def test_amounts_are_read_as_people_and_databases_write_them():
    frame = loans(
        *({"principal": given, "currency_digits": digits} for given, digits, _ in AMOUNTS)
    )
    assert frame["principal"].tolist()[1:] == [minor for _, _, minor in AMOUNTS]
    assert frame["problems"].tolist() == [0] * len(frame)


def test_what_is_no_number_is_no_amount_and_the_row_says_so():
    no_numbers = [
        None, "", "  ", float("nan"), pd.NA, Decimal("NaN"), Decimal("sNaN"), "NaN", "inf", "-",
        float("inf"), Decimal("-Infinity"), "a lot", "1,500.00", "1 500", "1.500,00", "1_500",
        "KES 5", "٣٥٠٠", "３５００", "०", "²", "−5", True, False, dt.date(2026, 1, 1), "0x10",
        "12.5.1", b"\xff",
    ]  # fmt: skip
    assert read("principal", no_numbers) == none_read(no_numbers, "principal_unreadable")


@pytest.mark.parametrize(
    ("digits", "amounts"),
    [
        (0, ["0.5", 1.5]),
        (2, ["12.345", 0.1 + 0.2, "3500." + "0" * 60 + "1", Decimal("0.001")]),
        (3, ["12.3456"]),
        (4, ["1.00001", "1e-7", 1e-7]),
    ],
)
def test_more_decimals_than_the_currency_has_are_never_rounded_away(digits, amounts):
    found = read("principal", amounts, currency_digits=digits)
    assert found == none_read(amounts, "principal_has_fraction")


def test_an_amount_beyond_all_loans_is_refused_and_never_wraps_around():
    amounts = [
        "1e14", "-1e14", 10**14, 2**63, 2**64 + 1, "9" * 40, "1E+999", Decimal("1E+30"), 1e15,
        1e300, 1234567890123456.0,
    ]  # fmt: skip
    assert read("principal", amounts) == none_read(amounts, "principal_too_large")
    # A float of so many digits may have been rounded before it came here.
    found = read("principal", [1234567890123456.0], currency_digits=0)
    assert found == none_read([0], "principal_too_large")
    assert (AMOUNT_LIMIT - 1) * 900 < 2**63  # what a group's or a month's sum may hold


def test_without_the_number_of_decimals_there_is_no_amount_and_one_reason():
    digits = [None, "two", -1, 5, 1.5, float("inf"), True, "２", ""]
    frame = loans(*({"currency_digits": given, "principal": "12.345"} for given in digits))
    assert frame["principal"].isna().tolist() == [False] + [True] * len(digits)
    assert frame["currency_digits"].isna().tolist() == [False] + [True] * len(digits)
    for row in range(1, len(frame)):
        assert codes(LOAN_RECORDS, frame, row) == ["currency_digits_unreadable"]
    due = instalments({"loan_id": "L2"}, {"loan_id": "nobody's"}, of=frame)
    assert due["principal"].isna().all()


def test_the_number_of_decimals_is_read_as_drivers_give_it():
    found = read("currency_digits", [0, "0", 3, "3", 4.0, "4.0", np.int64(2), Decimal(2)])
    assert found == [(n, []) for n in (0, 0, 3, 3, 4, 4, 2, 2)]


def test_a_schedules_amounts_have_the_decimals_of_their_own_loan():
    of = loans({"currency_digits": 0, "principal": "7"}, {"currency_digits": 3})
    frame = instalments(
        {"loan_id": "L1", "principal": "7.25"},
        {"loan_id": "L2", "principal": "7", "interest": "0"},
        {"loan_id": "L3", "principal": "7.125", "interest": "0.001"},
        {"loan_id": "L2", "principal": "7.5", "interest": "9e99"},
        of=of,
    )
    assert frame["loan_id"].tolist() == ["L1", "L2", "L2", "L3"]
    assert frame["principal"].fillna(-1).tolist() == [725, 7, -1, 7_125]
    assert frame["interest"].fillna(-1).tolist() == [3_500, 0, -1, 1]
    assert codes(INSTALMENT_RECORDS, frame, 2) == ["principal_has_fraction", "interest_too_large"]
    assert frame["problems"].astype(bool).tolist() == [False, False, True, False]


# --- sums of bookings, counts


@settings(max_examples=20)
@given(st.lists(st.integers(-AMOUNT_LIMIT + 1, AMOUNT_LIMIT - 1), min_size=1, max_size=20))
def test_sums_in_minor_units_are_kept_to_the_last_digit_beside_empty_and_odd_ones(sums):
    frame = balances(*({"repaid_minor": n} for n in [None, "x", *sums]))
    assert frame["repaid"].isna().tolist() == [True, True] + [False] * len(sums)
    assert frame["repaid"].tolist()[2:] == sums
    for row in (0, 1):
        assert codes(BALANCE_RECORDS, frame, row) == ["repaid_unreadable"]
    assert frame["problems"].tolist()[2:] == [0] * len(sums)


def test_a_sum_may_come_as_decimal_float_or_text_as_databases_give_it():
    given = [
        Decimal("123"), Decimal("123.000"), 123.0, "123", np.int32(123), 2**53 + 1, "-5",
    ]  # fmt: skip
    frame = balances(*({"disbursed_minor": n} for n in given))
    assert frame["disbursed"].tolist() == [123] * 5 + [2**53 + 1, -5]
    assert frame["problems"].tolist() == [0] * len(given)


def test_a_sum_that_is_no_whole_number_of_minor_units_is_none():
    given = [
        None, "", 1.5, "1.5", Decimal("0.01"), float("inf"), float("nan"), 1e30, 10**16, 2**63,
        2**70, -(2**63), -(2**70), True, "٣", b"\x01", "1e3",
    ]  # fmt: skip
    for some in (given, [2**70, 5], [-(2**63), 5], [None, 2**63]):
        frame = balances(*({"written_off_minor": n} for n in some))
        bad = [n != 5 for n in some]
        assert frame["written_off"].isna().tolist() == bad
        for row, is_bad in enumerate(bad):
            said = codes(BALANCE_RECORDS, frame, row)
            assert said == (["written_off_unreadable"] if is_bad else [])


def test_an_unsigned_column_does_not_turn_into_negative_amounts():
    frame = raw([BALANCE, BALANCE | {"loan_id": "L2"}], RAW_BALANCES)
    frame["repaid_minor"] = np.array([5, 2**64 - 5], dtype="uint64")
    made = canonical_balances(frame)
    assert made["repaid"].isna().tolist() == [False, True]


def test_an_instalment_without_a_readable_number_keeps_its_row_and_says_so():
    numbers = [None, "first", 1.5, float("inf"), 1e30, "1,0"]
    frame = instalments({}, *({"number": number} for number in numbers))
    assert frame["number"].isna().tolist() == [False] + [True] * len(numbers)
    for row in range(1, len(frame)):
        assert codes(INSTALMENT_RECORDS, frame, row) == ["number_unreadable"]


def test_a_balance_needs_its_currency_and_a_duplicate_marks_both_rows():
    frame = balances({"loan_id": "A"}, {"loan_id": "A"}, {"loan_id": "B", "currency": None}, {})
    assert [codes(BALANCE_RECORDS, frame, n) for n in range(4)] == [
        ["duplicate_loan_id"], ["duplicate_loan_id"], ["no_currency"], [],
    ]  # fmt: skip


# --- ids and texts


def test_ids_keep_their_zeros_and_a_whole_number_is_its_own_text():
    frame = loans(*({"loan_id": i} for i in ("000001047", 1047, np.int64(7), Decimal(5))))
    assert frame["loan_id"].tolist() == ["L1", "000001047", "1047", "7", "5"]
    assert frame["problems"].tolist() == [0] * 5


@pytest.mark.parametrize("column", ["loan_id", "client_id", "group_id", "group_client_id"])
def test_an_id_that_is_not_what_one_sees_is_never_sent(column):
    bad = [
        1047.0, np.float64(1048), True, Decimal("1049.0"), "A\u200b1", "\ufeffA1", "A\x002",
        "A\n1", "A\u00ad1", b"\xffA1", "\udc80A", "A\u202e1",
    ]  # fmt: skip
    assert [said for _, said in read(column, bad)] == [[f"{column}_unreadable"]] * len(bad)


def test_duplicate_ids_mark_both_rows_however_they_are_spelled_and_blanks_are_missing():
    nfd = unicodedata.normalize("NFD", "Ł-é")
    frame = loans({"loan_id": "Ł-é"}, {"loan_id": f" {nfd} "}, {"loan_id": None}, {"loan_id": " "})
    assert [codes(LOAN_RECORDS, frame, n) for n in range(1, 5)] == [
        ["duplicate_loan_id"], ["duplicate_loan_id"], ["no_loan_id"], ["no_loan_id"],
    ]  # fmt: skip


def all_names():
    file = resources.files("kiva_pipeline.sandbox.demo_mis") / "data" / "names.csv"
    with file.open(encoding="utf-8") as text:
        return {
            row["script"]: [name for c in ("female", "male", "last") for name in row[c].split("|")]
            for row in csv.DictReader(text)
        }


def test_names_of_every_script_come_out_nfc_and_otherwise_untouched():
    names = all_names()
    assert len(names) >= 45
    written = [name for of_script in names.values() for name in of_script]
    frame = loans(
        *(
            {"first_name": unicodedata.normalize(form, name), "last_name": f"\u3000{name} "}
            for name in written
            for form in ("NFC", "NFD", "NFC")
        )
    )
    expected = [unicodedata.normalize("NFC", name) for name in written for _ in range(3)]
    assert frame["first_name"].tolist()[1:] == expected
    assert frame["last_name"].tolist()[1:] == expected
    assert frame["problems"].tolist() == [0] * len(frame)


@settings(max_examples=30)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=("Cc", "Cs", "Co", "Cn")), max_size=30),
        min_size=1, max_size=8,
    )
)  # fmt: skip
def test_a_readable_text_is_its_own_nfc_form(texts):
    frame = loans(*({"description": text} for text in texts))
    expected = [unicodedata.normalize("NFC", text).strip() for text in texts]
    assert frame["description"].tolist()[1:] == expected
    assert [bits == 0 for bits in frame["problems"][1:]] == ["\ufffd" not in t for t in texts]


def test_what_joins_letters_and_breaks_lines_is_part_of_a_text():
    persian, lines = "می\u200cخواهم", "First line.\r\nSecond\tline."
    assert read("first_name", [persian]) == [(persian, [])]
    assert read("description", [lines]) == [(lines, [])]


LOAN_TEXTS = ["first_name", "last_name", "group_name", "description", "loan_use"]
NOTE_TEXTS = ["subject", "body", "image_url"]


@pytest.mark.parametrize("bad", [b"Jos\xe9", "J\udce9os", "J\x00os", "J\x85os"])
def test_a_text_that_nobody_can_read_blocks_its_row_under_the_fields_name(bad):
    frame = loans(*({column: bad} for column in LOAN_TEXTS))
    for row, column in enumerate(LOAN_TEXTS, 1):
        assert codes(LOAN_RECORDS, frame, row) == [f"{column}_unreadable"]
    frame = notes(*({column: bad} for column in NOTE_TEXTS))
    for row, column in enumerate(NOTE_TEXTS):
        assert codes(NOTE_RECORDS, frame, row) == [f"{column}_unreadable"]


def test_utf_8_bytes_are_read_as_the_text_that_they_are():
    assert read("first_name", ["Жанна".encode()]) == [("Жанна", [])]


# --- days


def test_an_iso_day_is_read_from_whatever_carries_it():
    days = [
        "2026-10-06", " 2026-10-06 ", dt.date(2026, 10, 6), dt.datetime(2026, 10, 6, 23, 59),
        pd.Timestamp(2026, 10, 6), np.datetime64("2026-10-06"), "2026-10-06 23:59:59",
        "2026-10-06T23:59:59.999", "2026-10-06T00:00:00Z", "2026-10-06 00:00:00+03:00",
        b"2026-10-06", dt.datetime(2026, 10, 6, tzinfo=dt.UTC),
    ]  # fmt: skip
    for column in ("disbursed_on", "waiver_signed_on"):
        assert read(column, days) == all_read(days, pd.Timestamp(2026, 10, 6))


def test_what_is_no_iso_day_or_depends_on_a_zone_is_never_guessed():
    no_days = [
        "06/10/2026", "10-06-2026", "6 Oct 2026", "2026-10-6", "2026-1-06", "26-10-06", "20261006",
        "2026-02-30", "2026-13-01", "0000-00-00", "2026-10-06x", "2026-10-061", "yesterday", 46301,
        46301.0, "٢٠٢٦-١٠-٠٦", "２０２６-１０-０６", True, "2026-10-06T22:30:00Z",
        "2026-10-06 22:30:00+00:00", dt.datetime(2026, 10, 6, 22, 30, tzinfo=dt.UTC), b"\xff",
        "-2026-10-06",
    ]  # fmt: skip
    for column in ("disbursed_on", "waiver_signed_on"):
        assert read(column, no_days) == none_read(no_days, f"{column}_unreadable")


def test_a_day_that_must_be_there_is_missed_and_one_that_may_be_absent_is_not():
    empty = [None, "", "  ", float("nan"), pd.NaT, pd.NA]
    assert read("disbursed_on", empty) == none_read(empty, "disbursed_on_unreadable")
    assert read("waiver_signed_on", empty) == all_read(empty, None)
    for cell in empty:
        assert codes(INSTALMENT_RECORDS, instalments({"due_on": cell})) == ["due_on_unreadable"]
        assert codes(NOTE_RECORDS, notes({"written_on": cell})) == ["written_on_unreadable"]
        assert codes(BALANCE_RECORDS, balances({"disbursed_on": cell})) == []


@settings(max_examples=20)
@given(st.lists(st.dates(), min_size=1))
def test_every_day_of_the_calendar_is_read_as_itself(days):
    frame = loans(*({"disbursed_on": day.isoformat()} for day in days))
    assert [day.date() for day in frame["disbursed_on"].iloc[1:]] == days


def test_a_whole_column_of_timestamps_is_read_like_texts():
    rows = raw([LOAN, LOAN | {"loan_id": "L2"}], RAW_LOANS)
    rows["disbursed_on"] = pd.to_datetime(["2026-10-06", None])
    frame = canonical_loans(rows)
    assert [codes(LOAN_RECORDS, frame, n) for n in range(2)] == [[], ["disbursed_on_unreadable"]]


# --- yes and no, photos


def test_yes_and_no_are_read_as_drivers_give_them():
    yes = [True, 1, 1.0, "1", "true", "TRUE", "t", "Yes", "y", b"\x01", np.bool_(1)]
    no = [False, 0, 0.0, "0", "false", "F", "no", "N", b"\x00", np.bool_(0)]
    for column in ("pictured", "disbursed"):
        assert read(column, yes) == all_read(yes, found=True)
        assert read(column, no) == all_read(no, found=False)


def test_what_is_neither_yes_nor_no_stays_empty_for_the_rules_to_say_so():
    neither = [None, "", 2, -1, "oui", float("nan"), pd.NA, "maybe"]
    for column in ("pictured", "disbursed"):
        assert read(column, neither) == all_read(neither, None)


def test_a_photos_size_that_is_no_whole_number_is_empty():
    sizes = [None, 1.5, "x", float("inf"), 2**70, 1e30]
    assert read("photo_bytes", sizes) == all_read(sizes, None)
    assert read("photo_bytes", ["10000"]) == [(10_000, [])]


def test_no_sentence_of_a_record_quotes_what_it_found():
    for book in (LOAN_RECORDS, INSTALMENT_RECORDS, BALANCE_RECORDS, NOTE_RECORDS):
        for rule in book.rules:
            assert rule.sentence.endswith(".")
            assert "{" not in rule.sentence
            assert rule.value_class


def test_a_nul_in_a_text_is_replaced_because_not_every_ledger_can_keep_one():
    made = notes({"note_id": "1\0", "loan_id": "00\x001", "body": "\0"}, {"note_id": "2"})
    assert made["note_id"].tolist() == ["1\N{REPLACEMENT CHARACTER}", "2"]
    assert made["loan_id"].tolist() == ["00\N{REPLACEMENT CHARACTER}1", "L1"]
    assert "\0" not in "".join(made["body"])
    assert codes(NOTE_RECORDS, made, 0)
    assert not codes(NOTE_RECORDS, made, 1)
