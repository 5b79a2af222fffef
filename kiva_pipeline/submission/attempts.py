"""Requests in the ledger: their intent before they are made, and how they ended.

What must not break: ``write_intents`` is committed before any of its requests is made, and an
answer settles the rows of its own attempt and no others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.submission.bulk import insert_versions
from kiva_pipeline.submission.ledger import now_text
from kiva_pipeline.submission.ledger_writes import Actor, note, note_rows, pieces
from kiva_pipeline.submission.reason_json import reason
from kiva_pipeline.submission.states import State
from kiva_pipeline.submission.tables import OPEN_CLAUSE, attempt, submission

if TYPE_CHECKING:  # commands that only settle rows need no frames
    from kiva_pipeline.submission.queue import Group


@dataclass(frozen=True, slots=True)
class Intent:
    """One request about to be made for some rows.

    Attributes:
        attempt_id: Unique; sent as ``X-Request-ID``.
        kind: The kind of effect.
        period: The ledger's period of its rows.
        month: The partition that asks for it.
        group: The rows that are in it.
        total: Sum of their amounts in minor units, for the audit.
        body_sha256: Of the exact bytes that go out.
    """

    attempt_id: str
    kind: str
    period: str
    month: str
    group: "Group"
    total: int | None
    body_sha256: str


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What one row of an attempt became, where it differs from the attempt's own outcome."""

    business_id: str
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
        .where(sa.text(OPEN_CLAUSE), submission.c.state == State.IN_FLIGHT.value)
        .values(
            state=State.UNCERTAIN.value,
            reason_code="crashed",
            reasons=reason("crashed"),
            updated_at=now,
        )
    ).rowcount
    connection.execute(
        attempt.update()
        .where(attempt.c.verdict.is_(None))
        .values(verdict="uncertain", cause="crashed", finished_at=now)
    )
    note(
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

    A version that is new enters the ledger here: the event of its attempt tells that it was
    planned. Its reason in words is left out, because its outcome replaces it.

    Raises:
        RuntimeError: A row was not planned any more: two senders, or a fault of ours. Nothing of
            this transaction may be sent.
    """
    if not intents:
        return
    now = now_text()
    connection.execute(
        _NEW_ATTEMPT,
        [
            {
                "id": intent.attempt_id, "kind": intent.kind, "month": intent.month,
                "run_id": actor.run_id, "items": len(intent.group.rows), "total": intent.total,
                "body_sha256": intent.body_sha256, "started_at": now,
            }
            for intent in intents
        ],
    )  # fmt: skip
    for intent in intents:
        become = {
            "state": State.IN_FLIGHT.value, "attempt_id": intent.attempt_id,
            "run_id": actor.run_id, "updated_at": now,
        }  # fmt: skip
        _insert_new(connection, intent, become)
        _update_known(connection, intent, become)
    note(
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


def _insert_new(connection: Connection, intent: Intent, become: Mapping[str, str]) -> None:
    shared = {
        **become, "kind": intent.kind, "period": intent.period, "month": intent.month,
        "reasons": "", "remote_ref": "", "confirm_url": "",
    }  # fmt: skip
    try:
        insert_versions(connection, shared, intent.group.new_rows.columns())
    except sa.exc.IntegrityError:
        raise RuntimeError(_NOT_PLANNED) from None


def _update_known(connection: Connection, intent: Intent, become: Mapping[str, str]) -> None:
    s = submission.c
    known = intent.group.known_rows.column("business_id")
    changed = sum(
        connection.execute(
            submission.update()
            .where(
                s.kind == intent.kind,
                s.period == intent.period,
                s.business_id.in_(ids),
                s.state == State.PLANNED.value,
            )
            .values(**become)
        ).rowcount
        for ids in pieces(known)
    )
    if changed != len(known):
        raise RuntimeError(_NOT_PLANNED)


def settle(connection: Connection, settlement: Settlement, actor: Actor) -> None:
    """Record how one attempt ended; see ``settle_all``."""
    settle_all(connection, [settlement], actor)


def settle_all(connection: Connection, settlements: Sequence[Settlement], actor: Actor) -> None:
    """Record how attempts ended, for themselves and for each of their rows.

    Only rows that are still in flight, or uncertain by this very attempt, are touched: a late
    answer may settle its own attempt and nothing else. Rows that are given back keep the reason
    for which they were planned.
    """
    if not settlements:
        return
    now, ids = now_text(), [settlement.attempt_id for settlement in settlements]
    late = set(connection.execute(_ENDED_OF, {"ids": ids}).scalars())
    connection.execute(
        _END_ATTEMPT,
        [
            {
                "this": each.attempt_id, "to_verdict": each.verdict,
                "to_status": each.http_status, "to_cause": each.cause,
                "to_ref": each.remote_ref or None, "to_url": each.confirm_url or None, "at": now,
            }
            for each in settlements
        ],
    )  # fmt: skip
    for settlement in settlements:
        _settle_exceptions(connection, settlement, actor, now)
    given_back = [each for each in settlements if each.state is State.PLANNED]
    for each in settlements:
        if each.state is State.PLANNED or each.attempt_id in late:
            # These rows may have another attempt, or another state than the rest.
            own = (submission.c.attempt_id == each.attempt_id) & _UNANSWERED
            note_rows(connection, own, "settled", each.state, each.reason_code, actor)
    note(
        connection,
        [
            {
                "at": now, "action": "settled", "attempt_id": each.attempt_id,
                "from_state": State.IN_FLIGHT.value, "to_state": each.state.value,
                "who": actor.who, "why": each.reason_code, "run_id": actor.run_id,
            }
            for each in settlements
            if each.state is not State.PLANNED and each.attempt_id not in late
        ],
    )  # fmt: skip
    if given_back:
        connection.execute(_GIVE_BACK, [_row_values(each, now) for each in given_back])
    if others := [each for each in settlements if each.state is not State.PLANNED]:
        connection.execute(
            _SETTLE,
            [
                _row_values(each, now)
                | {"to_reason_code": each.reason_code, "to_reasons": each.reasons}
                for each in others
            ],
        )


def _row_values(settlement: Settlement, now: str) -> dict[str, Any]:
    return {
        "this": settlement.attempt_id, "to_state": settlement.state.value,
        "to_ref": settlement.remote_ref, "to_url": settlement.confirm_url, "at": now,
    }  # fmt: skip


def _settle_exceptions(
    connection: Connection, settlement: Settlement, actor: Actor, now: str
) -> None:
    """The rows of an attempt that ended otherwise than the rest; before the rest is settled."""
    s = submission.c
    for outcome in settlement.exceptions:
        this_row = (
            (s.attempt_id == settlement.attempt_id)
            & _UNANSWERED
            & (s.business_id == outcome.business_id)
        )
        note_rows(connection, this_row, "settled", outcome.state, outcome.reason_code, actor)
        connection.execute(
            submission.update()
            .where(this_row)
            .values(
                state=outcome.state.value,
                reason_code=outcome.reason_code,
                reasons=outcome.reasons,
                remote_ref=settlement.remote_ref,
                confirm_url=settlement.confirm_url,
                updated_at=now,
            )
        )


_NOT_PLANNED = "rows that were to be sent are not planned any more"
# Plain comparisons: SQLite makes the list of an IN anew in each statement.
_UNANSWERED = sa.or_(
    submission.c.state == sa.literal_column(f"'{State.IN_FLIGHT.value}'"),
    submission.c.state == sa.literal_column(f"'{State.UNCERTAIN.value}'"),
)
# Made once: a statement is cheap to run and dear to build.
_NEW_ATTEMPT = attempt.insert()
_END_ATTEMPT = (
    attempt.update()
    .where(attempt.c.id == sa.bindparam("this"))
    .values(
        verdict=sa.bindparam("to_verdict"),
        http_status=sa.bindparam("to_status"),
        cause=sa.bindparam("to_cause"),
        remote_ref=sa.bindparam("to_ref"),
        confirm_url=sa.bindparam("to_url"),
        finished_at=sa.bindparam("at"),
    )
)
_ENDED_OF = sa.select(attempt.c.id).where(
    attempt.c.id.in_(sa.bindparam("ids", expanding=True)), attempt.c.verdict.is_not(None)
)
_GIVE_BACK = (
    submission.update()
    .where(submission.c.attempt_id == sa.bindparam("this"), _UNANSWERED)
    .values(
        state=sa.bindparam("to_state"),
        remote_ref=sa.bindparam("to_ref"),
        confirm_url=sa.bindparam("to_url"),
        updated_at=sa.bindparam("at"),
    )
)
_SETTLE = _GIVE_BACK.values(
    reason_code=sa.bindparam("to_reason_code"), reasons=sa.bindparam("to_reasons")
)
