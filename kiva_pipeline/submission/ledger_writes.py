"""Changes of decisions in the ledger, as functions of one open transaction each.

What must not break: a change of state and its event are in the same transaction. Requests and
their answers are in ``attempts``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.errors import LedgerError
from kiva_pipeline.submission.bulk import insert_versions
from kiva_pipeline.submission.ledger import now_text
from kiva_pipeline.submission.reason_json import reason
from kiva_pipeline.submission.states import RESENT, State
from kiva_pipeline.submission.tables import OPEN_CLAUSE, event, submission

_IDS_AT_ONCE = 500
_Id = TypeVar("_Id", int, str)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes the ledger: a run, or a person who gave a reason."""

    who: str
    run_id: str


def insert_rows(connection: Connection, rows: Sequence[Mapping[str, Any]], actor: Actor) -> None:
    """Add versions that a plan decided; never-sent ones get an event each.

    A row that is ``planned`` gets none of its own: the event of its attempt tells its history.

    Args:
        connection: An open transaction.
        rows: Columns of ``submission``, the same in each row.
        actor: Who decided.
    """
    if rows:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        insert_versions_noted(connection, {}, columns, actor)


def insert_versions_noted(
    connection: Connection,
    shared: Mapping[str, Any],
    columns: Mapping[str, Sequence[Any]],
    actor: Actor,
    *,
    was: State | None = None,
) -> None:
    """As ``insert_rows``, with the columns that all rows share given once.

    Args:
        connection: An open transaction.
        shared: Columns with their one value.
        columns: The values of the other columns, a row each.
        actor: Who decided.
        was: What the rows were before they entered the ledger.
    """
    s = submission.c
    newest = connection.execute(sa.select(sa.func.max(s.id))).scalar() or 0
    fixed = {
        "run_id": actor.run_id, "updated_at": now_text(), "remote_ref": "", "confirm_url": "",
    }  # fmt: skip
    insert_versions(connection, {**shared, **fixed}, columns)
    mine = (s.id > newest) & (s.run_id == actor.run_id) & (s.state != State.PLANNED.value)
    before: sa.ColumnElement[Any] = sa.literal(was.value) if was else sa.null()
    note_rows(connection, mine, "decided", s.state, s.reason_code, actor, from_state=before)


def update_rows(connection: Connection, rows: Sequence[Mapping[str, Any]], actor: Actor) -> None:
    """Decide open versions anew.

    Args:
        connection: An open transaction.
        rows: Columns of ``submission`` to set, the same in each row, with ``id`` and the present
            state as ``was``.
        actor: Who decides.

    Raises:
        LedgerError: A row is not what it was when it was decided: somebody else changed it in
            between. Nothing of this transaction may stand.
    """
    if not rows:
        return
    s = submission.c
    this = s.id == sa.bindparam("row_id")
    bound = [
        {"row_id": row["id"]} | {f"to_{name}": row[name] for name in row if name != "id"}
        for row in rows
    ]
    moved = [
        {name: row[name] for name in ("row_id", "to_state", "to_reason_code")}
        for row in bound
        if row["to_was"] != row["to_state"]
    ]
    if moved:
        to_state: sa.BindParameter[str] = sa.bindparam("to_state")
        why: sa.BindParameter[str] = sa.bindparam("to_reason_code")
        note_rows(connection, this, "decided", to_state, why, actor, each=moved)
    columns = [name for name in rows[0] if name not in {"id", "was"}]
    changed = connection.execute(
        submission.update()
        .where(this, s.state == sa.bindparam("to_was"))
        .values(
            run_id=actor.run_id,
            updated_at=now_text(),
            **{name: sa.bindparam(f"to_{name}") for name in columns},
        ),
        bound,
    ).rowcount
    _all_of(rows, changed)


def settle_by_evidence(
    connection: Connection, row_ids: Sequence[int], reason_code: str, actor: Actor
) -> None:
    """Uncertain drafts that Kiva's own list shows: they arrived.

    Raises:
        LedgerError: A row is not uncertain any more. Nothing of this transaction may stand.
    """
    s = submission.c
    for ids in pieces(row_ids):
        doubted = s.id.in_(ids) & (s.state == State.UNCERTAIN.value)
        _all_of(
            ids,
            _turn(connection, doubted, "settled by evidence", State.ACCEPTED, reason_code, actor),
        )


def defer_known(
    connection: Connection,
    kind: str,
    period: str,
    business_ids: Sequence[str],
    reason_code: str,
    actor: Actor,
) -> None:
    """Planned rows that can't go in this run wait for the next one.

    Raises:
        LedgerError: A row is not planned any more. Nothing of this transaction may stand.
    """
    s = submission.c
    for ids in pieces(business_ids):
        planned = (
            (s.kind == kind) & (s.period == period) & s.business_id.in_(ids)
            & (s.state == State.PLANNED.value)
        )  # fmt: skip
        _all_of(ids, _turn(connection, planned, "decided", State.DEFERRED, reason_code, actor))


def end_versions(
    connection: Connection, where: sa.ColumnElement[bool], reason_code: str, actor: Actor
) -> int:
    """Withdraw versions that were never sent.

    Returns:
        How many.
    """
    return _turn(connection, where, "decided", State.WITHDRAWN, reason_code, actor)


def defer_rest(
    connection: Connection, kind: str, month: str, reason_code: str, actor: Actor
) -> int:
    """What is still planned when a run ends waits for the next one.

    What was uncertain and was to go again is uncertain as before: no answer has settled it.

    Returns:
        How many rows were deferred.
    """
    s = submission.c
    # To the letter as in the index over open versions, which holds few of a month's rows when its
    # run ends; an operation on the other columns keeps a database from taking another index.
    planned = (
        sa.text(OPEN_CLAUSE)
        & (s.kind.concat("") == kind)
        & (s.month == month)
        & (s.state == State.PLANNED.value)
    )
    in_doubt = planned & (s.reason_code == RESENT)
    _turn(connection, in_doubt, "decided", State.UNCERTAIN, "still_uncertain", actor)
    return _turn(connection, planned, "decided", State.DEFERRED, reason_code, actor)


def note(connection: Connection, events: Sequence[Mapping[str, Any]]) -> None:
    """Add events that stand for all rows of an attempt."""
    if events:
        connection.execute(event.insert(), list(events))


def note_rows(
    connection: Connection,
    where: sa.ColumnElement[bool],
    action: str,
    to_state: "State | sa.ColumnElement[Any]",
    why: "str | sa.ColumnElement[Any]",
    actor: Actor,
    *,
    from_state: "sa.ColumnElement[Any]" = submission.c.state,
    each: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Add an event for each row of a condition, before its state changes.

    Args:
        connection: An open transaction.
        where: Which rows of ``submission``.
        action: What is done to them.
        to_state: What they become; a column or parameter where they differ.
        why: The reason's code; likewise.
        actor: Who does it.
        from_state: What they are.
        each: Parameters, once for each row, when ``where`` names one row by a parameter.
    """
    s = submission.c
    become = sa.literal(to_state.value) if isinstance(to_state, State) else to_state
    told = sa.literal(why) if isinstance(why, str) else why
    statement = event.insert().from_select(
        ["at", "action", "submission_id", "attempt_id", "from_state", "to_state", "who", "why",
         "run_id"],
        sa.select(
            sa.literal(now_text()), sa.literal(action), s.id, s.attempt_id, from_state, become,
            sa.literal(actor.who), told, sa.literal(actor.run_id),
        ).where(where),
    )  # fmt: skip
    connection.execute(statement, list(each) if each is not None else None)


def pieces(ids: Sequence[_Id]) -> list[Sequence[_Id]]:
    """Ids in runs that every database takes as the parameters of one statement."""
    return [ids[i : i + _IDS_AT_ONCE] for i in range(0, len(ids), _IDS_AT_ONCE)]


def _turn(
    connection: Connection,
    where: sa.ColumnElement[bool],
    action: str,
    state: State,
    code: str,
    actor: Actor,
) -> int:
    note_rows(connection, where, action, state, code, actor)
    return connection.execute(
        submission.update()
        .where(where)
        .values(state=state.value, reason_code=code, reasons=reason(code), updated_at=now_text())
    ).rowcount


def _all_of(rows: Sequence[Any], changed: int) -> None:
    if changed != len(rows):
        raise LedgerError(
            "The ledger was changed by somebody else while this run was deciding.",
            "Run again: what was sent is recorded, and nothing is sent twice.",
        )
