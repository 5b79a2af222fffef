"""How the sandbox says yes and no: JSON with Kiva's ``code`` and ``message``.

Kiva documents no error codes; those that begin with ``sandbox.`` are ours. What must not break:
a refusal repeats nothing of what was sent.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

SUCCESS = "api.success"


class Refusal(Exception):  # noqa: N818  an answer, not a fault of the program
    """Raised anywhere below a route to answer with a 4xx.

    Args:
        status: The HTTP status.
        code: Ours, such as ``sandbox.bad_shape``.
        message: What is wrong, in words.
        headers: Further headers of the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code)
        self.status = status
        self.body: dict[str, Any] = {"code": code, "message": message}
        self.headers = headers


class TokenRefusal(Refusal):
    """A 4xx of the token endpoint, in the form of RFC 6749 §5.2."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(status, error, description, {"Cache-Control": "no-store"})
        self.body = {"error": error, "error_description": description}


def answer(
    body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer; exact decimals are put in as ``orjson.Fragment`` or as text."""
    return Response(
        orjson.dumps(body), status, headers=headers, media_type="application/json; charset=utf-8"
    )
