"""The one place that every API request passes: remembered at receipt, completed when answered.

What must not break: a request is remembered *before* it is acted on, so that one whose answer is
lost is still known; and only its outside is kept (id, method, path, size, status, time).
"""

import re
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kiva_pipeline.sandbox.control import CONTROL_PREFIX
from kiva_pipeline.sandbox.store import Store

_LONGEST_ID = 200
_LONGEST_PATH = 500
_ENDPOINT = re.compile(
    r"/(?:v3/partners?/[^/]+/"
    r"(?P<of_partner>config/(?:activities|themes|locales|locations)|loans|loan_draft|repayments|journals)"
    r"|(?P<token>oauth/token))"
)


class Recorder:
    """ASGI middleware that writes each request down.

    Args:
        app: What answers.
        store: Where it is written.
    """

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on; the server's own messages and the control door are not recorded."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        started, size, status = perf_counter(), 0, 0
        row_id = self._store.write(
            "INSERT INTO request (request_id, method, path, endpoint, received_at)"
            " VALUES (?, ?, ?, ?, ?)",
            request_id_of(scope),
            scope["method"],
            scope["path"][:_LONGEST_PATH],
            endpoint_of(scope["path"]),
            self._store.now().timestamp(),
        )

        async def counted_receive() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            return message

        async def noted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # Before the answer leaves: a client that has it must find it counted.
                self._store.write(
                    "UPDATE request SET received_bytes = ?, status = ?, milliseconds = ?"
                    " WHERE id = ?",
                    size,
                    status,
                    round((perf_counter() - started) * 1000, 3),
                    row_id,
                )
            await send(message)

        await self._app(scope, counted_receive, noted_send)


def request_id_of(scope: Scope) -> str | None:
    """The request's ``X-Request-ID``, cut to a bearable length; None without one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text: str = value.decode("latin-1")
            return text[:_LONGEST_ID]
    return None


def endpoint_of(path: str) -> str:
    """The endpoint's name without the partner: ``loans``, ``config/themes``, ``oauth/token``."""
    match = _ENDPOINT.fullmatch(path)
    return (match["of_partner"] or match["token"]) if match else "(unknown)"
