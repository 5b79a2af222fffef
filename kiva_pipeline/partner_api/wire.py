"""The wire: bodies written to the last digit, answers read tolerantly. Pure.

Kiva's real answers are snake_case and its contracts print camelCase; a list of problems has been
seen as one object. All of that is read. What must not break: an amount enters the JSON as exact
digits and never through a float.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pybase64

from kiva_pipeline.json_texts import json_texts
from kiva_pipeline.partner_api.exchange import PostKind

_SHORT = 200  # Kiva's words are kept, but never a page of them
_REFERENCES = {
    PostKind.LOAN_DRAFT: "loan_draft_uuid",
    PostKind.REPAYMENT: "upload_id",
    PostKind.JOURNAL: "archive_id",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What Kiva says of one loan of a report.

    Attributes:
        loan_id: As Kiva writes it.
        code: Raw.
        details: Raw, shortened.
        severity: ``error`` or ``warning``; anything else counts as an error.
    """

    loan_id: str
    code: str
    details: str
    severity: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a successful POST hands back.

    Attributes:
        reference: The draft's uuid, the upload's or the archive's id; "" when absent.
        confirm_url: Where a person publishes journals.
        problems: Per loan, of a repayment report.
    """

    reference: str
    confirm_url: str = ""
    problems: tuple[Problem, ...] = ()


def read_receipt(kind: PostKind, body: object) -> Receipt | None:
    """The receipt in a 2xx answer, or None if the body is no object."""
    if not isinstance(body, Mapping):
        return None
    fields = snake_cased(body)
    return Receipt(
        reference=text_of(fields.get(_REFERENCES[kind])).strip(),
        confirm_url=text_of(fields.get("confirm_url")).strip(),
        problems=_problems(fields.get("problems")),
    )


def error_text(body: object) -> tuple[str, str]:
    """``code, message`` of an error body, shortened; empty where it has none."""
    if not isinstance(body, Mapping):
        return "", ""
    fields = snake_cased(body)
    message = fields.get("message") or fields.get("error_description") or fields.get("error")
    return text_of(fields.get("code"))[:_SHORT], text_of(message)[:_SHORT]


def snake_cased(row: Mapping[str, Any]) -> dict[str, Any]:
    """An object with its keys in snake_case; ``fundedAmount`` becomes ``funded_amount``.

    Where both spellings are there, a null gives way to a value.
    """
    fields: dict[str, Any] = {}
    for key, value in row.items():
        name = _snake(key)
        if value is not None or name not in fields:
            fields[name] = value
    return fields


def text_of(value: object) -> str:
    """A text, or a number as text; "" for anything else, which is no reference and no id."""
    if isinstance(value, str):  # a NUL is no character that every ledger can keep
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in value else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def repayments_body(
    loan_ids: Sequence[str],
    client_ids: Sequence[str],
    amounts: Sequence[str],
    *,
    three_column: bool,
) -> bytes:
    """The body of one upload.

    Args:
        loan_ids: As Kiva lists them.
        client_ids: Used by three-column partners only.
        amounts: Exact plain digits in major units.
        three_column: Send the client id too.
    """
    # Written by hand: every value is finished JSON, and an object a row costs three times as much.
    ids = json_texts(loan_ids)
    if three_column:
        rows = [
            f'{{"loan_id":{loan_id},"amount":{amount},"client_id":{client_id}}}'
            for loan_id, amount, client_id in zip(ids, amounts, json_texts(client_ids), strict=True)
        ]
    else:
        rows = [
            f'{{"loan_id":{loan_id},"amount":{amount}}}'
            for loan_id, amount in zip(ids, amounts, strict=True)
        ]
    return f'{{"repayments":[{",".join(rows)}]}}'.encode()


def journals_body(payloads: Sequence[bytes], envelope: str) -> bytes:
    """Finished journal objects in Kiva's envelope: ``journals`` or a bare array."""
    array = b"[" + b",".join(payloads) + b"]"
    return array if envelope == "bare" else b'{"journals":' + array + b"}"


def draft_body(payload: bytes, photo: bytes | None, mime: str) -> bytes:
    """A finished draft object with its photo spliced in as a data URI, without parsing it.

    Raises:
        ValueError: The payload is not a JSON object, or the MIME type is not an image's.
    """
    if photo is None:
        return payload
    if not payload.endswith(b"}") or len(payload) < 3 or not re.fullmatch(r"image/[a-z]+", mime):
        msg = "a draft is a JSON object with fields, and a photo an image"
        raise ValueError(msg)
    head = b',"image_encoded":"data:' + mime.encode() + b";base64,"
    return b"".join((payload[:-1], head, pybase64.b64encode(photo), b'"}'))


def _problems(found: object) -> tuple[Problem, ...]:
    """A list, one object in its place, or nothing; what can't be read names no loan."""
    if not found:
        return ()
    rows = found if isinstance(found, list) else [found]
    return tuple(_problem(row) for row in rows)


def _problem(row: object) -> Problem:
    fields = snake_cased(row) if isinstance(row, Mapping) else {"details": row}
    return Problem(
        text_of(fields.get("loan_id")),
        text_of(fields.get("code"))[:_SHORT],
        text_of(fields.get("details"))[:_SHORT],
        text_of(fields.get("severity")).strip().casefold(),
    )


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower()
