"""Fingerprints of what Kiva would see: the same for the same content, however it is spelled.

The ledger compares them to know whether anything changed. What must not break: nothing that Kiva
doesn't see may enter (a change of mapping or of code must not look like a change of a loan), and
everything that it does see must.
"""

import hmac
import json
import unicodedata
from decimal import Decimal
from hashlib import sha256
from typing import Any

import orjson

_FIELD_HASH_LENGTH = 16


def seen_by_kiva(payload: str, photo_sha256: str = "") -> dict[str, Any]:
    """A JSON body in its canonical form: NFC texts, amounts as their shortest exact digits.

    Args:
        payload: The body; a JSON object.
        photo_sha256: The photo that is sent with it, if any, as its own hash.
    """
    seen: dict[str, Any] = json.loads(payload, parse_float=_number, parse_int=_number)
    # All parts of a text in NFC are; only an escape could hide one that isn't.
    if "\\" in payload or not unicodedata.is_normalized("NFC", payload):
        seen = _nfc(seen)
    return seen | {"photo": photo_sha256} if photo_sha256 else seen


def payload_hash(seen: dict[str, Any]) -> str:
    """The sha256 (hex) of a canonical body; the order of its keys plays no part."""
    return sha256(orjson.dumps(seen, option=orjson.OPT_SORT_KEYS)).hexdigest()


def field_hashes(seen: dict[str, Any], key: bytes) -> str:
    """A keyed hash for each field, to name what changed later without keeping any text.

    Args:
        seen: As ``seen_by_kiva`` gave it.
        key: The partner's field key: without it, a hash of a name could be guessed from a list.

    Returns:
        A JSON object: field to 16 hex digits of HMAC-SHA256. The fields of a list's objects are
        named apart: ``entreps.gender``.
    """
    hashes = {
        field: hmac.digest(
            key, orjson.dumps([field, value], option=orjson.OPT_SORT_KEYS), "sha256"
        ).hex()[:_FIELD_HASH_LENGTH]
        for field, value in _flat(seen).items()
    }
    return orjson.dumps(hashes, option=orjson.OPT_SORT_KEYS).decode()


def _number(text: str) -> orjson.Fragment:
    plain = format(Decimal(text), "f") if "e" in text or "E" in text else text
    return orjson.Fragment(_shortest(plain))


def _shortest(digits: str) -> str:
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return "0" if digits == "-0" else digits


def _nfc(value: Any) -> Any:  # noqa: ANN401  any JSON value
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, dict):
        return {key: _nfc(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nfc(item) for item in value]
    return value


def _flat(seen: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for field, value in seen.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            names = {name for item in value for name in item}
            fields |= {f"{field}.{name}": [item.get(name) for item in value] for name in names}
        else:
            fields[field] = value
    return fields
