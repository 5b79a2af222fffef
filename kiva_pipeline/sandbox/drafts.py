"""Loan drafts: taken as they come, kept for PA2, made into a loan when a person publishes.

What must not break: a draft is kept each time it is posted, also the second time. Kiva has no
idempotency key either, and a copy that went unseen here would go unseen there.
"""

import re
import uuid
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import orjson
import pybase64

from kiva_pipeline.errors import PipelineError
from kiva_pipeline.sandbox.answers import SUCCESS, Refusal
from kiva_pipeline.sandbox.loans import STATUSES, search_text
from kiva_pipeline.sandbox.messages import LoanDraft
from kiva_pipeline.sandbox.store import Store

_DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,")


@dataclass(frozen=True, slots=True)
class Published:
    """The loan that a draft became."""

    uuid: str
    kiva_id: str
    internal_loan_id: str
    status: str


def business_key(draft: LoanDraft) -> str:
    """The id by which the loan will come back: a group's own, or the one borrower's loan id.

    Empty while the draft names none: it can be kept, but not published.
    """
    if draft.internal_loan_id:
        return draft.internal_loan_id
    borrowers = draft.entreps or []
    return (borrowers[0].loan_id or "") if len(borrowers) == 1 else ""


def receive_draft(
    store: Store, partner_id: str, draft: LoanDraft, request_id: str | None
) -> dict[str, Any]:
    """Keep a draft and answer ``POST /loan_draft``.

    Raises:
        Refusal: 400 when the photo is no base64 data URI.
    """
    mime, photo = _photo(draft.image_encoded)
    body = draft.model_dump(exclude_unset=True, exclude={"image_encoded"})
    draft_uuid = str(uuid.uuid4())
    with store.transaction():
        store.write(
            "INSERT INTO draft VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            draft_uuid,
            partner_id,
            business_key(draft),
            orjson.dumps(body, default=_digits).decode(),
            photo,
            mime,
            store.now().timestamp(),
            request_id,
        )
    return {"code": SUCCESS, "message": "Loan draft created", "loan_draft_uuid": draft_uuid}


def publish_draft(store: Store, draft_uuid: str, *, status: str = "fundRaising") -> Published:
    """What a person does in PA2: make a draft a loan of ``GET /loans``.

    Args:
        store: The sandbox's store.
        draft_uuid: As the API answered it; the loan keeps it as its uuid.
        status: The state in which the loan begins, to skip the weeks that fundraising takes.

    Raises:
        PipelineError: There is no such draft, it was published before, it lacks what a loan needs,
            or Kiva has a loan with its id already.
    """
    if status not in STATUSES:
        raise PipelineError("That is no status of a loan at Kiva.", "Write for example payingBack.")
    with store.transaction():
        row = store.row("SELECT * FROM draft WHERE uuid = ?", draft_uuid)
        if row is None:
            raise PipelineError("There is no such draft.", "Use the loan_draft_uuid of the answer.")
        if row["published_at"] is not None:
            raise PipelineError("The draft was published before.")
        draft = _Publishable.of(row["business_key"], orjson.loads(row["body"]))
        if store.row(
            "SELECT 1 FROM loan WHERE partner_id = ? AND internal_loan_id = ?",
            row["partner_id"],
            draft.loan_id,
        ):
            raise PipelineError("Kiva has a loan with this draft's id already.")
        now = store.now().timestamp()
        kiva_id = store.write(
            "INSERT INTO loan (uuid, partner_id, internal_loan_id, internal_client_id,"
            " borrower_count, name, location, currency, price, status, status_since, created_at,"
            " schedule, draft_uuid, search_text) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            draft_uuid,
            row["partner_id"],
            draft.loan_id,
            draft.client_id,
            draft.borrower_count,
            draft.name,
            draft.location,
            draft.currency,
            _digits(draft.price),
            status,
            int(now),
            int(now),
            orjson.dumps(draft.schedule).decode(),
            draft_uuid,
            search_text(draft.loan_id, draft.client_id, draft.name),
        )
        store.write("UPDATE draft SET published_at = ? WHERE uuid = ?", now, draft_uuid)
    return Published(draft_uuid, str(kiva_id), draft.loan_id, status)


@dataclass(frozen=True, slots=True)
class _Publishable:
    loan_id: str
    client_id: str
    borrower_count: int
    name: str
    location: str
    currency: str
    price: Decimal
    schedule: list[dict[str, str]]

    @classmethod
    def of(cls, loan_id: str, body: dict[str, Any]) -> "_Publishable":
        borrowers = body.get("entreps") or []
        price = sum((Decimal(b.get("amount") or 0) for b in borrowers), Decimal(0))
        currency = body.get("currency") or ""
        lacking = [
            field
            for field, there in (
                ("entreps", borrowers),
                ("a loan id", loan_id),
                ("an amount above zero", price > 0),
                ("currency", currency),
            )
            if not there
        ]
        if lacking:
            raise PipelineError(f"The draft can't be published: it lacks {', '.join(lacking)}.")
        return cls(
            loan_id,
            body.get("internal_client_id") or borrowers[0].get("client_id") or "",
            len(borrowers),
            body.get("group_name") or borrowers[0].get("first_name") or "",
            body.get("location") or "",
            currency,
            price,
            [line for line in body.get("schedule") or [] if line.get("date")],
        )


def principal_due(schedule: str | None, by: date) -> Decimal | None:
    """What a published loan's schedule asks for by a day; None when no schedule is known."""
    lines = orjson.loads(schedule) if schedule else []
    if not lines:
        return None
    due = (Decimal(line.get("principal") or 0) for line in lines if line["date"] <= str(by))
    return sum(due, Decimal(0))


def _digits(amount: Decimal) -> str:
    return f"{amount:f}"  # 1E+3 as a person would type it


def _photo(data_uri: str | None) -> tuple[str | None, bytes | None]:
    if not data_uri:
        return None, None
    head = _DATA_URI.match(data_uri)
    if head:
        try:
            encoded = data_uri[head.end() :].encode("ascii")
            return head[1], pybase64.b64decode(encoded, validate=True)
        except ValueError:
            pass
    raise Refusal(
        400, "sandbox.bad_photo", "image_encoded is not data:image/…;base64,… with valid base64."
    )
