"""The newest figure of each loan that Kiva has, or may have; reads only.

Found month by month, the newest first: nearly every loan was reported in the same or the last
month, so that a ledger of ten years costs no more than one of two months. What must not break: a
figure whose answer was lost counts, because a later report must not fall behind it unseen.
"""

from collections.abc import Collection
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.submission.ledger_writes import pieces
from kiva_pipeline.submission.tables import AT_KIVA_CLAUSE, submission

# Below this share of the ids asked for, the missing ones are looked up one by one.
_FEW = 0.05


def last_sent(
    connection: Connection, kind: str, ids: Collection[str], *, above: str, up_to: str | None
) -> list[Any]:
    """The newest figure of each of these ids that Kiva has, or may have.

    Args:
        connection: From ``Ledger.reading``.
        kind: The kind of effect.
        ids: Which loans.
        above: All ids are above this one (code points).
        up_to: And up to this one; None means to the end.

    Returns:
        ``business_id, period, amount, currency_digits``, one row for each id that has one.
    """
    missing, found = set(ids), dict[str, Any]()
    period = _newest_period(connection, kind, None)
    asked = tuple(ids)
    while missing and period is not None:
        bound = {"kind": kind, "period": period}
        queries: list[sa.Select[Any]]
        if len(missing) > _FEW * len(ids):
            queries = [_in_range(_OF_KIND, above, up_to)]
        else:
            queries = [
                _OF_KIND.where(submission.c.business_id.in_(some))
                for some in pieces(sorted(missing))
            ]
        newest: dict[str, Any] = {}
        for query in queries:
            rows = connection.execute(query, bound).all()
            of_id = tuple(map(itemgetter(0), rows))
            if not found and of_id == asked:  # all of them in one month: the usual case
                return list(rows)
            newest |= zip(of_id, rows, strict=True)
        if len(newest) > len(missing) or not newest.keys() <= missing:
            newest = {key: newest[key] for key in newest.keys() & missing}
        found |= newest
        missing -= newest.keys()
        period = _newest_period(connection, kind, period)
    return [found[key] for key in sorted(found)]


def ids_sent(connection: Connection, kind: str) -> set[str]:
    """The ids of which Kiva has a figure, or may have one."""
    s = submission.c
    query = sa.select(s.business_id).where(s.kind == kind, sa.text(AT_KIVA_CLAUSE)).distinct()
    return set(connection.execute(query).scalars())


def _newest_period(connection: Connection, kind: str, before: str | None) -> str | None:
    s = submission.c
    query = sa.select(s.period).where(s.kind == kind).order_by(s.period.desc()).limit(1)
    if before is not None:
        query = query.where(s.period < before)
    return connection.execute(query).scalar()


def _in_range(query: sa.Select[Any], above: str, up_to: str | None) -> sa.Select[Any]:
    query = query.where(submission.c.business_id > above)
    return query if up_to is None else query.where(submission.c.business_id <= up_to)


# In the order of the versions, so that the newest one of an id comes last.
_OF_KIND = (
    sa.select(
        submission.c.business_id,
        submission.c.period,
        submission.c.amount,
        submission.c.currency_digits,
    )
    .where(
        submission.c.kind == sa.bindparam("kind"),
        submission.c.period == sa.bindparam("period"),
        sa.text(AT_KIVA_CLAUSE),
    )
    .order_by(submission.c.business_id, submission.c.version)
)
