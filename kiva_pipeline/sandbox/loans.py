"""The loans that Kiva shows in ``GET /loans``: listing, and their form on the wire.

Drafts are not among them: one becomes a loan when it is published. What must not break: the order
is stable (by Kiva's id), so that paging neither repeats nor skips a loan.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from kiva_pipeline.sandbox.answers import Refusal
from kiva_pipeline.sandbox.dollars import in_dollars
from kiva_pipeline.sandbox.store import Row, Store

DEFAULT_LIMIT = 20
MAX_LIMIT = 10_000
MAX_OFFSET = 10**9
_FUNDRAISING_SECONDS = 30 * 24 * 3600

STATUSES = frozenset(
    {
        "deleted", "inactive", "inactive_expired", "issue", "issue_revising", "issue_approving",
        "reviewed", "fundRaising", "refunded", "raised", "payingBack", "ended", "defaulted",
        "expired",
    }
)  # fmt: skip
REPAYABLE = frozenset({"payingBack", "defaulted"})
OVER = frozenset({"deleted", "inactive_expired", "refunded", "ended", "expired"})
_FUNDED = frozenset({"raised", "payingBack", "ended", "defaulted"})


def search_text(*texts: str) -> str:
    """What ``query`` is looked for in: ids and name, casefolded NFC."""
    return unicodedata.normalize("NFC", "\n".join(texts).casefold())


def loan_page(store: Store, partner_id: str, query: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The answer of ``GET /loans``.

    Args:
        store: The sandbox's store.
        partner_id: Whose loans.
        query: The URL's parameters: ``query`` (part of an id or of the name), ``status`` (may be
            repeated), ``offset`` and ``limit``.

    Raises:
        Refusal: 400 when offset or limit is no number in range.
    """
    values = dict(query)
    limit = _number(values, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
    offset = _number(values, "offset", 0, 0, MAX_OFFSET)
    where, given = ["partner_id = ?"], [partner_id]
    asked = {value for name, value in query if name == "status" and value}
    if asked:
        known = sorted(asked & STATUSES)
        where.append(f"status IN ({', '.join('?' * len(known))})")
        given += known
    if values.get("query"):
        where.append("instr(search_text, ?) > 0")
        given.append(search_text(values["query"]))
    condition = " AND ".join(where)  # of the texts above, and no value
    counted = "count(*) FROM loan" if values.get("query") else "sum(loans) FROM loan_count"
    total = store.row(f"SELECT {counted} WHERE {condition}", *given)
    # The page is found in a narrow index first, so that a far offset skips no whole rows.
    page = store.rows(
        f"""
        SELECT loan.*, partner.name AS partner FROM loan JOIN partner USING (partner_id)
        WHERE kiva_id IN (
            SELECT kiva_id FROM loan WHERE {condition} ORDER BY kiva_id LIMIT ? OFFSET ?
        )
        ORDER BY kiva_id
        """,  # noqa: S608
        *given,
        limit,
        offset,
    )
    return {"total_records": (total and total[0]) or 0, "data": [_on_the_wire(row) for row in page]}


def _number(values: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = values.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and low <= int(text) <= high):
        raise Refusal(
            400, "sandbox.bad_parameter", f"{name} must be a number from {low} to {high}."
        )
    return int(text)


def _on_the_wire(row: Row) -> dict[str, Any]:
    status, dollars = row["status"], in_dollars(row["price"], row["currency"])
    fundraising_ends = row["created_at"] + _FUNDRAISING_SECONDS
    return {
        "borrower_count": row["borrower_count"],
        "internal_loan_id": row["internal_loan_id"],
        "internal_client_id": row["internal_client_id"],
        "partner_id": row["partner_id"],
        "partner": row["partner"],
        "kiva_id": str(row["kiva_id"]),
        "uuid": row["uuid"],
        "name": row["name"],
        "location": row["location"],
        "status": status,
        "status_detail": "",
        "loan_price": dollars,
        "loan_local_price": row["price"],
        "loan_currency": row["currency"],
        "create_time": row["created_at"],
        "planned_expiration_time": fundraising_ends,
        "planned_inactive_expire_time": fundraising_ends,
        "delinquent": status == "defaulted",
        "ended_time": row["status_since"] if status == "ended" else None,
        "refunded_time": row["status_since"] if status == "refunded" else None,
        "expired_time": row["status_since"] if status == "expired" else None,
        "defaulted_time": row["status_since"] if status == "defaulted" else None,
        "issue_feedback_time": None,
        "issue_reported_by": None,
        "flexible_fundraising_enabled": None,
        "fundedAmount": orjson.Fragment(dollars if status in _FUNDED else "0.00"),
    }
