"""Loans and lists with odd values: the row stays, the odd value is unknown."""

from typing import Any

import pytest

from kiva_pipeline.partner_api.listings import LoanColumns, lists_frame
from kiva_pipeline.partner_api.records import KIVA_LIST_COLUMNS, KIVA_LOAN_COLUMNS

EMPTY = {name: {name: []} for name in ("activities", "themes", "locales", "locations")}


def read(**odd: Any) -> dict[str, Any]:
    """One loan as the frame has it; unknown values are None."""
    columns = LoanColumns()
    columns.add([{"kiva_id": "1", "internal_loan_id": "L"} | odd])
    frame = columns.frame()
    assert frame.dtypes.astype(str).to_dict() == KIVA_LOAN_COLUMNS
    (row,) = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return row


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (40, 40), ("40", 40), (" 40 ", 40), (40.0, 40), (-1, -1), (0, 0), (2**63 - 1, 2**63 - 1),
        (2**53 + 1, 2**53 + 1), (2**63, None), (40.5, None), ("forty", None), ("", None),
        (None, None), (True, None), ([40], None), ({"n": 40}, None), ("9" * 5000, None),
    ],
)  # fmt: skip
def test_a_number_is_read_exactly_or_unknown(value: object, number: int | None) -> None:
    assert read(borrower_count=value)["borrower_count"] == number


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        (True, True), (False, False), ("true", True), ("FALSE", False), (1, True), (0, False),
        (None, None), ("", None), ("maybe", None), (2, None), ([True], None),
    ],
)  # fmt: skip
def test_a_flag_is_read_or_unknown(value: object, flag: bool | None) -> None:
    assert read(delinquent=value)["delinquent"] is flag


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("3500.00", "3500.00"), ("250.025", "250.025"), (250000, "250000"), (3500.5, "3500.5"),
        (None, ""), ({}, ""), (False, ""),
    ],
)  # fmt: skip
def test_a_price_keeps_the_digits_that_kiva_wrote(value: object, text: str) -> None:
    assert read(loan_local_price=value)["loan_local_price"] == text


def test_a_status_that_nobody_knows_is_data() -> None:
    assert read(status="beamedUp")["status"] == "beamedUp"


def test_absent_fields_are_unknown_and_camel_case_is_read() -> None:
    columns = LoanColumns()
    columns.add([{"kivaId": "9", "internalLoanId": "እ-1", "loanCurrency": "ETB"}])
    (row,) = columns.frame().astype(object).to_dict("records")
    known = {key: value for key, value in row.items() if isinstance(value, str) and value}
    assert known == {"kiva_id": "9", "internal_loan_id": "እ-1", "loan_currency": "ETB"}


def test_one_odd_row_leaves_the_others_as_they_are() -> None:
    columns = LoanColumns()
    columns.add([{"internal_loan_id": str(n), "uuid": f"u{n}", "create_time": n} for n in range(5)])
    columns.add([{"internal_loan_id": {}, "uuid": "odd", "create_time": "then", "status": 7}])
    frame = columns.frame()
    assert frame["internal_loan_id"].tolist() == ["", "0", "1", "2", "3", "4"]
    assert frame["create_time"].dropna().tolist() == [0, 1, 2, 3, 4]


def test_a_list_entry_with_an_odd_id_stays() -> None:
    entries = [
        {"activityId": "25", "activity": "Retail"},
        {"activity_id": None, "activity": "Farming"},
    ]
    frame = lists_frame(EMPTY | {"activities": {"activities": entries}})
    assert frame["kiva_id"].tolist()[0] == 25
    assert frame["kiva_id"].isna().tolist() == [False, True]
    assert frame["name"].tolist() == ["Retail", "Farming"]


def test_empty_lists_have_their_columns() -> None:
    frame = lists_frame(EMPTY)
    assert frame.empty
    assert frame.dtypes.astype(str).to_dict() == KIVA_LIST_COLUMNS
