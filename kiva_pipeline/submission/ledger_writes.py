"""Every change of the ledger, as functions of one open transaction each.

What must not break: a change of state and its event are in the same transaction, and
``write_intents`` is committed before any of its requests is made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.submission.ledger import now_text
from kiva_pipeline.submission.states import State
from kiva_pipeline.submission.tables import attempt, event, submission

_IDS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes the ledger: a run, or a person who gave a reason."""

    who: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Intent:
    """One request about to be made for some rows.

    Attributes:
        attempt_id: Unique; sent as ``X-Request-ID``.
        kind: The kind of effect.
        month: The partition that asks for it.
        row_ids: The submission rows that are in it.
        total: Sum of their amounts in minor units, for the audit.
        body_sha256: Of the exact bytes that go out.
    """

    attempt_id: str
    kind: str
    month: str
    row_ids: Sequence[int]
    total: int | None
    body_sha256: str


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What one row of an attempt became, where it differs from the attempt's own outcome."""

    row_id: int
    state: State
    reason_code: str
    reasons: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ended.

    Attributes:
        attempt_id: Which.
        verdict: The verdict's name, for the audit.
        state: What its rows become, except those in ``exceptions``. ``PLANNED`` gives them back.
        reason_code: Of the rows.
        reasons: JSON list, as the rules write it; "" for none.
        http_status: None when there was no answer.
        cause: Kiva's code, or the class of the failure; never a body.
        remote_ref: The draft's uuid, the upload's id, the archive's id.
        confirm_url: Where a person publishes a journal.
        exceptions: Rows that ended otherwise.
    """

    attempt_id: str
    verdict: str
    state: State
    reason_code: str
    reasons: str = ""
    http_status: int | None = None
    cause: str = ""
    remote_ref: str = ""
    confirm_url: str = ""
    exceptions: Sequence[RowOutcome] = ()


def insert_rows(connection: Connection, rows: Sequence[Mapping[str, Any]], actor: Actor) -> None:
    """Add versions that a plan decided; never-sent ones get an event each.

    A row that is ``planned`` gets none of its own: the event of its attempt tells its history.
    """
    if not rows:
        return
    now = now_text()
    fixed = {"run_id": actor.run_id, "updated_at": now, "remote_ref": "", "confirm_url": ""}
    connection.execute(submission.insert(), [{**row, **fixed} for row in rows])
    s = submission.c
    connection.execute(
        event.insert().from_select(
            ["at", "action", "submission_id", "to_state", "who", "why", "run_id"],
            sa.select(
                sa.literal(now), sa.literal("decided"), s.id, s.state,
                sa.literal(actor.who), s.reason_code, sa.literal(actor.run_id),
            ).where(
                s.run_id == actor.run_id, s.updated_at == now, s.state != State.PLANNED.value
            ),
        )
    )  # fmt: skip


def update_rows(connection: Connection, rows: Sequence[Mapping[str, Any]], actor: Actor) -> None:
    """Decide open, never-sent versions anew.

    Args:
        connection: An open transaction.
        rows: Columns of ``submission`` to set, with ``id`` and the present state as ``was``.
        actor: Who decides.
    """
    now = now_text()
    for row in rows:
        values = {k: v for k, v in row.items() if k not in {"id", "was"}}
        connection.execute(
            submission.update()
            .where(submission.c.id == row["id"], submission.c.state == row["was"])
            .values(**values, run_id=actor.run_id, updated_at=now)
        )
    _note(
        connection,
        [
            {
                "at": now, "action": "decided", "submission_id": row["id"],
                "from_state": row["was"], "to_state": row["state"], "who": actor.who,
                "why": row["reason_code"], "run_id": actor.run_id,
            }
            for row in rows
            if row["was"] != row["state"]
        ],
    )  # fmt: skip


def recover_orphans(connection: Connection, actor: Actor) -> int:
    """Turn every row that is in flight into ``uncertain``; call it only with the lock held.

    Returns:
        How many rows were orphans of a sender that died.
    """
    now = now_text()
    orphans = connection.execute(
        sa.select(attempt.c.id).where(attempt.c.verdict.is_(None))
    ).scalars().all()  # fmt: skip
    found = connection.execute(
        submission.update()
        .where(submission.c.state == State.IN_FLIGHT.value)
        .values(state=State.UNCERTAIN.value, reason_code="crashed", updated_at=now)
    ).rowcount
    connection.execute(
        attempt.update()
        .where(attempt.c.verdict.is_(None))
        .values(verdict="uncertain", cause="crashed", finished_at=now)
    )
    _note(
        connection,
        [
            {
                "at": now, "action": "recovered", "attempt_id": orphan,
                "from_state": State.IN_FLIGHT.value, "to_state": State.UNCERTAIN.value,
                "who": actor.who, "why": "crashed", "run_id": actor.run_id,
            }
            for orphan in orphans
        ],
    )  # fmt: skip
    return found


def write_intents(connection: Connection, intents: Sequence[Intent], actor: Actor) -> None:
    """Write ahead: planned rows become in flight, each with the attempt that will carry it.

    Raises:
        RuntimeError: A row was not planned any more: two senders, or a fault of ours. Nothing of
            this transaction may be sent.
    """
    if not intents:
        return
    now = now_text()
    connection.execute(
        attempt.insert(),
        [
            {
                "id": intent.attempt_id, "kind": intent.kind, "month": intent.month,
                "run_id": actor.run_id, "items": len(intent.row_ids), "total": intent.total,
                "body_sha256": intent.body_sha256, "started_at": now,
            }
            for intent in intents
        ],
    )  # fmt: skip
    for intent in intents:
        changed = 0
        for ids in _pieces(intent.row_ids):
            changed += connection.execute(
                submission.update()
                .where(submission.c.id.in_(ids), submission.c.state == State.PLANNED.value)
                .values(
                    state=State.IN_FLIGHT.value,
                    attempt_id=intent.attempt_id,
                    run_id=actor.run_id,
                    updated_at=now,
                )
            ).rowcount
        if changed != len(intent.row_ids):
            msg = "rows that were to be sent are not planned any more"
            raise RuntimeError(msg)
    _note(
        connection,
        [
            {
                "at": now, "action": "intended", "attempt_id": intent.attempt_id,
                "from_state": State.PLANNED.value, "to_state": State.IN_FLIGHT.value,
                "who": actor.who, "why": "", "run_id": actor.run_id,
            }
            for intent in intents
        ],
    )  # fmt: skip


def settle(connection: Connection, settlement: Settlement, actor: Actor) -> None:
    """Record how an attempt ended, for itself and for each of its rows.

    Only rows that are still in flight, or uncertain by this very attempt, are touched: a late
    answer may settle its own attempt and nothing else.
    """
    now = now_text()
    connection.execute(
        attempt.update()
        .where(attempt.c.id == settlement.attempt_id)
        .values(
            verdict=settlement.verdict,
            http_status=settlement.http_status,
            cause=settlement.cause,
            remote_ref=settlement.remote_ref or None,
            confirm_url=settlement.confirm_url or None,
            finished_at=now,
        )
    )
    own = (submission.c.attempt_id == settlement.attempt_id) & submission.c.state.in_(
        [State.IN_FLIGHT.value, State.UNCERTAIN.value]
    )
    for outcome in settlement.exceptions:
        connection.execute(
            submission.update()
            .where(own, submission.c.id == outcome.row_id)
            .values(
                state=outcome.state.value,
                reason_code=outcome.reason_code,
                reasons=outcome.reasons,
                remote_ref=settlement.remote_ref,
                updated_at=now,
            )
        )
    if settlement.state is State.PLANNED:  # its next attempt replaces this one on the row
        connection.execute(
            event.insert().from_select(
                [
                    "at", "action", "attempt_id", "submission_id", "from_state", "to_state",
                    "who", "why", "run_id",
                ],
                sa.select(
                    sa.literal(now), sa.literal("given back"), submission.c.attempt_id,
                    submission.c.id, submission.c.state, sa.literal(State.PLANNED.value),
                    sa.literal(actor.who), sa.literal(settlement.reason_code),
                    sa.literal(actor.run_id),
                ).where(own),
            )
        )  # fmt: skip
    connection.execute(
        submission.update()
        .where(own)
        .values(
            state=settlement.state.value,
            reason_code=settlement.reason_code,
            reasons=settlement.reasons if settlement.reasons else submission.c.reasons,
            remote_ref=settlement.remote_ref,
            confirm_url=settlement.confirm_url,
            updated_at=now,
        )
    )
    _note(
        connection,
        [
            {
                "at": now, "action": "settled", "attempt_id": settlement.attempt_id,
                "submission_id": None, "from_state": State.IN_FLIGHT.value,
                "to_state": settlement.state.value, "who": actor.who,
                "why": settlement.reason_code, "run_id": actor.run_id,
            },
            *(
                {
                    "at": now, "action": "settled", "attempt_id": settlement.attempt_id,
                    "submission_id": outcome.row_id, "from_state": State.IN_FLIGHT.value,
                    "to_state": outcome.state.value, "who": actor.who,
                    "why": outcome.reason_code, "run_id": actor.run_id,
                }
                for outcome in settlement.exceptions
            ),
        ],
    )  # fmt: skip


def settle_by_evidence(
    connection: Connection, row_ids: Sequence[int], reason_code: str, actor: Actor
) -> None:
    """Uncertain drafts that Kiva's own list shows: they arrived."""
    now = now_text()
    for ids in _pieces(row_ids):
        connection.execute(
            submission.update()
            .where(submission.c.id.in_(ids), submission.c.state == State.UNCERTAIN.value)
            .values(state=State.ACCEPTED.value, reason_code=reason_code, updated_at=now)
        )
    _note(
        connection,
        [
            {
                "at": now, "action": "settled by evidence", "submission_id": row_id,
                "from_state": State.UNCERTAIN.value, "to_state": State.ACCEPTED.value,
                "who": actor.who, "why": reason_code, "run_id": actor.run_id,
            }
            for row_id in row_ids
        ],
    )  # fmt: skip


def defer_rest(
    connection: Connection, kind: str, month: str, reason_code: str, actor: Actor
) -> int:
    """What is still planned when a run ends waits for the next one.

    Returns:
        How many rows were deferred.
    """
    now = now_text()
    s = submission.c
    planned = (s.kind == kind, s.month == month, s.state == State.PLANNED.value)
    connection.execute(
        event.insert().from_select(
            ["at", "action", "submission_id", "from_state", "to_state", "who", "why", "run_id"],
            sa.select(
                sa.literal(now), sa.literal("decided"), s.id, s.state,
                sa.literal(State.DEFERRED.value), sa.literal(actor.who), sa.literal(reason_code),
                sa.literal(actor.run_id),
            ).where(*planned),
        )
    )  # fmt: skip
    return connection.execute(
        submission.update()
        .where(*planned)
        .values(state=State.DEFERRED.value, reason_code=reason_code, updated_at=now)
    ).rowcount


def _note(connection: Connection, events: Sequence[Mapping[str, Any]]) -> None:
    if events:
        connection.execute(event.insert(), list(events))


def _pieces(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[i : i + _IDS_AT_ONCE] for i in range(0, len(ids), _IDS_AT_ONCE)]
