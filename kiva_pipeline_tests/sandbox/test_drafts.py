import sqlite3
from decimal import Decimal

import pytest

from kiva_pipeline.errors import PipelineError
from kiva_pipeline.sandbox.drafts import publish_draft
from kiva_pipeline.sandbox.store import Store
from kiva_pipeline_tests.sandbox.conftest import Practice

JPEG = "data:image/jpeg;base64,/9j/4AAQSkZJRg=="


def individual(loan_id: str = "A-1", **changes: object) -> dict:
    return {
        "entreps": [
            {
                "client_id": "C-1",
                "loan_id": loan_id,
                "first_name": "Азиз",
                "last_name": "Рахимов",
                "gender": "male",
                "amount": 3500,
            }
        ],
        "currency": "TJS",
        "location": "Dushanbe: Tajikistan",
        "disburse_time": "2026-11-20",
        "schedule": [{"date": "2026-12-20", "principal": 3500, "interest": 35.5}],
    } | changes


def group(members: int, loan_id: str = "G-7") -> dict:
    return {
        "group_name": "ගොවි කණ්ඩායම",
        "internal_loan_id": loan_id,
        "internal_client_id": "G-7-client",
        "currency": "RWF",
        "not_pictured": [False] * members,
        "entreps": [{"loan_id": f"L-{i}", "amount": 100_000 + i} for i in range(members)],
    }


def test_a_draft_is_no_loan_until_it_is_published(practice: Practice) -> None:
    uuid = practice.post("/loan_draft", individual())["loan_draft_uuid"]
    assert practice.get("/loans", params={"query": "A-1"})["total_records"] == 0
    published = practice.control(f"publish/{uuid}", "POST")
    (loan,) = practice.get("/loans", params={"query": "A-1"})["data"]
    assert (loan["internal_loan_id"], loan["internal_client_id"]) == ("A-1", "C-1")
    assert (loan["status"], loan["loan_local_price"]) == ("fundRaising", "3500")
    assert (loan["uuid"], loan["name"], loan["kiva_id"]) == (uuid, "Азиз", published["kiva_id"])


def test_a_group_of_forty_comes_back_by_its_own_id_with_the_exact_sum(practice: Practice) -> None:
    uuid = practice.post("/loan_draft", group(40))["loan_draft_uuid"]
    practice.control(f"publish/{uuid}", "POST", params={"status": "payingBack"})
    (loan,) = practice.get("/loans", params={"query": "G-7", "status": "payingBack"})["data"]
    assert (loan["internal_loan_id"], loan["internal_client_id"]) == ("G-7", "G-7-client")
    assert (loan["borrower_count"], loan["name"]) == (40, "ගොවි කණ්ඩායම")
    assert loan["loan_local_price"] == str(40 * 100_000 + sum(range(40)))
    assert practice.report(("G-7", 4_000_000)) == []


def test_amounts_of_a_draft_are_kept_as_exact_digits(practice: Practice) -> None:
    amounts = ("0.1", "1250.125", "123456789012345.67", "1E+3")
    borrowers = ",".join(f'{{"amount": {amount}}}' for amount in amounts)
    body = f'{{"currency": "JOD", "internal_loan_id": "D", "entreps": [{borrowers}]}}'
    answer = practice.client.post(
        "/v3/partner/145/loan_draft", content=body, headers={"Content-Type": "application/json"}
    )
    with Store(practice.path) as store:
        publish_draft(store, answer.json()["loan_draft_uuid"])
    (loan,) = practice.get("/loans", params={"query": "D", "status": "fundRaising"})["data"]
    assert Decimal(loan["loan_local_price"]) == sum(map(Decimal, amounts))


def test_a_partial_draft_is_kept_but_not_published(practice: Practice) -> None:
    for partial in ({"description": "She sells bread."}, {"entreps": None}, individual("")):
        uuid = practice.post("/loan_draft", partial)["loan_draft_uuid"]
        answer = practice.client.post(f"/_sandbox/publish/{uuid}")
        assert (answer.status_code, answer.json()["code"]) == (409, "sandbox.not_possible")
    assert practice.control("facts")["drafts"] == 3
    assert practice.control("facts")["duplicate_effects"] == []


def test_a_draft_is_published_once(practice: Practice) -> None:
    first, second = (
        practice.post("/loan_draft", individual())["loan_draft_uuid"] for _ in range(2)
    )
    with Store(practice.path) as store:
        publish_draft(store, first)
        for uuid, words in (
            (first, "published before"),
            (second, "has a loan"),
            ("nothing", "no such draft"),
        ):
            with pytest.raises(PipelineError, match=words):
                publish_draft(store, uuid)
        with pytest.raises(PipelineError, match="no status"):
            publish_draft(store, second, status="paid")
    assert practice.get("/loans", params={"query": "A-1"})["total_records"] == 1


def test_the_photo_is_kept_beside_the_body(practice: Practice) -> None:
    practice.post("/loan_draft", individual(image_encoded=JPEG, group_name=None))
    with sqlite3.connect(practice.path) as db:
        body, photo, mime = db.execute("SELECT body, photo, photo_mime FROM draft").fetchone()
    db.close()
    assert (photo[:3], mime) == (b"\xff\xd8\xff", "image/jpeg")
    assert "image_encoded" not in body
    # PA2 refuses an individual draft that has a group's field, also an empty one: it must be kept.
    assert '"group_name":null' in body


@pytest.mark.parametrize(
    "photo", ["/9j/4AAQ", "data:image/jpeg;base64,%%%", "data:image/jpeg;base64,é", "data:,x"]
)
def test_a_photo_that_is_no_data_uri_is_refused(shared: Practice, photo: str) -> None:
    answer = shared.refused("/loan_draft", individual(image_encoded=photo))
    assert answer["code"] == "sandbox.bad_photo"
    assert photo not in answer["message"]
