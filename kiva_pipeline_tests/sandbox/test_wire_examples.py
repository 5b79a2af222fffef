"""Each literal example of the Partner API's wire is taken, and each answer has its example's shape."""

import json
from pathlib import Path
from typing import Any

import pytest

from kiva_pipeline_tests.sandbox.conftest import BASE, Practice, token_of

WIRE = Path(__file__).parent.parent / "wire"
NULL = "null"

# Fields of a loan that may be absent or null; the examples do not show all of them.
OPTIONAL_OF_A_LOAN = {
    "ended_time", "refunded_time", "expired_time", "defaulted_time", "issue_feedback_time",
    "issue_reported_by", "flexible_fundraising_enabled", "fundedAmount", "status_detail",
    "planned_expiration_time", "planned_inactive_expire_time",
}  # fmt: skip


def example(name: str) -> Any:
    return json.loads((WIRE / f"{name}.json").read_text(encoding="utf-8"))


def shape(value: Any) -> Any:
    """Keys and JSON types; a list has the shape of its members, which must agree."""
    if isinstance(value, dict):
        return {key: shape(member) for key, member in value.items()}
    if isinstance(value, list):
        shapes = [shape(member) for member in value]
        assert all(one == shapes[0] for one in shapes)
        return shapes[:1]
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return NULL if value is None else "string"


@pytest.mark.parametrize("name", ["activities", "themes", "locales", "locations"])
def test_the_lists_have_the_shape_of_their_examples(shared: Practice, name: str) -> None:
    assert shape(shared.get(f"/config/{name}")) == shape(example(f"config_{name}.response"))


def test_the_token_has_the_shape_of_its_example(shared: Practice) -> None:
    assert shape(token_of(shared.client).json()) == shape(example("token.response"))


@pytest.mark.parametrize(
    ("request_name", "path", "response_name"),
    [
        ("loan_draft.individual", "loan_draft", "loan_draft"),
        ("loan_draft.group", "loan_draft", "loan_draft"),
        ("journals", "journals", "journals"),
    ],
)
def test_an_example_is_accepted_and_answered_in_shape(
    shared: Practice, request_name: str, path: str, response_name: str
) -> None:
    literal = (WIRE / f"{request_name}.request.json").read_bytes()
    answer = shared.client.post(
        f"{BASE}/{path}", content=literal, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 200
    assert shape(answer.json()) == shape(example(f"{response_name}.response"))
    assert answer.json()["code"] == "api.success"


@pytest.mark.parametrize("column_format", ["two_column", "three_column"])
def test_each_column_format_is_accepted_by_its_partner(start, column_format: str) -> None:
    practice = start(column_format=column_format)
    literal = example(f"repayments.{column_format}.request")
    assert practice.post("/repayments", literal)["problems"] == []
    assert practice.counted("1043223") == {"2026-10": "40.5"}
    # With a problem of each severity, the answer has the example's shape.
    client = {"client_id": "184729"} if column_format == "three_column" else {}
    literal["repayments"] += [
        {"loan_id": "NOBODY", "amount": 1, **client},
        {"loan_id": "JOD-1", "amount": 250.025, **client},
    ]
    answer = practice.post("/repayments", literal)
    assert shape(answer) == shape(example("repayments.response"))
    assert {problem["severity"] for problem in answer["problems"]} == {"error", "warning"}


def test_loans_have_every_field_of_the_examples_with_its_type(shared: Practice) -> None:
    given, examples = shared.get("/loans"), example("loans.response")
    assert given.keys() == examples.keys()
    types: dict[str, set[str]] = {}
    for loan in examples["data"]:
        for key, kind in shape(loan).items():
            types.setdefault(key, set()).add(kind)
    for loan in given["data"]:
        assert types.keys() <= loan.keys()
        assert loan.keys() - types.keys() <= OPTIONAL_OF_A_LOAN
        for key, kind in shape(loan).items():
            allowed = types.get(key, {"number", "string"})
            assert kind in allowed or (key in OPTIONAL_OF_A_LOAN and kind in {NULL, "bool"}), key


def test_the_ids_of_the_lists_are_stable_and_unique(shared: Practice, start) -> None:
    first, second = shared, start(currencies=["TJS"])
    for name, key in (("activities", "activity_id"), ("themes", "theme_type_id")):
        ids = [entry[key] for entry in first.get(f"/config/{name}")[name]]
        assert len(set(ids)) == len(ids) > 20
        assert first.get(f"/config/{name}")[name] == second.get(f"/config/{name}")[name]
    locales = second.get("/config/locales")["locales"]
    assert {entry["currency"] for entry in locales} == {"TJS"}
    ids_by_language = {entry["language_name"]: entry["language_id"] for entry in locales}
    assert (ids_by_language["English"], ids_by_language["Russian"]) == (1, 5)
    names = {entry["full_name"] for entry in first.get("/config/locations")["locations"]}
    assert "Dushanbe: Tajikistan" in names
