"""The routes of the practice Partner API, with the shapes of Kiva's.

Each request is checked in the same order: body received, token (401), the path's partner (404),
scope (403, naming nothing), body read (4xx), then acted on. What must not break: no other partner's
data, and never a 5xx for anything that a client sends.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kiva_pipeline.sandbox.answers import SUCCESS, Refusal, answer
from kiva_pipeline.sandbox.bodies import parse_form, parse_json, read_body, shaped
from kiva_pipeline.sandbox.drafts import receive_draft
from kiva_pipeline.sandbox.journals import receive_journals
from kiva_pipeline.sandbox.lists import LIST_NAMES
from kiva_pipeline.sandbox.loans import loan_page
from kiva_pipeline.sandbox.messages import Journals, LoanDraft, Repayments
from kiva_pipeline.sandbox.recorder import request_id_of
from kiva_pipeline.sandbox.repayments import receive_repayments
from kiva_pipeline.sandbox.store import Store
from kiva_pipeline.sandbox.tokens import (
    CREATE_JOURNAL,
    CREATE_LOAN_DRAFT,
    CREATE_REPAYMENT,
    READ_LOANS,
    caller_of,
    issue,
)

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be acted on: its token is good for this partner and this endpoint."""

    store: Store
    partner_id: str
    request: Request
    body: bytes

    @property
    def json(self) -> object:
        """The posted JSON; refused with a 4xx when it is none."""
        return parse_json(self.body, self.request.headers.get("content-type", ""))

    @property
    def request_id(self) -> str | None:
        """The request's ``X-Request-ID``."""
        return request_id_of(self.request.scope)


def api_routes(store: Store) -> list[Route]:
    """The routes of the API and of its token endpoint."""
    partner = "/v3/partner/{partner_id}"
    endpoints = [
        (f"{partner}/loans", "GET", READ_LOANS, _loans),
        (f"{partner}/loan_draft", "POST", CREATE_LOAN_DRAFT, _loan_draft),
        (f"{partner}/repayments", "POST", CREATE_REPAYMENT, _repayments),
        (f"{partner}/journals", "POST", CREATE_JOURNAL, _journals),
        # Kiva's own sources disagree on this path; both are seen.
        ("/v3/partners/{partner_id}/journals", "POST", CREATE_JOURNAL, _journals),
        *((f"{partner}/config/{name}", "GET", None, _config(name)) for name in LIST_NAMES),
    ]
    return [
        Route("/oauth/token", _token(store), methods=["POST"]),
        *(
            Route(path, _guarded(store, scope, act), methods=[method])
            for path, method, scope, act in endpoints
        ),
    ]


def _guarded(store: Store, scope: str | None, act: Callable[[Call], dict[str, Any]]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        # A client that is still writing would not read a refusal: receive the body first.
        body = await read_body(request)
        caller = caller_of(store, request.headers.get("authorization"))
        if request.path_params["partner_id"] != caller.partner_id:
            raise Refusal(404, "sandbox.not_found", "Not found.")
        if scope is not None and scope not in caller.scopes:
            raise Refusal(403, "sandbox.forbidden", "Forbidden.")
        return answer(act(Call(store, caller.partner_id, request, body)))

    return endpoint


def _token(store: Store) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        body = await read_body(request)
        form = parse_form(body, request.headers.get("content-type", ""))
        granted = issue(store, form, str(request.base_url))
        return answer(granted, headers={"Cache-Control": "no-store"})

    return endpoint


def _config(name: str) -> Callable[[Call], dict[str, Any]]:
    def act(call: Call) -> dict[str, Any]:
        row = call.store.row(
            "SELECT entries FROM config_list WHERE partner_id = ? AND name = ?",
            call.partner_id,
            name,
        )
        entries: list[object] = orjson.loads(row["entries"]) if row else []
        return {
            "as_of_date_time": call.store.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            name: entries,
            "code": SUCCESS,
            "message": f"Found {len(entries)} value(s) for configuration '{name}'",
        }

    return act


def _loans(call: Call) -> dict[str, Any]:
    return loan_page(call.store, call.partner_id, call.request.query_params.multi_items())


def _loan_draft(call: Call) -> dict[str, Any]:
    return receive_draft(call.store, call.partner_id, shaped(LoanDraft, call.json), call.request_id)


def _repayments(call: Call) -> dict[str, Any]:
    return receive_repayments(
        call.store, call.partner_id, shaped(Repayments, call.json), call.request_id
    )


def _journals(call: Call) -> dict[str, Any]:
    return receive_journals(
        call.store,
        call.partner_id,
        shaped(Journals, call.json),
        call.request_id,
        str(call.request.base_url).rstrip("/"),
    )
