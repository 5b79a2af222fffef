"""The wire: every literal example is written and read, to the last digit."""

import base64
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiva_pipeline.money import to_digits
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.partner_api.wire import (
    Problem,
    Receipt,
    draft_body,
    error_text,
    journals_body,
    read_receipt,
    repayments_body,
    snake_cased,
    text_of,
)
from kiva_pipeline_tests.partner_api.conftest import WIRE

BELOW = Problem(
    "1043223", "example.delinquent", "The reported amount is below the schedule.", "warning"
)
UNKNOWN = Problem(
    "1042970", "example.unknown_loan", "No loan with this id is paying back.", "error"
)
DRAFT = Receipt("0b7f0a52-5f0b-4f5e-9a53-7b6f4c1b0d11")


def exactly(content: bytes) -> Any:
    """JSON whose numbers are exact decimals."""
    return json.loads(content, parse_float=Decimal, parse_int=Decimal)


def example(name: str) -> Any:
    return exactly((WIRE / f"{name}.json").read_bytes())


RECEIPTS = {
    "loan_draft.response": (PostKind.LOAN_DRAFT, DRAFT),
    "loan_draft.response.camel": (PostKind.LOAN_DRAFT, DRAFT),
    "repayments.response": (PostKind.REPAYMENT, Receipt("81234", problems=(BELOW, UNKNOWN))),
    "repayments.response.one_problem": (PostKind.REPAYMENT, Receipt("81235", problems=(BELOW,))),
    "journals.response": (
        PostKind.JOURNAL, Receipt("5531", "https://example.org/journals/confirm/5531"),
    ),
}  # fmt: skip
# Read by test_get.py and test_token.py.
OTHERS = {"token.response", "loans.response"} | {
    f"config_{name}.response" for name in ("activities", "themes", "locales", "locations")
}


@pytest.mark.parametrize("name", RECEIPTS)
def test_an_example_of_an_answer_is_read(name: str) -> None:
    kind, receipt = RECEIPTS[name]
    assert read_receipt(kind, json.loads((WIRE / f"{name}.json").read_bytes())) == receipt


def test_no_example_is_forgotten() -> None:
    requests = {
        "repayments.two_column.request", "repayments.three_column.request", "journals.request",
        "loan_draft.individual.request", "loan_draft.group.request",
    }  # fmt: skip
    files = {Path(path.name).stem for path in WIRE.glob("*.json")}
    assert files == RECEIPTS.keys() | OTHERS | requests


@pytest.mark.parametrize("columns", ["two_column", "three_column"])
def test_the_example_of_a_report_is_written(columns: str) -> None:
    rows = (["1042970", "1043223"], ["184729", "481395"], ["25.00", "40.50"])
    body = repayments_body(*rows, three_column=columns == "three_column")
    assert exactly(body) == example(f"repayments.{columns}.request")


@pytest.mark.parametrize(
    ("minor", "digits", "written"),
    [
        (12_000_000, 0, b"12000000"), (0, 0, b"0"),
        (4050, 2, b"40.50"), (5, 2, b"0.05"), (100, 2, b"1.00"), (0, 2, b"0.00"),
        (250_025, 3, b"250.025"), (1, 3, b"0.001"),
        (2**63 - 1, 2, b"92233720368547758.07"), (9_007_199_254_740_993, 0, b"9007199254740993"),
    ],
)  # fmt: skip
def test_an_amount_is_written_with_exactly_its_digits(
    minor: int, digits: int, written: bytes
) -> None:
    body = repayments_body(["L"], [""], [to_digits(minor, digits)], three_column=False)
    assert body == b'{"repayments":[{"loan_id":"L","amount":' + written + b"}]}"


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 2**63 - 1), st.integers(0, 3))), st.booleans()
)
def test_any_ids_and_amounts_come_back_as_they_were(
    rows: list[tuple[str, str, int, int]], three_column: bool
) -> None:
    loans, clients = [row[0] for row in rows], [row[1] for row in rows]
    amounts = [to_digits(minor, digits) for _, _, minor, digits in rows]
    body = repayments_body(loans, clients, amounts, three_column=three_column)
    assert exactly(body) == {
        "repayments": [
            {"loan_id": loan, "amount": Decimal(minor).scaleb(-digits)}
            | ({"client_id": client} if three_column else {})
            for loan, client, minor, digits in rows
        ]
    }


def test_columns_of_different_length_are_an_error_and_not_a_shorter_report() -> None:
    with pytest.raises(ValueError, match="zip"):
        repayments_body(["1", "2"], ["", ""], ["5"], three_column=False)
    with pytest.raises(ValueError, match="zip"):
        repayments_body(["1", "2"], ["c"], ["5", "6"], three_column=True)


def test_the_example_of_journals_is_written_in_either_envelope() -> None:
    literal = example("journals.request")
    payloads = [json.dumps(journal).encode() for journal in literal["journals"]]
    assert exactly(journals_body(payloads, "journals")) == literal
    assert exactly(journals_body(payloads * 2, "bare")) == literal["journals"] * 2


def test_the_example_of_a_draft_is_written_from_its_object_and_its_photo() -> None:
    literal = example("loan_draft.individual.request")
    without = json.loads((WIRE / "loan_draft.individual.request.json").read_bytes())
    photo = base64.b64decode(without.pop("image_encoded").split(",")[1])
    payload = json.dumps(without, ensure_ascii=False).encode()
    assert exactly(draft_body(payload, photo, "image/jpeg")) == literal


def test_a_draft_without_a_photo_is_its_object_untouched() -> None:
    payload = (WIRE / "loan_draft.group.request.json").read_bytes()
    assert draft_body(payload, None, "") is payload


@given(st.dictionaries(TEXTS, TEXTS, min_size=1), st.binary(max_size=64))
def test_any_photo_is_spliced_into_any_object(fields: dict[str, str], photo: bytes) -> None:
    payload = json.dumps(fields, ensure_ascii=False).encode()
    body = draft_body(payload, photo, "image/png")
    assert body.startswith(payload[:-1])
    encoded = f"data:image/png;base64,{base64.b64encode(photo).decode()}"
    assert json.loads(body) == fields | {"image_encoded": encoded}


@pytest.mark.parametrize("payload", [b"{}", b"[]", b"", b"null", b'{"a":1}\n'])
def test_a_photo_goes_only_into_an_object_with_fields(payload: bytes) -> None:
    with pytest.raises(ValueError, match="JSON object"):
        draft_body(payload, b"\xff\xd8", "image/jpeg")


@pytest.mark.parametrize("mime", ["", "text/html", 'image/png"', "image/svg+xml", "IMAGE/PNG"])
def test_a_photo_has_the_type_of_an_image(mime: str) -> None:
    with pytest.raises(ValueError, match="image"):
        draft_body(b'{"a":1}', b"\xff\xd8", mime)


@pytest.mark.parametrize(
    ("body", "receipt"),
    [
        ({"upload_id": 7, "problems": None}, Receipt("7")),
        ({"uploadId": "7", "problems": []}, Receipt("7")),
        ({"upload_id": None, "uploadId": 7}, Receipt("7")),
        ({"uploadId": 7, "upload_id": None}, Receipt("7")),
        ({"upload_id": 7.0, "problems": {}}, Receipt("7")),
        ({"upload_id": " 7 "}, Receipt("7")),
        ({}, Receipt("")),
        ({"upload_id": None}, Receipt("")),
        ({"upload_id": "  "}, Receipt("")),
        ({"upload_id": True}, Receipt("")),
        ({"upload_id": {}}, Receipt("")),
        ({"upload_id": [7]}, Receipt("")),
        ({"loan_draft_uuid": "another call's"}, Receipt("")),
        (
            {"upload_id": 7, "problems": [{"loanId": 42, "severity": " Warning "}]},
            Receipt("7", problems=(Problem("42", "", "", "warning"),)),
        ),
        (
            {"upload_id": 7, "problems": [{"loan_id": None, "code": None, "details": ["x"]}]},
            Receipt("7", problems=(Problem("", "", "", ""),)),
        ),
        (
            {"upload_id": 7, "problems": ["text", None]},
            Receipt("7", problems=(Problem("", "", "text", ""), Problem("", "", "", ""))),
        ),
        (
            {"upload_id": 7, "problems": "text"},
            Receipt("7", problems=(Problem("", "", "text", ""),)),
        ),
    ],
)
def test_a_receipt_is_read_tolerantly_but_a_reference_is_never_made_up(
    body: object, receipt: Receipt
) -> None:
    assert read_receipt(PostKind.REPAYMENT, body) == receipt


@pytest.mark.parametrize("body", [None, [], [{"upload_id": 7}], "ok", 7, True])
def test_what_is_no_object_is_no_receipt(body: object) -> None:
    assert read_receipt(PostKind.REPAYMENT, body) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["upload_id", "uploadId", "problems", "loan_id", "code", "message", "error"])


@given(st.dictionaries(KEYS, JSON) | JSON, st.sampled_from(PostKind))
def test_no_answer_makes_reading_fail(body: object, kind: PostKind) -> None:
    receipt = read_receipt(kind, body)
    assert receipt is None or isinstance(receipt.reference, str)
    assert all(isinstance(text, str) and len(text) <= 200 for text in error_text(body))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"code": "api.invalid", "message": "Bad amount"}, ("api.invalid", "Bad amount")),
        ({"Code": 400, "Message": "Bad"}, ("400", "Bad")),
        ({"error": "invalid_client"}, ("", "invalid_client")),
        ({"error": "x", "errorDescription": "why"}, ("", "why")),
        ({"code": "y" * 900, "message": "x" * 900}, ("y" * 200, "x" * 200)),
        ({"message": {"nested": "name"}}, ("", "")),
        ([], ("", "")),
        (None, ("", "")),
    ],
)
def test_the_words_of_a_refusal_are_found_and_kept_short(
    body: object, words: tuple[str, str]
) -> None:
    assert error_text(body) == words


def test_both_spellings_of_a_key_are_one() -> None:
    keys = ["fundedAmount", "loan_draft_uuid", "loanDraftUuid", "loanDraftUUID", "Code"]
    assert [next(iter(snake_cased({key: 1}))) for key in keys] == [
        "funded_amount", "loan_draft_uuid", "loan_draft_uuid", "loan_draft_uuid", "code",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("٣ x", "٣ x"),
        (7, "7"),
        (7.0, "7"),
        (7.5, "7.5"),
        (float("inf"), "inf"),
        (None, ""),
        (False, ""),
    ],
)
def test_text_is_text_and_a_number_its_digits(value: object, text: str) -> None:
    assert text_of(value) == text
