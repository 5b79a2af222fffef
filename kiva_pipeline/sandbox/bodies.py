"""Reading what a client posts: bounded, UTF-8, and every amount as the exact decimal it was typed.

What must not break: no number of a body ever becomes a float, and whatever is sent, it is either
read or refused with a 4xx.
"""

import json
from decimal import Decimal
from typing import TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from kiva_pipeline.sandbox.answers import Refusal

MAX_BODY_BYTES = 16 * 1024 * 1024

Message = TypeVar("Message", bound=BaseModel)


async def read_body(request: Request) -> bytes:
    """The whole body.

    One that is too large is still received to its end, without being kept: a client that is
    writing does not read an answer.

    Raises:
        Refusal: 413.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        else:
            chunks.clear()
    if size > MAX_BODY_BYTES:
        raise Refusal(413, "sandbox.too_large", f"The body is larger than {MAX_BODY_BYTES} bytes.")
    return b"".join(chunks)


def parse_json(body: bytes, content_type: str) -> object:
    """The JSON value of a body, with Decimals in place of floats.

    Raises:
        Refusal: 415 for another content type, 400 for what is not JSON in UTF-8.
    """
    if _media_type(content_type) != "application/json":
        raise Refusal(415, "sandbox.wrong_content_type", "Send JSON as application/json.")
    try:
        value: object = json.loads(
            body.decode("utf-8"), parse_float=Decimal, parse_constant=_no_such_number
        )
    except UnicodeDecodeError:
        raise Refusal(400, "sandbox.not_utf8", "The body is not UTF-8.") from None
    except RecursionError:
        raise Refusal(400, "sandbox.not_json", "The body is nested too deeply.") from None
    except (ValueError, ArithmeticError):
        raise Refusal(400, "sandbox.not_json", "The body is not valid JSON.") from None
    return value


def parse_form(body: bytes, content_type: str) -> dict[str, str] | None:
    """The fields of a form-encoded body; None when it is not one."""
    if _media_type(content_type) != "application/x-www-form-urlencoded":
        return None
    try:
        return dict(parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=20))
    except ValueError:
        return None


def shaped(message: type[Message], value: object) -> Message:
    """The value in the shape of a message.

    Raises:
        Refusal: 400 that names the first field that does not fit, and never its value.
    """
    try:
        return message.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        place = _place(problems[0]["loc"])
        problem = problems[0]["msg"].removeprefix("Value error, ")
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        raise Refusal(400, "sandbox.bad_shape", f"{place}: {problem}{more}") from None


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _place(location: tuple[int | str, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(steps).removeprefix(".") or "the body"


def _no_such_number(_: str) -> object:
    raise ValueError  # NaN and Infinity are no JSON
