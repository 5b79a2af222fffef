"""Journals: an archive of updates a post, which a person opens at ``confirm_url`` and publishes.

What must not break: a journal is kept each time it is posted, also the second time: lenders would
read it twice.
"""

import hashlib
from typing import Any

import orjson

from kiva_pipeline.sandbox.answers import SUCCESS
from kiva_pipeline.sandbox.loans import REPAYABLE
from kiva_pipeline.sandbox.messages import Journal, Journals
from kiva_pipeline.sandbox.store import Store


def receive_journals(
    store: Store, partner_id: str, posted: Journals, request_id: str | None, site: str
) -> dict[str, Any]:
    """Keep an archive and answer ``POST /journals``.

    One for a loan that PA2 would not find eligible is kept and marked: the API has no way to say
    so, the page behind ``confirm_url`` does.

    Args:
        store: The sandbox's store.
        partner_id: Whose journals.
        posted: What was posted.
        request_id: The request's own id.
        site: The sandbox's address, without a slash at the end.
    """
    with store.transaction():
        archive_id = store.write(
            "INSERT INTO archive (partner_id, received_at, request_id) VALUES (?, ?, ?)",
            partner_id,
            store.now().timestamp(),
            request_id,
        )
        eligible = _eligible(store, partner_id, posted.journals)
        store.write_many(
            "INSERT INTO journal (archive_id, partner_id, loan_id, client_id, subject, body,"
            " image_url, content_hash, eligible) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    archive_id,
                    partner_id,
                    journal.internal_loan_id,
                    journal.internal_client_id,
                    journal.subject,
                    journal.body,
                    journal.image_url,
                    content_hash(journal),
                    journal.internal_loan_id in eligible,
                )
                for journal in posted.journals
            ),
        )
    return {
        "code": SUCCESS,
        "message": "Journals received",
        "archive_id": str(archive_id),
        "confirm_url": f"{site}/pa2/journals/{archive_id}",
    }


def content_hash(journal: Journal) -> str:
    """What tells a second copy of a journal from another one on the same loan."""
    return hashlib.sha256(orjson.dumps([journal.subject, journal.body])).hexdigest()


def _eligible(store: Store, partner_id: str, journals: list[Journal]) -> set[str]:
    rows = store.rows(
        "SELECT internal_loan_id FROM loan WHERE partner_id = ?"
        " AND status IN (SELECT value FROM json_each(?))"
        " AND internal_loan_id IN (SELECT value FROM json_each(?))",
        partner_id,
        orjson.dumps(sorted(REPAYABLE)).decode(),
        orjson.dumps([journal.internal_loan_id for journal in journals]).decode(),
    )
    return {row[0] for row in rows}
