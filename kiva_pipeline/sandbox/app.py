"""The sandbox as one ASGI application: the API, the control door, and the recorder around both."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from kiva_pipeline.sandbox.answers import Refusal, answer
from kiva_pipeline.sandbox.api import api_routes
from kiva_pipeline.sandbox.control import control_routes
from kiva_pipeline.sandbox.recorder import Recorder
from kiva_pipeline.sandbox.store import Store


def create_app(store_path: Path | str) -> Starlette:
    """The application over a store; it closes the store when the server shuts down.

    Args:
        store_path: The sandbox's file, seeded or not yet.

    Raises:
        PipelineError: The file can't be opened as a sandbox.
    """
    store = Store(store_path)

    @asynccontextmanager
    async def close_at_the_end(_: Starlette) -> AsyncIterator[None]:
        yield
        store.close()

    app = Starlette(
        routes=[*api_routes(store), *control_routes(store)],
        middleware=[Middleware(Recorder, store=store)],
        exception_handlers={
            Refusal: _refuse,
            HTTPException: _no_such_route,
            ClientDisconnect: _incomplete,
        },
        lifespan=close_at_the_end,
    )
    app.router.redirect_slashes = False  # an unknown route is 404, never a redirected POST
    return app


async def _refuse(_: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)  # noqa: S101  registered for this class only
    return answer(refusal.body, refusal.status, refusal.headers)


async def _no_such_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for this class only
    code = {404: "sandbox.not_found", 405: "sandbox.method_not_allowed"}.get(
        error.status_code, "sandbox.bad_request"
    )
    return answer({"code": code, "message": f"{error.detail}."}, error.status_code, error.headers)


async def _incomplete(_: Request, __: Exception) -> Response:
    # Nobody reads this answer; it tells the recorder that the request was never acted on.
    message = "The connection was closed before the body was complete."
    return answer({"code": "sandbox.incomplete", "message": message}, 400)
