"""What the ledger knows of each identity, as one row each: the planner's second input."""

import pandas as pd

from kiva_pipeline.lookups import beside
from kiva_pipeline.submission.ledger import Rows
from kiva_pipeline.submission.row_frames import frame_of_rows
from kiva_pipeline.submission.states import OPEN, State

_COLUMNS = {
    "id": "Int64", "business_id": "str", "version": "Int64", "month": "str", "state": "str",
    "reason_code": "str", "reasons": "str", "payload_hash": "str", "field_hashes": "str",
    "amount": "Int64", "currency": "str", "currency_digits": "Int64", "effective_on": "str",
    "loan_ids": "str", "updated_at": "str",
}  # fmt: skip

# What the planner reads of the open version, of the newest accepted and of a refusal after it. What
# was decided since without asking Kiva (blocked, withdrawn) takes no refusal back.
_OPEN = {
    "id": "open_id", "state": "open_state", "payload_hash": "open_hash",
    "reason_code": "open_reason", "reasons": "open_reasons", "month": "open_month",
}  # fmt: skip
_SENT = {
    "payload_hash": "sent_hash", "amount": "sent_amount", "effective_on": "sent_effective_on",
    "field_hashes": "sent_fields", "month": "sent_month", "loan_ids": "sent_loan_ids",
    "currency_digits": "sent_digits",
}  # fmt: skip
_REFUSED = {
    "payload_hash": "refused_hash", "updated_at": "refused_at", "reason_code": "refused_reason",
}  # fmt: skip
_LAST = {
    "version": "last_version", "state": "last_state", "month": "last_month",
    "reason_code": "last_reason",
    "amount": "last_amount", "currency": "last_currency", "currency_digits": "last_digits",
}  # fmt: skip


def known_frame(rows: Rows) -> pd.DataFrame:
    """All versions of some identities in, one row an identity out.

    Args:
        rows: From ``ledger.known_rows``: sorted by id and version.

    Returns:
        ``business_id`` and the columns that the planner reads: ``open_*``, ``sent_*``,
        ``refused_*``, ``last_*``; empty where there is no such version.
    """
    versions = frame_of_rows(rows, _COLUMNS)
    state = versions["state"]
    accepted = versions[state == State.ACCEPTED.value]
    newest = versions.drop_duplicates("business_id", keep="last")
    of_kiva = versions[state.isin([State.ACCEPTED.value, State.REJECTED.value])]
    answered = of_kiva.drop_duplicates("business_id", keep="last")
    frame = newest[["business_id", *_LAST]].rename(columns=_LAST)
    for part, names in (
        (versions[state.isin([s.value for s in OPEN])], _OPEN),
        (accepted.drop_duplicates("business_id", keep="last"), _SENT),
        (answered[answered["state"] == State.REJECTED.value], _REFUSED),
    ):
        frame = beside(frame, part[["business_id", *names]].rename(columns=names), "business_id")
    return frame
