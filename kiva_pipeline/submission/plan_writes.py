"""Carries a plan into the ledger: new versions, changed decisions, evidence."""

from typing import Any

import pandas as pd
from sqlalchemy.engine import Connection

from kiva_pipeline.submission import ledger_writes as writes
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.plan import EVIDENCE, INSERT, UPDATE
from kiva_pipeline.submission.states import State

_FACTS = [
    "payload_hash", "field_hashes", "amount", "disbursed", "currency", "currency_digits",
    "effective_on", "client_id", "loan_ids", "client_ids",
]  # fmt: skip
_KEPT = [State.WITHDRAWN.value, State.NOT_EXPECTED.value, State.UNCERTAIN.value]


def apply_plan(
    connection: Connection, plan: pd.DataFrame, kind: str, period: str, month: str, actor: Actor
) -> None:
    """Write what a chunk of ``PLAN_COLUMNS`` decided, in the caller's transaction."""
    new = plan[plan["write"] == INSERT]
    decided = ["business_id", "version", "reason_code", "reasons", *_FACTS]
    writes.insert_rows(
        connection,
        [
            {"kind": kind, "period": period, "month": month} | row
            for row in _records(new.rename(columns={"decision": "state"}), ["state", *decided])
        ],
        actor,
    )
    changed = plan[plan["write"] == UPDATE].rename(
        columns={"decision": "state", "open_id": "id", "open_state": "was"}
    )
    # A version that ends because the MIS or Kiva dropped it keeps the facts it was decided on, and
    # one in doubt keeps those that were sent.
    keeps = changed["state"].isin([*_KEPT, State.UNCHANGED.value])
    verdict = ["id", "was", "state", "reason_code", "reasons"]
    ended = changed[keeps].replace({"state": {State.UNCHANGED.value: State.WITHDRAWN.value}})
    for rows in (_records(changed[~keeps], [*verdict, *_FACTS]), _records(ended, verdict)):
        writes.update_rows(connection, [row | {"month": month} for row in rows], actor)
    seen = plan.loc[plan["write"] == EVIDENCE, "open_id"]
    writes.settle_by_evidence(connection, [int(i) for i in seen], "seen_at_kiva", actor)


def _records(frame: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    """Rows as dicts of plain Python values, empty ones None."""
    lists = [frame[c].astype(object).where(frame[c].notna(), None).tolist() for c in columns]
    return [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]
