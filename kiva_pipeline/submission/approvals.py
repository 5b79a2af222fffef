"""What persons approved, as the planner and the table of a month read it.

An approval is of one figure of one effect, by the hash of what Kiva would see; another figure needs
another approval.
"""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.submission.ledger import Rows
from kiva_pipeline.submission.tables import approval


def approved_figures(
    connection: Connection, kind: str, period: str, *, above: str = "", up_to: str | None = None
) -> Rows:
    """``business_id, payload_hash`` of a period's approvals with an id in ``(above, up_to]``.

    The hash "" stands for a row without a figure. ``up_to=None`` means to the end.
    """
    a = approval.c
    query = sa.select(a.business_id, a.payload_hash).where(
        a.kind == kind, a.period == period, a.business_id > above
    )
    if up_to is not None:
        query = query.where(a.business_id <= up_to)
    return connection.execute(query.distinct()).all()
