"""Lets what Kiva refused go once more, because a person asked for it.

What must not break: only the newest version of an effect, and only one that Kiva refused itself,
is marked; the planner makes a new version of it, so that a second refusal waits again.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from kiva_pipeline.errors import NotAllowedNowError, PipelineError
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission import ledger_writes as writes
from kiva_pipeline.submission.acts import Person, among_senders
from kiva_pipeline.submission.ledger import Ledger, Rows, now_text
from kiva_pipeline.submission.ledger_writes import pieces
from kiva_pipeline.submission.states import RETRY_ASKED, SENTENCES, State
from kiva_pipeline.submission.tables import submission

_WHAT_ELSE = {
    State.UNCERTAIN: "It is not known whether it arrived: `kiva-pipeline resolve` settles that"
    " first.",
    State.IN_FLIGHT: "It is under way, or its sender died: `kiva-pipeline doubts` tells.",
    State.BLOCKED: "It was never sent: correct it in the MIS as its reason says, and run again.",
    State.HELD: "It was never sent: `kiva-pipeline held` shows what a person may approve.",
    State.MISSING: "It was never sent: the MIS has no figure for it.",
    State.ACCEPTED: "Kiva has it: what is wrong with it must be amended in PA2.",
    State.NEEDS_PERSON: "Kiva has it: what is wrong with it must be amended in PA2.",
}


def retry(
    book: Ledger,
    settings: Settings,
    who: Person,
    *,
    ids: Sequence[str] = (),
    kind: str | None = None,
    month: str | None = None,
) -> Rows:
    """Mark refused rows, so that the next run of their month plans each of them once more.

    Args:
        book: The ledger.
        settings: The partner's.
        who: The person.
        ids: Loans, groups or ``LOAN/NOTE``; without any, everything that is refused of ``month``.
        kind: Only this kind of effect.
        month: Only this month.

    Returns:
        The refused rows.

    Raises:
        PipelineError: The ledger knows no such id, or neither ids nor a month were given.
        NotAllowedNowError: One of them was not refused, or was asked for already; nothing is
            marked then.
        SenderBusyError: A sender is at work.
    """
    if not ids and not month:
        raise PipelineError("Which rows are to go again?", "Name their ids, or a month by --month.")
    with (
        among_senders(book, settings, "retry", who),
        book.writing() as connection,
    ):
        rows = _refused(connection, ids, kind, month)
        for some in pieces([row.id for row in rows]):
            these = submission.c.id.in_(some)
            writes.note_rows(
                connection, these, "retry asked", State.REJECTED, who.why, who.actor
            )  # fmt: skip
            connection.execute(
                submission.update()
                .where(these)
                .values(reason_code=RETRY_ASKED, run_id=who.run_id, updated_at=now_text())
            )
    return rows


def _refused(
    connection: Connection, ids: Sequence[str], kind: str | None, month: str | None
) -> Rows:
    s = submission.c
    newest = sa.select(sa.func.max(s.id)).group_by(s.kind, s.period, s.business_id)
    query = sa.select(submission).where(s.id.in_(newest)).order_by(s.kind, s.month, s.business_id)
    if kind:
        query = query.where(s.kind == kind)
    if month:
        query = query.where(s.month == month)
    if not ids:
        waiting = (s.state == State.REJECTED.value) & (s.reason_code != RETRY_ASKED)
        if not (rows := connection.execute(query.where(waiting)).all()):
            raise NotAllowedNowError(
                f"Nothing of {month} waits after a refusal.", "`kiva-pipeline worklist` lists all."
            )
        return rows
    refused: list[Row[Any]] = []
    for business_id in sorted(set(ids)):
        of_id = connection.execute(query.where(s.business_id == business_id)).all()
        if not of_id:
            where = f" in {month}" if month else ""
            raise PipelineError(
                f"The ledger knows no {business_id}{where}.",
                "Give the id as `kiva-pipeline worklist` lists it.",
            )
        own = [row for row in of_id if row.state == State.REJECTED.value]
        if not own:
            row = of_id[0]
            raise NotAllowedNowError(
                f"{business_id} was not refused: it is {row.state.replace('_', ' ')}"
                f" ({SENTENCES.get(row.reason_code, row.reason_code)})",
                _WHAT_ELSE.get(State(row.state), "The next run decides on it."),
            )
        if all(row.reason_code == RETRY_ASKED for row in own):
            raise NotAllowedNowError(
                f"{business_id} was asked for already: the next run of {own[0].month} sends it.",
                f"`kiva-pipeline run {own[0].month}` sends it now.",
            )
        refused += [row for row in own if row.reason_code != RETRY_ASKED]
    return refused
