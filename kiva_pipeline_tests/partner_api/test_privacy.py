"""No secret, token, photo or name in an error, a ``repr`` or a log, whatever goes wrong."""

import base64
import contextlib
import logging
import pickle
import traceback
from collections.abc import Callable

import pytest

from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.partner_api.errors import PartnerApiError, ScopeMissingError
from kiva_pipeline.partner_api.exchange import Answered, PostKind
from kiva_pipeline.partner_api.wire import draft_body
from kiva_pipeline_tests.partner_api.conftest import SECRETS, Client
from kiva_pipeline_tests.partner_api.servers import (
    HttpServer,
    Reply,
    token,
)

NAME, PHOTO, TOKEN = "Ngọc-canary", b"\xff\xd8canary photo", "canary.token.T"
CANARIES = (
    "canary", SECRETS.client_id, SECRETS.client_secret, "canary-client-secret%2F",
    base64.b64encode(PHOTO).decode(),
)  # fmt: skip
BODY = draft_body(f'{{"first_name":"{NAME}"}}'.encode(), PHOTO, "image/jpeg")
ECHO = {"message": f"{NAME} is no good", "code": TOKEN, "data": [NAME], "themes": [NAME]}


def everything(api: PartnerApi) -> list[str]:
    """Each call's error or outcome, in every form that a log or a report could show it in."""
    told = [repr(api), str(api)]
    calls: list[Callable[[], object]] = [
        lambda: api.check_grant(["read:loans"]),
        api.lists,
        api.loans,
        api.loans_total,
        lambda: api.post(PostKind.LOAN_DRAFT, BODY, "attempt-1"),
    ]
    for call in calls:
        try:
            outcome = call()
        except PartnerApiError as error:
            told += [str(error), repr(error), "".join(traceback.format_exception(error))]
        else:
            # Kiva's own words are for the ledger, whose folder only its owner may enter.
            told.append("" if isinstance(outcome, Answered) else repr(outcome))
    return told


def assert_clean(told: list[str], caplog: pytest.LogCaptureFixture) -> None:
    logged = [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    for text in told + logged:
        for canary in CANARIES:
            assert canary not in text


STATUSES = [200, 302, 400, 401, 403, 404, 409, 429, 500]


@pytest.mark.parametrize("status", STATUSES)
def test_no_status_makes_anything_leak(
    kiva: HttpServer, client: Client, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    kiva.token_answer = lambda number: Reply(token(number, access_token=TOKEN))
    kiva.answer = lambda _asked: Reply(ECHO, status)
    assert_clean(everything(client(tries=2)), caplog)
    assert len(kiva.asked) >= 4


@pytest.mark.parametrize("status", STATUSES)
def test_no_answer_of_the_token_endpoint_makes_anything_leak(
    kiva: HttpServer, client: Client, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    kiva.token_answer = lambda _number: Reply(ECHO | {"access_token": f"{TOKEN}\n"}, status)
    assert_clean(everything(client(tries=2)), caplog)
    assert kiva.asked == []


def test_errors_survive_pickling(client: Client) -> None:
    error = ScopeMissingError(["create:repayment", "read:loans"])
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.missing) == (str(error), error.missing)


def test_the_error_tells_kivas_support_which_request_it_was(
    kiva: HttpServer, client: Client
) -> None:
    kiva.answer = lambda _asked: Reply(b"", 404)
    with contextlib.suppress(PartnerApiError):
        client().loans_total()
    (asked,) = kiva.asked
    with pytest.raises(PartnerApiError) as told:
        client().loans_total()
    request_id = kiva.asked[1].headers["X-Request-ID"]
    assert request_id in str(told.value)
    assert asked.headers["X-Request-ID"] != request_id
