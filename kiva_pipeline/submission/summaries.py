"""What the ledger can tell about its requests, for ``status`` and ``doubts``; reads only."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.submission.ledger import Rows
from kiva_pipeline.submission.tables import attempt


def requests_by_month(connection: Connection, month: str | None = None) -> Rows:
    """``kind, month, requests, last_at, last_run`` of every kind and month that was ever posted."""
    a = attempt.c
    newest = (
        sa.select(a.kind, a.month, sa.func.count().label("requests"),
                  sa.func.max(a.started_at).label("last_at"))
        .group_by(a.kind, a.month)
    )  # fmt: skip
    if month:
        newest = newest.where(a.month == month)
    by_month = newest.subquery()
    of = by_month.c
    return connection.execute(
        sa.select(
            of.kind, of.month, of.requests, of.last_at, sa.func.max(a.run_id).label("last_run")
        )
        .join(attempt, (a.kind == of.kind) & (a.month == of.month) & (a.started_at == of.last_at))
        .group_by(of.kind, of.month, of.requests, of.last_at)
        .order_by(of.kind, of.month)
    ).all()


def drafts_made_since(connection: Connection, instant: str) -> int:
    """Drafts that were made since an instant, or may have been: their answer was lost or is due."""
    a = attempt.c
    made = connection.execute(
        sa.select(sa.func.sum(a["items"])).where(
            a.kind == "loan_draft",
            a.started_at >= instant,
            a.verdict.is_(None) | a.verdict.in_(["accepted", "uncertain"]),
        )
    ).scalar()
    return int(made or 0)
