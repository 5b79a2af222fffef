"""The truth for tests: which requests came, and what was applied for each business key.

It turns “0 duplicates, 0 lost” into a query. What must not break: no token, body, photo or name is
in it.
"""

from typing import Any

from kiva_pipeline.sandbox.store import Store


def facts(store: Store) -> dict[str, Any]:
    """What was received and what was applied, over all partners.

    Returns:
        ``requests``: how many of each ``"METHOD endpoint"``, answered or not · ``posts``: how many
        of them were POSTs of drafts, repayments or journals · ``drafts``, ``repayment_uploads``,
        ``journals``: how many are kept · ``duplicate_effects``: keys for which more than one
        draft or journal is kept, or a draft of a loan that Kiva had already.
    """
    counted = {
        f"{row['method']} {row['endpoint']}": row["times"]
        for row in store.rows(
            "SELECT method, endpoint, count(*) AS times FROM request"
            " GROUP BY method, endpoint ORDER BY endpoint, method"
        )
    }
    return {
        "requests": counted,
        "posts": sum(
            counted.get(f"POST {endpoint}", 0)
            for endpoint in ("loan_draft", "repayments", "journals")
        ),
        "drafts": _count(store, "SELECT count(*) FROM draft"),
        "repayment_uploads": _count(store, "SELECT count(*) FROM upload"),
        "journals": _count(store, "SELECT count(*) FROM journal"),
        "duplicate_effects": [row[0] for row in store.rows(_DUPLICATES)],
    }


def requests_seen(store: Store, request_id: str | None = None) -> list[dict[str, Any]]:
    """Every request in the order of arrival, or those that carried one ``X-Request-ID``.

    ``status`` and ``milliseconds`` are None for a request that was never answered.
    """
    rows = store.rows(
        "SELECT request_id, method, path, endpoint, received_at, received_bytes, status,"
        " milliseconds FROM request WHERE ?1 IS NULL OR request_id = ?1 ORDER BY id",
        request_id,
    )
    return [dict(row) for row in rows]


def _count(store: Store, sql: str) -> int:
    row = store.row(sql)
    return row[0] if row else 0


_DUPLICATES = """
    SELECT 'loan_draft/' || partner_id || '/' || business_key AS key
    FROM (
        SELECT partner_id, business_key FROM draft WHERE business_key <> ''
        UNION ALL
        SELECT partner_id, internal_loan_id FROM loan
        WHERE draft_uuid IS NULL AND EXISTS (
            SELECT 1 FROM draft
            WHERE draft.partner_id = loan.partner_id
            AND draft.business_key = loan.internal_loan_id
        )
    )
    GROUP BY partner_id, business_key HAVING count(*) > 1
    UNION ALL
    SELECT 'journal/' || partner_id || '/' || loan_id || '/' || content_hash
    FROM journal GROUP BY partner_id, loan_id, content_hash HAVING count(*) > 1
    ORDER BY key
"""
