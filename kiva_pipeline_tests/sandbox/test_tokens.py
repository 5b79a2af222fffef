import sqlite3

import httpx
import pytest

from kiva_pipeline.sandbox.seed import seed
from kiva_pipeline_tests.sandbox.conftest import BASE, SCOPES, Practice, token_of, with_token


def test_a_token_answers_with_the_partner_and_its_lifetime(shared: Practice) -> None:
    answer = token_of(shared.client)
    body = answer.json()
    assert answer.status_code == 200
    assert (body["partnerId"], body["expires_in"], body["token_type"]) == ("145", 43199, "bearer")
    assert body["scope"].split() == SCOPES.split()
    assert answer.headers["cache-control"] == "no-store"


def test_scopes_are_those_requested_and_authorised(start) -> None:
    practice = start(scopes=["read:loans", "create:journal_update"])
    asked = "create:loan_draft read:loans admin:everything"
    assert token_of(practice.client, scope=asked).json()["scope"] == "read:loans"


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_secret": "Sandbox"}, 401, "invalid_client"),
        ({"client_secret": None}, 401, "invalid_client"),
        ({"client_id": "' OR 1=1 --"}, 401, "invalid_client"),
        ({"client_id": "тест"}, 401, "invalid_client"),
        ({"audience": "https://partner-api.k1.kiva.org"}, 400, "invalid_target"),
        ({"audience": None}, 400, "invalid_target"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_a_wrong_token_request_is_refused_by_name(
    shared: Practice, change: dict[str, str | None], status: int, error: str
) -> None:
    answer = token_of(shared.client, **change)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_only_a_form_gets_a_token(shared: Practice) -> None:
    form = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox"}
    as_json = shared.client.post("/oauth/token", json=form)
    not_encoded = shared.client.post(
        "/oauth/token",
        content=b"\xff\xfe&&&",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert (as_json.status_code, as_json.json()["error"]) == (400, "invalid_request")
    assert (not_encoded.status_code, not_encoded.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer x", "Basic c2FuZA=="])
def test_without_a_valid_token_every_endpoint_says_401(
    shared: Practice, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    with httpx.Client(base_url=shared.url, headers=headers) as stranger:
        for path in ("loans", "config/themes"):
            assert stranger.get(f"{BASE}/{path}").status_code == 401
        for path in ("loan_draft", "repayments", "journals"):
            answer = stranger.post(f"{BASE}/{path}", json={})
            assert (answer.status_code, answer.json()["code"]) == (401, "sandbox.unauthorized")


def test_an_expired_token_is_a_401(start) -> None:
    practice = start(token_seconds=0)
    assert practice.client.get(f"{BASE}/loans").status_code == 401


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("read:loans", "GET", "loans"),
        ("create:loan_draft", "POST", "loan_draft"),
        ("create:repayment", "POST", "repayments"),
        ("create:journal_update", "POST", "journals"),
    ],
)
def test_a_missing_scope_is_a_403_that_names_nothing(
    shared: Practice, scope: str, method: str, path: str
) -> None:
    others = " ".join(set(SCOPES.split()) - {scope})
    with with_token(shared.url, scope=others) as client:
        answer = client.request(method, f"{BASE}/{path}", json={"loan_id": "1042970"})
    assert answer.status_code == 403
    assert not any(word in answer.text for word in (scope, scope.split(":")[1], "1042970"))


def test_another_partners_path_is_not_found_even_when_the_partner_exists(start) -> None:
    practice = start()
    seed(
        practice.path,
        partner_id="146",
        partner_name="Another MFI",
        loans=[],
        client_id="another",
        client_secret="secret",
    )
    with with_token(practice.url, client_id="another", client_secret="secret") as another:
        assert another.get("/v3/partner/146/loans").json() == {"total_records": 0, "data": []}
        for partner in ("145", "1461", "999", "%00", "146%2F..%2F145"):
            assert another.get(f"/v3/partner/{partner}/loans").status_code == 404
        assert another.post("/v3/partners/145/journals", json=[]).status_code == 404


def test_neither_secret_nor_token_is_kept_readable(practice: Practice) -> None:
    token = practice.client.headers["Authorization"].removeprefix("Bearer ")
    with sqlite3.connect(practice.path) as db:
        dump = "\n".join(db.iterdump())
    assert token not in dump
    assert db.execute("SELECT secret_hash <> 'sandbox' FROM client").fetchone() == (1,)
    db.close()
