"""Kiva's list against the ledger, before anything is sent. Pure.

A loan that Kiva knows and the ledger doesn't means that somebody or something else posts for this
partner, or that this ledger is not the one it should be. Then nothing may be sent.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta

import pandas as pd

from kiva_pipeline.submission.conflicts import normalised_id

# A draft made by hand shortly before go-live may be published after it: the list of waiting drafts
# that adoption was given answers for those, and a day's grace for Kiva's clock.
_GRACE = timedelta(days=1)


def strangers(kiva_loans: pd.DataFrame, known_ids: Collection[str], go_live_on: date) -> list[str]:
    """Ids of loans that Kiva lists, that were made after go-live, and that the ledger has not.

    A loan without an internal id is nobody's by name; that its client gets no second copy is
    looked at draft by draft.

    Args:
        kiva_loans: ``KIVA_LOAN_COLUMNS``, today's.
        known_ids: The drafts' own ids (not their members') that the ledger sent or adopted.
        go_live_on: The day of adoption. A loan without a creation time counts as newer.
    """
    start = datetime.combine(go_live_on - _GRACE, datetime.min.time(), tzinfo=UTC).timestamp()
    newer = kiva_loans["create_time"].isna() | (kiva_loans["create_time"] >= start)
    ids = kiva_loans.loc[newer.to_numpy(dtype=bool), "internal_loan_id"]
    unknown = ids[(ids != "") & ~ids.isin(known_ids)].tolist()
    if not unknown:
        return []
    normalised = {normalised_id(loan_id) for loan_id in known_ids}
    return [loan_id for loan_id in unknown if normalised_id(loan_id) not in normalised]
