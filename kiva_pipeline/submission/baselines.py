"""What the ledger knows that a month's report is held against; reads only.

The last figures of loans, and the members that a group's draft was sent with. What must not break:
a loan that was at Kiva when it was adopted never counts as posted from here, so that one whose
history nobody told is not taken for a new one. (A draft that only waited in PA2 then is new.)
"""

from collections.abc import Sequence

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.lookups import among
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.submission.figures_sent import last_sent
from kiva_pipeline.submission.ledger import Rows
from kiva_pipeline.submission.row_frames import frame_of_rows
from kiva_pipeline.submission.states import ADOPTED, State
from kiva_pipeline.submission.tables import AT_KIVA_CLAUSE, submission

_IDS_AT_ONCE = 500  # that every database takes as the parameters of one statement


def baselines_frame(
    connection: Connection, wanted: "pd.Series[str]", above: str, up_to: str | None
) -> pd.DataFrame:
    """``business_id, period, amount, digits``: what each loan's figure is held against.

    It is the newest figure that Kiva has, or may have. A loan without any that this ledger itself
    posted was never reported before, so it has 0, in the period "". All others have no row.

    Args:
        connection: From ``Ledger.reading``.
        wanted: The ids that are planned, all in the range.
        above: The range begins behind this id.
        up_to: And ends with this one; None means to the end.
    """
    kind = PostKind.REPAYMENT.value
    newest = frame_of_rows(
        last_sent(connection, kind, wanted.tolist(), above=above, up_to=up_to),
        {"business_id": "str", "period": "str", "amount": "Int64", "digits": "Int64"},
    )
    if len(newest) == len(wanted):
        return newest
    without = wanted[~among(wanted, newest["business_id"])]
    posted = without[among(without, _posted_drafts(connection, above, up_to))]
    if posted.empty:
        return newest
    zero = pd.DataFrame({"business_id": posted, "period": "", "amount": 0, "digits": 0})
    return pd.concat([newest, zero.astype(newest.dtypes)], ignore_index=True)


def group_drafts(connection: Connection, several: Sequence[str]) -> Rows:
    """Drafts that Kiva has, or may have, of more than one loan, and those with these ids.

    Args:
        connection: From ``Ledger.reading``.
        several: Ids of loans that have several borrowers at Kiva, whatever the ledger says.

    Returns:
        ``business_id, loan_ids, client_id, reason_code``, one row for each id.
    """
    s = submission.c
    at_kiva = sa.text(AT_KIVA_CLAUSE)
    query = sa.select(
        s.business_id, s.loan_ids, s.client_id, s.reason_code, s.version
    ).where(s.kind == "loan_draft", at_kiva)  # fmt: skip
    found = {}
    # A list of more than one id has a comma behind a quote.
    parts = [s.loan_ids.contains('",')]
    parts += [
        s.business_id.in_(several[i : i + _IDS_AT_ONCE])
        for i in range(0, len(several), _IDS_AT_ONCE)
    ]
    for part in parts:
        for row in connection.execute(query.where(part).order_by(s.version)):
            found[row.business_id] = row
    return [found[business_id] for business_id in sorted(found)]


def _posted_drafts(connection: Connection, above: str, up_to: str | None) -> Sequence[str]:
    """Ids in ``(above, up_to]`` of the drafts that this ledger itself posted and Kiva accepted."""
    s = submission.c
    query = sa.select(s.business_id).where(
        s.kind == "loan_draft",
        sa.text(AT_KIVA_CLAUSE),
        s.state == State.ACCEPTED.value,
        s.reason_code != ADOPTED,
        s.business_id > above,
    )
    if up_to is not None:
        query = query.where(s.business_id <= up_to)
    return connection.execute(query.distinct()).scalars().all()
