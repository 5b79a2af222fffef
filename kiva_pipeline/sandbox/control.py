"""The control door ``/_sandbox/``: what a person does in PA2, and the truth for tests.

Open to this machine only, whatever address the sandbox listens on.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kiva_pipeline.errors import PipelineError
from kiva_pipeline.sandbox.answers import Refusal, answer
from kiva_pipeline.sandbox.drafts import publish_draft
from kiva_pipeline.sandbox.facts import facts, requests_seen
from kiva_pipeline.sandbox.repayments import finalize_period, latest_values
from kiva_pipeline.sandbox.store import Store

CONTROL_PREFIX = "/_sandbox/"


def control_routes(store: Store) -> list[Route]:
    """The routes of the control door."""

    def show_facts(_: Request) -> Response:
        return answer(facts(store))

    def show_requests(request: Request) -> Response:
        return answer({"requests": requests_seen(store, request.query_params.get("request_id"))})

    def show_repayments(request: Request) -> Response:
        return answer({"repayments": latest_values(store, request.query_params.get("loan_id"))})

    def publish(request: Request) -> Response:
        status = request.query_params.get("status", "fundRaising")
        return answer(asdict(publish_draft(store, request.path_params["uuid"], status=status)))

    def finalize(request: Request) -> Response:
        return answer({"open_period": finalize_period(store, request.path_params["partner_id"])})

    doors = (
        ("facts", "GET", show_facts),
        ("requests", "GET", show_requests),
        ("repayments", "GET", show_repayments),
        ("publish/{uuid}", "POST", publish),
        ("finalize/{partner_id}", "POST", finalize),
    )
    return [
        Route(CONTROL_PREFIX + path, _from_this_machine(door), methods=[method])
        for path, method, door in doors
    ]


def _from_this_machine(
    door: Callable[[Request], Response],
) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        if request.client is None or not ip_address(request.client.host).is_loopback:
            raise Refusal(403, "sandbox.forbidden", "Forbidden.")
        try:
            return door(request)
        except PipelineError as error:
            raise Refusal(409, "sandbox.not_possible", str(error)) from None

    return guarded
