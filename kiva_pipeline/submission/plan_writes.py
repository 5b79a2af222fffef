"""Carries a plan into the ledger: new versions, changed decisions, evidence."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from sqlalchemy.engine import Connection

from kiva_pipeline.submission import ledger_writes as writes
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.plan import EVIDENCE, INSERT, NOTHING, UPDATE
from kiva_pipeline.submission.planned_rows import PlannedRows
from kiva_pipeline.submission.queue import Group
from kiva_pipeline.submission.reason_json import reason
from kiva_pipeline.submission.states import State

_FACTS = [
    "payload_hash", "field_hashes", "amount", "disbursed", "currency", "currency_digits",
    "effective_on", "client_id", "loan_ids", "client_ids",
]  # fmt: skip
_KEPT = [State.WITHDRAWN.value, State.NOT_EXPECTED.value, State.UNCERTAIN.value]


def entering_when_sent(plan: pd.DataFrame) -> "pd.Series[bool]":
    """Rows of a plan that enter the ledger with the attempt that carries them (``SendQueue``)."""
    return (plan["decision"] == State.PLANNED.value) & (plan["write"] == INSERT)


def apply_plan(
    connection: Connection, plan: pd.DataFrame, kind: str, period: str, month: str, actor: Actor
) -> None:
    """Write what a chunk of ``PLAN_COLUMNS`` decided, in the caller's transaction."""
    if (plan["write"] == NOTHING).all():
        return
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


def defer_group(
    connection: Connection,
    group: Group,
    kind: str,
    period: str,
    month: str,
    why: str,
    actor: Actor,
) -> None:
    """Rows of a group that no request is made for wait for the next run."""
    defer_new(connection, group.new_rows, kind, period, month, why, actor)
    known = group.known_rows.column("business_id")
    writes.defer_known(connection, kind, period, known, why, actor)


def defer_rest(
    ledger: Ledger,
    rest: Iterator[PlannedRows],
    kind: str,
    period: str,
    month: str,
    why: str,
    actor: Actor,
) -> None:
    """What is still planned when a run ends waits for the next one.

    Args:
        ledger: Written in several transactions, so that no one of them is huge.
        rest: From ``SendQueue.rest``: what is not in the ledger yet.
        kind: The kind of effect.
        period: The ledger's period.
        month: The partition.
        why: The reason's code.
        actor: Who sends.
    """
    with ledger.writing() as connection:
        writes.defer_rest(connection, kind, month, why, actor)
    for rows in filter(None, rest):
        with ledger.writing() as connection:
            defer_new(connection, rows, kind, period, month, why, actor)


def defer_new(
    connection: Connection,
    rows: PlannedRows,
    kind: str,
    period: str,
    month: str,
    why: str,
    actor: Actor,
) -> None:
    """Planned rows that the ledger does not have yet enter it as deferred."""
    shared = {
        "kind": kind, "period": period, "month": month, "state": State.DEFERRED.value,
        "reason_code": why, "reasons": reason(why),
    }  # fmt: skip
    columns = rows.columns("reason_code")
    if rows:
        writes.insert_versions_noted(connection, shared, columns, actor, was=State.PLANNED)
