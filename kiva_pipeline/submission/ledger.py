"""The ledger: what was sent, what is not known, and who decided what.

It remembers what Kiva's API can't tell. What must not break: it belongs to one partner in one
environment for ever, it is durable before a request leaves, and only ``ledger_writes`` changes it.
"""

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from kiva_pipeline.errors import LedgerError
from kiva_pipeline.submission.schema import bring_up_to_date
from kiva_pipeline.submission.states import State
from kiva_pipeline.submission.store import Owner, SenderLock, Store, open_store, transaction
from kiva_pipeline.submission.tables import AT_KIVA_CLAUSE, attempt, event, ledger, submission

Rows = Sequence[Any]  # SQLAlchemy rows: columns by name as attributes


class Ledger:
    """One partner's ledger; made by ``Ledger.open``.

    Attributes:
        environment: The Kiva environment that it belongs to.
        partner_id: The partner that it belongs to.
    """

    def __init__(self, store: Store, owner: Owner) -> None:
        self._store = store
        self.environment = owner.environment
        self.partner_id = owner.partner_id
        self._sender: tuple[Connection, SenderLock] | None = None

    @classmethod
    def open(cls, url: str, *, environment: str, partner_id: str) -> "Ledger":
        """Open a ledger, making it or bringing its schema up to date when needed.

        A PostgreSQL ledger's password comes from the environment: KIVA_PIPELINE_LEDGER_PASSWORD,
        or as libpq finds it.

        Raises:
            LedgerError: It can't be opened, is in a place where it could not keep its promises, is
                of another partner, is newer than this program, or is not whole.
        """
        owner = Owner(environment, partner_id)
        opened = cls(open_store(url, owner), owner)
        try:
            with opened._in_words():
                opened._store.refuse_unsafe()
                bring_up_to_date(opened._store)
                opened._belong()
        except LedgerError:
            opened.close()
            raise
        return opened

    @property
    def file(self) -> Path | None:
        """The file that it lives in; None in a database server."""
        return self._store.file

    def close(self) -> None:
        """Give back connections."""
        self._store.engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one consistent state.

        Raises:
            LedgerError: The ledger can't be read.
        """
        with self._in_words(), transaction(self._store.engine, self._store.to_read) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """One durable transaction: committed whole at the end, or not at all.

        With the sender lock held it is made on the lock's own connection: where the lock is lost,
        nothing can be committed.

        Raises:
            LedgerError: The ledger can't be written, or the sender lock is lost.
        """
        with self._in_words():
            if self._sender:
                connection, lock = self._sender
                lock.check()
                with connection.begin():
                    lock.check()
                    yield connection
                lock.check()
            else:
                with transaction(self._store.engine, self._store.to_write) as connection:
                    self._store.one_writer(connection)
                    yield connection

    @contextlib.contextmanager
    def settling(self) -> Iterator[Connection]:
        """As ``writing``, for answers only: also after the sender lock's connection was lost.

        An answer settles its own attempt and nothing else, so it needs no lock; and one that is
        known is not thrown away because a server was started anew.

        Raises:
            LedgerError: The ledger can't be written.
        """
        if self._sender and not self._is_lost(self._sender[0]):
            with self.writing() as connection:
                yield connection
            return
        with self._in_words(), transaction(self._store.engine, self._store.to_write) as connection:
            self._store.one_writer(connection)
            yield connection

    @staticmethod
    def _is_lost(connection: Connection) -> bool:
        if not connection.invalidated:
            with contextlib.suppress(sa.exc.DBAPIError), connection.begin():
                connection.exec_driver_sql("SELECT 1")
        return connection.invalidated

    @contextlib.contextmanager
    def sending(self, wait_seconds: float) -> Iterator[bool]:
        """Take the sender lock, on a connection that every ``writing`` inside is made on.

        The connection is in no pool and never replaced by another one; it is closed at the end,
        and the lock goes with it. Use ``lock.sender_lock``, which also says who holds it.

        Yields:
            Whether it was taken within so many seconds.

        Raises:
            LedgerError: The lock can't be asked for.
        """
        with self._in_words():
            connection = self._store.engine.connect().execution_options(**self._store.to_write)
            connection.detach()
        lock = self._store.sender_lock(connection)
        try:
            with self._in_words():
                if lock.take(wait_seconds):
                    self._sender = connection, lock
            yield self._sender is not None
        finally:
            self._sender = None
            lock.release()
            with contextlib.suppress(sa.exc.DBAPIError):
                connection.close()

    def session_number(self, connection: Connection) -> int | None:
        """The server's own number of a connection; None where there is no server."""
        return self._store.backend(connection)

    def is_sender(self, session_number: int | None) -> bool:
        """Whether the session with this number holds the sender lock; True where none can tell."""
        with self.reading() as connection:
            return self._store.sender_is(connection, session_number)

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            if error.orig is not self._store.last_error:  # of the MIS, read meanwhile
                raise
            raise self._store.explained(error) from None

    def card(self) -> Row[Any]:
        """The identity card: environment, partner, birth, adoption, pause."""
        with self.reading() as connection:
            return connection.execute(sa.select(ledger)).one()

    def _belong(self) -> None:
        with self.reading() as connection:
            card = connection.execute(sa.select(ledger)).one_or_none()
        if card is None:
            with self.writing() as connection:  # two programs may meet at its birth
                card = connection.execute(sa.select(ledger)).one_or_none()
                if card is None:
                    connection.execute(
                        ledger.insert().values(
                            id=1,
                            environment=self.environment,
                            partner_id=self.partner_id,
                            born_at=now_text(),
                            ledger_id=str(uuid.uuid4()),
                        )
                    )
                    return
        if (card.environment, card.partner_id) != (self.environment, self.partner_id):
            raise LedgerError(
                f"This ledger belongs to partner {card.partner_id} in {card.environment}, not to"
                f" partner {self.partner_id} in {self.environment}.",
                "Give each partner and environment its own state.folder (or state.ledger_url).",
            )


def ledger_exists(url: str) -> bool:
    """Whether a ledger was born there; looking makes none.

    Raises:
        LedgerError: The address is none, or its server can't be reached.
    """
    store = open_store(url, Owner("", ""))
    try:
        return store.exists()
    finally:
        store.engine.dispose()


def known_rows(
    connection: Connection,
    kind: str,
    period: str,
    *,
    above: str = "",
    up_to: str | None = None,
) -> Rows:
    """Every version of the identities of a kind and period with an id in ``(above, up_to]``.

    Sorted by id (code points) and version. ``up_to=None`` means to the end.
    """
    s = submission.c
    query = (
        sa.select(
            s.id, s.business_id, s.version, s.month, s.state, s.reason_code, s.reasons,
            s.payload_hash, s.field_hashes, s.amount, s.currency, s.currency_digits,
            s.effective_on, s.loan_ids, s.updated_at,
        )
        .where(s.kind == kind, s.period == period, s.business_id > above)
        .order_by(s.business_id, s.version)
    )  # fmt: skip
    if up_to is not None:
        query = query.where(s.business_id <= up_to)
    return connection.execute(query).all()


def draft_members(connection: Connection) -> Rows:
    """Every draft that has a claim on its loans: ids, members, clients, amount, day, state.

    A draft that was only blocked, refused or withdrawn has none. ``loan_ids`` is a JSON list,
    frozen when the draft was planned: the members whose figures make up a group's.
    """
    s = submission.c
    claiming = [
        State.PLANNED, State.IN_FLIGHT, State.UNCERTAIN, State.ACCEPTED, State.DEFERRED,
        State.ALREADY_AT_KIVA,
    ]  # fmt: skip
    return connection.execute(
        sa.select(
            s.business_id,
            s.loan_ids,
            s.client_ids,
            s.state,
            s.amount,
            s.currency,
            s.currency_digits,
            s.effective_on,
        )
        .where(s.kind == "loan_draft", s.state.in_([state.value for state in claiming]))
        .order_by(s.business_id, s.version)
    ).all()


def drafts_at_kiva(connection: Connection) -> set[str]:
    """The ids of all drafts that Kiva may have from here: adopted, or part of a request once.

    One that a person did not find in PA2, or that Kiva refused, counts: should Kiva list it all
    the same, then this ledger knows where it comes from.
    """
    s = submission.c
    query = sa.select(s.business_id).where(
        s.kind == "loan_draft", sa.or_(sa.text(AT_KIVA_CLAUSE), s.attempt_id.is_not(None))
    )
    return set(connection.execute(query).scalars())


def history(connection: Connection, loan_id: str) -> dict[str, list[dict[str, Any]]]:
    """All that the ledger knows of a loan: its submissions, their attempts and events.

    An event without a ``submission_id`` stands for all rows of its attempt; where one of them went
    another way, it has an event of its own for the same attempt and action, which counts for it.

    Args:
        connection: From ``reading``.
        loan_id: A loan id, a group id, or a journal's ``loan_id/note_id``.
    """
    s = submission.c
    rows = connection.execute(
        sa.select(submission)
        .where(
            (s.business_id == loan_id)
            | s.business_id.startswith(f"{loan_id}/", autoescape=True)
            | s.loan_ids.contains(f'"{loan_id}"', autoescape=True)
        )
        .order_by(s.id)
    ).all()
    ids = [row.id for row in rows]
    own = event.c.submission_id.in_(ids)
    # A row names its last attempt; its earlier ones are named by the events that took it out.
    earlier = connection.execute(sa.select(event.c.attempt_id).where(own)).scalars()
    attempts = ({row.attempt_id for row in rows} | set(earlier)) - {None}
    events = connection.execute(
        sa.select(event)
        .where(own | (event.c.attempt_id.in_(attempts) & event.c.submission_id.is_(None)))
        .order_by(event.c.id)
    ).all()
    made = connection.execute(
        sa.select(attempt).where(attempt.c.id.in_(attempts)).order_by(attempt.c.started_at)
    ).all()
    return {
        name: [dict(row._mapping) for row in found]  # noqa: SLF001  SQLAlchemy's public Row API
        for name, found in (("submissions", rows), ("attempts", made), ("events", events))
    }


def state_counts(connection: Connection, month: str | None = None) -> Rows:
    """``kind, month, state, rows`` of the newest version of every identity."""
    s = submission.c
    newest = sa.select(sa.func.max(s.id).label("id")).group_by(s.kind, s.period, s.business_id)
    query = (
        sa.select(s.kind, s.month, s.state, sa.func.count().label("rows"))
        .where(s.id.in_(newest))
        .group_by(s.kind, s.month, s.state)
        .order_by(s.kind, s.month, s.state)
    )
    if month:
        query = query.where(s.month == month)
    return connection.execute(query).all()


def rows_in_states(
    connection: Connection, states: Sequence[State], month: str | None = None
) -> Rows:
    """What is in these states now, with what a person needs to look it up in PA2.

    That is the newest version of each identity; and what was created once and is changed since in
    the MIS has two: the accepted one waits in PA2 all the same.
    """
    s = submission.c
    newest = sa.select(sa.func.max(s.id)).group_by(s.kind, s.period, s.business_id)
    created = (s.period == "") & (s.state == State.ACCEPTED.value)
    query = (
        sa.select(submission, attempt.c.started_at, attempt.c.cause, attempt.c.http_status)
        .join(attempt, attempt.c.id == s.attempt_id, isouter=True)
        .where(s.state.in_([state.value for state in states]), s.id.in_(newest) | created)
        .order_by(s.kind, s.month, s.business_id)
    )
    if month:
        query = query.where(s.month == month)
    return connection.execute(query).all()


def now_text(instant: datetime | None = None) -> str:
    """An instant as the ledger writes it: ISO 8601 in UTC, always with microseconds."""
    moment = (instant or datetime.now(UTC)).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
