"""The token: asked for as documented, shared, renewed in time and once, and checked."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import parse_qs

import pytest

from kiva_pipeline.partner_api.auth import SCOPES, ClientCredentials, Grant, read_grant
from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.partner_api.errors import (
    ApiUnreachableError,
    CredentialsRejectedError,
    PartnerApiError,
    ScopeMissingError,
    UnreadableAnswerError,
    WrongPartnerError,
)
from kiva_pipeline.partner_api.exchange import Answered, PostKind
from kiva_pipeline_tests.partner_api.conftest import SECRETS, Client
from kiva_pipeline_tests.partner_api.servers import (
    Asked,
    HttpServer,
    RawServer,
    Reply,
    closed_port,
    reset,
    token,
)

NO_LOANS = Reply({"total_records": 0, "data": []})


def only(good: Callable[[str], bool]) -> Callable[[Asked], Reply]:
    return lambda asked: NO_LOANS if good(asked.token) else Reply({"message": "no"}, 401)


def test_the_request_is_form_encoded_with_audience_and_scopes(
    kiva: HttpServer, api: PartnerApi
) -> None:
    api.check_grant([])
    (asked,) = kiva.tokens
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert {key: value for key, (value,) in parse_qs(asked.body.decode()).items()} == {
        "grant_type": "client_credentials",
        "scope": "read:loans create:loan_draft create:repayment create:journal_update",
        "audience": "https://partner-api.example",
        "client_id": SECRETS.client_id,
        "client_secret": SECRETS.client_secret,
    }


def test_the_grant_says_whose_it_is_and_what_it_may_do(api: PartnerApi) -> None:
    grant = api.check_grant(["read:loans", "create:repayment"])
    assert (grant.partner_id, grant.scopes) == ("145", frozenset(SCOPES))


def test_one_token_serves_many_requests(kiva: HttpServer, api: PartnerApi) -> None:
    kiva.answer = only(lambda token: token == "T1")
    for _ in range(3):
        api.loans_total()
    assert len(kiva.tokens) == 1


def test_a_token_is_renewed_before_it_runs_out() -> None:
    now, numbers = [500.0], iter(range(1, 9))
    auth = ClientCredentials(lambda: token(next(numbers)), monotonic=lambda: now[0])
    used = []
    for moment in (0, 43199 - 121, 43199 - 119, 43199):
        now[0] = 500.0 + moment
        used.append(auth.grant().token)
    assert used == ["T1", "T1", "T2", "T2"]


def test_a_token_that_ran_out_in_the_middle_of_a_run_is_replaced_before_the_request(
    kiva: HttpServer, api: PartnerApi
) -> None:
    kiva.token_answer = lambda number: Reply(token(number, expires_in=0.000_001))
    kiva.answer = lambda _asked: NO_LOANS
    api.loans_total()
    assert isinstance(api.post(PostKind.REPAYMENT, b"{}", "a1"), Answered)
    assert [asked.token for asked in kiva.asked] == ["T1", "T2"]


@pytest.mark.parametrize("refusal", [401, 403])
def test_a_get_that_is_refused_is_sent_once_more_with_a_fresh_token(
    kiva: HttpServer, api: PartnerApi, refusal: int
) -> None:
    kiva.answer = lambda asked: NO_LOANS if asked.token == "T2" else Reply(b"expired", refusal)
    assert api.loans_total() == 0
    assert [asked.token for asked in kiva.asked] == ["T1", "T2"]
    assert api.request_counts == {"POST token": 2, "GET loans": 2}


def test_a_get_that_a_fresh_token_does_not_help_ends_there(
    kiva: HttpServer, api: PartnerApi
) -> None:
    kiva.answer = only(lambda _token: False)
    with pytest.raises(CredentialsRejectedError, match="401 to a fresh token"):
        api.loans_total()
    assert [asked.token for asked in kiva.asked] == ["T1", "T2"]


@pytest.mark.parametrize("refusal", [401, 403])
def test_a_post_that_is_refused_is_not_sent_again_but_the_next_has_a_fresh_token(
    kiva: HttpServer, api: PartnerApi, refusal: int
) -> None:
    kiva.answer = lambda asked: Reply({}, 200 if asked.token == "T2" else refusal)
    assert api.post(PostKind.REPAYMENT, b"{}", "a1") == Answered(refusal, {})
    assert [asked.token for asked in kiva.asked] == ["T1"]
    assert api.post(PostKind.REPAYMENT, b"{}", "a2") == Answered(200, {})
    assert [asked.token for asked in kiva.asked] == ["T1", "T2"]


def test_threads_that_meet_one_dead_token_ask_for_one_new_token(
    kiva: HttpServer, api: PartnerApi
) -> None:
    all_refused_at_once = threading.Barrier(8)

    def answer(asked: Asked) -> Reply:
        if asked.token == "T1":
            all_refused_at_once.wait(10)
            return Reply({}, 401)
        return NO_LOANS

    kiva.answer = answer
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: api.loans_total(), range(8)))
    assert len(kiva.tokens) == 2
    assert sorted(asked.token for asked in kiva.asked) == ["T1"] * 8 + ["T2"] * 8


def test_a_refused_token_that_was_renewed_meanwhile_is_not_renewed_again() -> None:
    numbers = iter(range(1, 9))
    auth = ClientCredentials(lambda: token(next(numbers)))
    auth.drop(auth.grant().token)
    assert auth.grant().token == "T2"
    auth.drop("T1")
    assert auth.grant().token == "T2"


def test_threads_that_wait_for_a_renewal_share_its_failure() -> None:
    four_ask = threading.Barrier(5)
    calls = []

    def now() -> float:  # read by each thread as it comes in, before it waits
        with suppress(threading.BrokenBarrierError):
            four_ask.wait(10)
        return 0.0

    def fetch() -> dict[str, object]:
        calls.append(1)
        raise ApiUnreachableError("down")

    auth = ClientCredentials(fetch, monotonic=now)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(auth.grant) for _ in range(4)]
        four_ask.wait(10)
        four_ask.abort()
        failures = [future.exception(10) for future in asked]
    assert all(isinstance(failure, ApiUnreachableError) for failure in failures)
    assert len(calls) == 1
    with pytest.raises(ApiUnreachableError):
        auth.grant()
    assert len(calls) == 2  # a later request tries afresh


@pytest.mark.parametrize("status", [400, 401, 403])
def test_wrong_credentials_are_said_once_and_not_tried_again(
    kiva: HttpServer, api: PartnerApi, status: int
) -> None:
    kiva.token_answer = lambda _number: Reply({"error": "invalid_client"}, status)
    with pytest.raises(CredentialsRejectedError, match=f"with {status} .*KIVA_CLIENT_SECRET"):
        api.check_grant([])
    assert len(kiva.tokens) == 1


def test_the_token_request_is_tried_again_when_the_server_is_unwell(
    kiva: HttpServer, api: PartnerApi
) -> None:
    kiva.token_answer = lambda number: Reply(token(number)) if number == 5 else Reply(b"", 503)
    assert api.check_grant([])
    assert len(kiva.tokens) == 5


def test_an_unwell_token_endpoint_is_given_up_after_five_tries(
    kiva: HttpServer, api: PartnerApi
) -> None:
    kiva.token_answer = lambda _number: Reply(b"", 500)
    with pytest.raises(ApiUnreachableError, match="answers 500"):
        api.check_grant([])
    assert len(kiva.tokens) == 5


def test_a_missing_scope_is_named(kiva: HttpServer, api: PartnerApi) -> None:
    kiva.token_answer = lambda number: Reply(token(number, scope="read:loans create:repayment"))
    assert api.check_grant(["read:loans"])
    with pytest.raises(ScopeMissingError, match="create:journal_update, create:loan_draft") as told:
        api.check_grant(["create:loan_draft", "read:loans", "create:journal_update"])
    assert told.value.missing == ("create:journal_update", "create:loan_draft")


def test_another_partners_credentials_are_refused(kiva: HttpServer, api: PartnerApi) -> None:
    kiva.token_answer = lambda number: Reply(token(number, partnerId="146"))
    with pytest.raises(WrongPartnerError, match=r"partner 146, the settings say 145"):
        api.check_grant([])


def test_no_token_means_no_post(client: Client) -> None:
    with HttpServer() as other:
        api = client(other.url, auth_url=f"http://127.0.0.1:{closed_port()}/oauth/token", tries=2)
        with pytest.raises(ApiUnreachableError, match="ConnectError"):
            api.post(PostKind.LOAN_DRAFT, b"{}", "a1")
        assert other.asked == []
        assert api.request_counts == {"POST token": 2}


def test_a_token_endpoint_that_hangs_up_is_unreachable(client: Client) -> None:
    with RawServer(reset) as broken:
        api = client(auth_url=f"{broken.url}/oauth/token", tries=3)
        with pytest.raises(ApiUnreachableError):
            api.check_grant([])
        assert broken.connections == 3


def test_camel_case_and_numbers_are_read() -> None:
    answer = {"accessToken": "x", "expiresIn": "600", "partnerId": 145, "tokenType": "Bearer"}
    grant = read_grant(answer, 1000.0)
    assert (grant.token, grant.partner_id, grant.renew_at) == ("x", "145", 1000 + 600 - 120)


def test_an_answer_without_scope_grants_what_was_asked_for() -> None:
    assert read_grant(token(scope=...), 0).scopes == frozenset(SCOPES)
    assert read_grant(token(scope=""), 0).scopes == frozenset()


@pytest.mark.parametrize(
    ("expires_in", "renew_after"),
    [
        (43199, 43079), (240, 120), (60, 30), (0, 3480), (-5, 3480), ("nan", 3480),
        ("Infinity", 3480), (None, 3480), ([], 3480), (True, 3480),
    ],
)  # fmt: skip
def test_any_lifetime_gives_a_token_that_can_be_used(
    expires_in: object, renew_after: float
) -> None:
    assert read_grant(token(expires_in=expires_in), 7.0).renew_at == 7.0 + renew_after


@pytest.mark.parametrize(
    "bad", [..., None, "", " ", "two words", "new\nline", "Ünicode", 0.5j, {}, ["T"], True]
)
def test_a_token_that_no_header_can_carry_is_an_unreadable_answer(bad: object) -> None:
    with pytest.raises(UnreadableAnswerError, match="access_token"):
        read_grant(token(access_token=bad), 0)


def test_a_token_of_another_kind_is_refused() -> None:
    with pytest.raises(CredentialsRejectedError):
        read_grant(token(token_type="mac"), 0)


def test_no_repr_shows_a_token(api: PartnerApi) -> None:
    grant = api.check_grant([])
    assert isinstance(grant, Grant)
    assert "T1" not in repr(grant) + str(grant) + repr(api)


def test_every_token_error_is_a_partner_api_error() -> None:
    kinds = (CredentialsRejectedError, ScopeMissingError, WrongPartnerError, ApiUnreachableError)
    assert all(issubclass(kind, PartnerApiError) for kind in kinds)
