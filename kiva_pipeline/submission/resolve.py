"""Settles what is in doubt by what a person found in PA2.

What must not break: only a row whose answer was lost is settled here (or one that a person settled
wrongly before, as long as nothing was sent for it since), never one of which Kiva said itself what
became of it; and "it is not there" ends the version: the next run plans a new one from today's
source and never sends the old bytes.
"""

import uuid
from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.errors import NotAllowedNowError, PipelineError, SettingsError
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission import ledger_writes as writes
from kiva_pipeline.submission.acts import Person, among_senders
from kiva_pipeline.submission.attempts import recover_orphans
from kiva_pipeline.submission.ledger import Ledger, Rows, now_text
from kiva_pipeline.submission.reason_json import reason
from kiva_pipeline.submission.states import NEVER_SENT, NOT_THERE, RESENT, SENTENCES, State
from kiva_pipeline.submission.tables import attempt, submission

_ARRIVED = "resolved_arrived"
_ANSWERED = {_ARRIVED, NOT_THERE}

DANGER = (
    "Kiva's API can't show a draft that is not published, so nobody can check this answer: if the"
    " draft is in PA2 after all, the next run makes a second one, for the same borrower. Look"
    " through all pages of the drafts in PA2, also for a draft of that client with another id."
)


class Answer(StrEnum):
    """What a person found in PA2."""

    ARRIVED = "arrived"
    NOT_THERE = "not_there"


# Given some loan ids as sent to Kiva, those of them that `GET /loans` lists today.
ListedAtKiva = Callable[[Collection[str]], Collection[str]]


def in_doubt() -> sa.ColumnElement[bool]:
    """Rows of which nobody knows whether Kiva has them; also those about to go again."""
    s = submission.c
    return s.state.in_([State.UNCERTAIN.value, State.IN_FLIGHT.value]) | (
        (s.state == State.PLANNED.value) & (s.reason_code == RESENT)
    )


def doubts(connection: Connection, month: str | None = None) -> Rows:
    """The rows in doubt, with what a person needs to look them up in PA2."""
    s = submission.c
    query = _with_attempt().where(in_doubt()).order_by(s.kind, s.month, s.business_id)
    return connection.execute(query.where(s.month == month) if month else query).all()


def asked_about(
    connection: Connection, target: str, *, kind: str | None = None, month: str | None = None
) -> Rows:
    """The rows that an answer about ``target`` would settle.

    Args:
        connection: From ``Ledger.reading`` or ``writing``.
        target: A request's id (all its rows), a loan's or group's id, or ``LOAN/NOTE`` of a
            journal.
        kind: Only this kind of effect.
        month: Only this month.

    Raises:
        PipelineError: The ledger knows no such request or id.
        NotAllowedNowError: Nothing of it is in doubt, or more than one thing of that loan is.
    """
    s = submission.c
    query = _with_attempt().where((s.attempt_id == target) | (s.business_id == target))
    if kind:
        query = query.where(s.kind == kind)
    if month:
        query = query.where(s.month == month)
    matching = connection.execute(query.order_by(s.kind, s.period, s.business_id, s.version)).all()
    if not matching:
        raise PipelineError(
            f"The ledger has sent nothing of request or id “{target}”"
            + (f" in {month}" if month else "") + ".",
            "Give the id as `kiva-pipeline doubts` lists it: a loan's, a group's, LOAN/NOTE of a"
            " journal, or the request's.",
        )  # fmt: skip
    found = [row for row in matching if _open_question(connection, row)]
    if not found:
        raise NotAllowedNowError(
            f"“{target}” is not in doubt: {_states(matching)}.",
            "Only what `kiva-pipeline doubts` lists can be resolved;"
            " `kiva-pipeline trace` tells what was decided.",
        )
    several = {(row.kind, row.period) for row in found}
    if len(several) > 1 and {row.attempt_id for row in found} != {target}:
        raise NotAllowedNowError(
            f"More than one thing of “{target}” is in doubt: {_states(found)}.",
            "Say which by --stream and --month, or give the request's id.",
        )
    return found


def resolve(
    book: Ledger,
    settings: Settings,
    target: str,
    answer: Answer,
    who: Person,
    *,
    kind: str | None = None,
    month: str | None = None,
    reference: str = "",
    confirmed: bool = False,
    listed_at_kiva: ListedAtKiva | None,
) -> Rows:
    """Record what a person found in PA2 about rows whose answer was lost.

    Args:
        book: The ledger.
        settings: The partner's.
        target: As ``asked_about``.
        answer: What the person found.
        who: The person.
        kind: As ``asked_about``.
        month: As ``asked_about``.
        reference: What PA2 shows: the draft's uuid, the journal's or the upload's id.
        confirmed: The person was shown ``DANGER``; needed to say that a draft is not there.
        listed_at_kiva: Asks Kiva, for drafts that are said not to be there; None where Kiva can't
            be reached and the person goes on without.

    Returns:
        The rows as they were, with their attempts.

    Raises:
        PipelineError: The ledger knows no such request or id.
        NotAllowedNowError: It is not in doubt, it is at Kiva for sure, or it was not confirmed.
        SettingsError: ``reference`` does not fit.
        SenderBusyError: A sender is at work and may be waiting for this very answer.
    """
    with among_senders(book, settings, "resolve", who):
        with book.writing() as connection:
            recover_orphans(connection, who.actor)
        with book.reading() as connection:
            rows = asked_about(connection, target, kind=kind, month=month)
        _same_answer(rows, answer)
        code = _ARRIVED if answer is Answer.ARRIVED else NOT_THERE
        state = State.ACCEPTED if answer is Answer.ARRIVED else State.WITHDRAWN
        told = who.why
        if answer is Answer.ARRIVED:
            reference = _checked(reference, rows)
        elif reference:
            raise SettingsError(
                "What is not in PA2 has no reference there.",
                "Leave the reference out, or answer that it arrived.",
            )
        else:
            told += _not_at_kiva(rows, listed_at_kiva, confirmed=confirmed)
        with book.writing() as connection:
            ids = submission.c.id.in_([row.id for row in rows])
            writes.note_rows(connection, ids, "resolved", state, told, who.actor)
            connection.execute(
                submission.update()
                .where(ids)
                .values(
                    state=state.value,
                    reason_code=code,
                    reasons=reason(code),
                    remote_ref=reference,
                    run_id=who.run_id,
                    updated_at=now_text(),
                )
            )
    return rows


def _with_attempt() -> sa.Select[Any]:
    return sa.select(
        submission, attempt.c.started_at, attempt.c.cause, attempt.c.http_status
    ).join(attempt, attempt.c.id == submission.c.attempt_id, isouter=True)  # fmt: skip


def _open_question(connection: Connection, row: Any) -> bool:  # noqa: ANN401  a SQLAlchemy row
    """In doubt; or answered by a person, and nothing was sent for it since."""
    state = State(row.state)
    again = state is State.PLANNED and row.reason_code == RESENT
    if state in {State.UNCERTAIN, State.IN_FLIGHT} or again:
        return True
    if row.reason_code not in _ANSWERED:
        return False
    s = submission.c
    never = [*(each.value for each in NEVER_SENT), State.WITHDRAWN.value]
    sent_since = connection.execute(
        sa.select(sa.func.count()).where(
            s.kind == row.kind,
            s.period == row.period,
            s.business_id == row.business_id,
            s.version > row.version,
            s.state.not_in(never) | (s.reason_code == NOT_THERE),
        )
    ).scalar_one()
    return sent_since == 0


def _same_answer(rows: Sequence[Any], answer: Answer) -> None:
    given = _ARRIVED if answer is Answer.ARRIVED else NOT_THERE
    if all(row.reason_code == given for row in rows):
        raise NotAllowedNowError(
            f"It was answered so already: {_states(rows)}.",
            "There is nothing to do; `kiva-pipeline trace` shows by whom and why.",
        )


def _checked(reference: str, rows: Sequence[Any]) -> str:
    text = reference.strip()
    if not text:
        return ""
    if len(rows) > 1 and rows[0].kind != "repayment":
        raise SettingsError(
            f"One reference can't be that of {len(rows)} rows.", "Resolve them one by one."
        )
    if rows[0].kind == "loan_draft":
        try:
            return str(uuid.UUID(text))
        except ValueError:
            raise SettingsError(
                "That is not the uuid of a draft.",
                "Copy it from the draft's page in PA2, or leave it out.",
            ) from None
    if not text.isprintable() or len(text) > 100:
        raise SettingsError(
            "That is no reference of PA2's.", "Copy it from there, or leave it out."
        )
    return text


def _not_at_kiva(
    rows: Sequence[Any], listed_at_kiva: ListedAtKiva | None, *, confirmed: bool
) -> str:
    """See that drafts which are said not to be there are not listed; what to add to the reason."""
    drafts = [row.business_id for row in rows if row.kind == "loan_draft"]
    if not drafts:
        return ""
    if listed := sorted(listed_at_kiva(drafts)) if listed_at_kiva else []:
        raise NotAllowedNowError(
            f"Kiva lists {', '.join(listed)} among its loans: it arrived.",
            "Answer --arrived, or run its month: that settles it by Kiva's own list.",
        )
    if not confirmed:
        raise NotAllowedNowError(DANGER, "If it is surely not there, say so with --yes.")
    return "" if listed_at_kiva else " (Kiva's list was not asked)"


def _states(rows: Sequence[Any]) -> str:
    told = {
        f"{row.kind.replace('_', ' ')} {row.business_id} of {row.month} is"
        f" {row.state.replace('_', ' ')} ({SENTENCES.get(row.reason_code, row.reason_code)})"
        for row in rows
    }
    shown = sorted(told)
    more = f" … and {len(shown) - 3} more" if len(shown) > 3 else ""
    return "; ".join(shown[:3]) + more
