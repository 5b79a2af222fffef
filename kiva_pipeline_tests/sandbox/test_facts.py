import sqlite3

from kiva_pipeline_tests.sandbox.conftest import BASE, Practice
from kiva_pipeline_tests.sandbox.test_drafts import JPEG, individual

UPDATE = {"internal_loan_id": "1042970", "subject": "A new oven", "body": "She bakes twice a day."}


def test_every_request_is_counted_by_its_endpoint_whatever_its_answer(practice: Practice) -> None:
    practice.get("/loans", params={"query": "Азиз"})
    practice.client.post(f"{BASE}/repayments", json={"repayments": "none"})
    practice.client.post("/v3/partners/145/journals", json=[UPDATE])
    practice.client.get("/favicon.ico")
    practice.control("facts")
    facts = practice.control("facts")
    assert facts["requests"] == {
        "GET (unknown)": 1,
        "GET loans": 1,
        "POST journals": 1,
        "POST oauth/token": 1,
        "POST repayments": 1,
    }
    assert (facts["posts"], facts["repayment_uploads"], facts["journals"]) == (2, 0, 1)


def test_a_draft_posted_twice_is_a_duplicate_effect(practice: Practice) -> None:
    practice.post("/loan_draft", individual("A-1"))
    practice.post("/loan_draft", individual("A-2"))
    assert practice.control("facts")["duplicate_effects"] == []
    practice.post("/loan_draft", individual("A-1", description="Changed since."))
    assert practice.control("facts")["duplicate_effects"] == ["loan_draft/145/A-1"]


def test_a_draft_of_a_loan_that_kiva_had_already_is_a_duplicate_effect(practice: Practice) -> None:
    practice.post("/loan_draft", individual("1042970"))
    assert practice.control("facts")["duplicate_effects"] == ["loan_draft/145/1042970"]


def test_publishing_a_draft_makes_no_duplicate_of_it(practice: Practice) -> None:
    uuid = practice.post("/loan_draft", individual("A-1"))["loan_draft_uuid"]
    practice.control(f"publish/{uuid}", "POST")
    assert practice.control("facts")["duplicate_effects"] == []


def test_a_journal_is_a_duplicate_only_with_the_same_loan_and_text(practice: Practice) -> None:
    practice.post("/journals", {"journals": [UPDATE, UPDATE | {"internal_loan_id": "1043223"}]})
    practice.post("/journals", [UPDATE | {"subject": "A new oven again"}])
    # Where the subject ends is part of the text.
    practice.post("/journals", [UPDATE | {"subject": "A", "body": " new oven"}])
    practice.post("/journals", [UPDATE | {"subject": "A new", "body": " oven"}])
    assert practice.control("facts")["duplicate_effects"] == []
    answer = practice.post("/journals", [UPDATE])
    (key,) = practice.control("facts")["duplicate_effects"]
    assert key.startswith("journal/145/1042970/")
    assert answer["confirm_url"] == f"{practice.url}/pa2/journals/{answer['archive_id']}"


def test_a_request_is_found_by_its_id_with_size_status_and_time(practice: Practice) -> None:
    body = b'{"repayments":[{"loan_id":"1042970","amount":5}]}'
    headers = {"X-Request-ID": "attempt-17", "Content-Type": "application/json"}
    practice.client.post(f"{BASE}/repayments?x=1", content=body, headers=headers)
    params = {"request_id": "attempt-17"}
    (seen,) = practice.control("requests", params=params)["requests"]
    assert (seen["method"], seen["path"]) == ("POST", f"{BASE}/repayments")
    assert (seen["received_bytes"], seen["status"], seen["endpoint"]) == (
        len(body),
        200,
        "repayments",
    )
    assert seen["milliseconds"] > 0
    assert practice.control("requests", params={"request_id": "17"})["requests"] == []


def test_no_token_name_text_or_photo_is_among_the_requests(practice: Practice) -> None:
    practice.post("/loan_draft", individual(image_encoded=JPEG, description="Sells bread."))
    practice.get("/loans", params={"query": "Рахимов"})
    seen = (
        practice.client.get("/_sandbox/requests").text + practice.client.get("/_sandbox/facts").text
    )
    token = practice.client.headers["Authorization"].removeprefix("Bearer ")
    for private in (token, "Рахимов", "%D0", "bread", "4AAQ", "client_secret"):
        assert private not in seen


def test_a_journal_of_a_loan_that_is_not_paying_back_is_kept_as_not_eligible(
    practice: Practice,
) -> None:
    ids = ("1042970", "ENDED", "NOBODY")
    practice.post("/journals", [UPDATE | {"internal_loan_id": loan_id} for loan_id in ids])
    with sqlite3.connect(practice.path) as db:
        eligible = dict(db.execute("SELECT loan_id, eligible FROM journal"))
    db.close()
    assert eligible == {"1042970": 1, "ENDED": 0, "NOBODY": 0}
