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
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event as engine_event
from sqlalchemy.engine import URL, Connection, Engine, Row, make_url

from kiva_pipeline.errors import LedgerError
from kiva_pipeline.submission.states import State
from kiva_pipeline.submission.tables import attempt, event, ledger, submission

Rows = Sequence[Any]  # SQLAlchemy rows: columns by name as attributes

_MIGRATIONS = Path(__file__).parent / "migrations"
_BEGIN = "sqlite_begin"


class Ledger:
    """One partner's ledger; made by ``Ledger.open``.

    Attributes:
        environment: The Kiva environment that it belongs to.
        partner_id: The partner that it belongs to.
    """

    def __init__(self, engine: Engine, environment: str, partner_id: str) -> None:
        self._engine = engine
        self.environment = environment
        self.partner_id = partner_id

    @classmethod
    def open(cls, url: str, *, environment: str, partner_id: str) -> "Ledger":
        """Open a ledger, making it or bringing its schema up to date when needed.

        Raises:
            LedgerError: It can't be opened, is of another partner, or is newer than this program.
        """
        target, engine = _target(url)
        try:
            _migrate(engine)
            opened = cls(engine, environment, partner_id)
            opened._belong()
        except sa.exc.DBAPIError as error:
            engine.dispose()
            raise LedgerError(
                f"The ledger {target.render_as_string(hide_password=True)} can't be opened"
                f" ({type(error.orig).__name__}).",
                "Check state.folder or state.ledger_url, the disk, and who may write there.",
            ) from None
        except LedgerError:
            engine.dispose()
            raise
        return opened

    @property
    def url(self) -> URL:
        """The ledger's address; its password is hidden when printed."""
        return self._engine.url

    def close(self) -> None:
        """Give back connections."""
        self._engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one consistent state."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """One durable transaction: committed whole at the end, or not at all."""
        at_once = {_BEGIN: "BEGIN IMMEDIATE"}
        with (
            self._engine.connect().execution_options(**at_once) as connection,
            connection.begin(),
        ):
            yield connection

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
    """Whether a ledger was born there; a database server's is only known by opening it."""
    target = make_url(url)
    return target.get_backend_name() != "sqlite" or Path(target.database or "").is_file()


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
            s.effective_on, s.loan_ids, s.client_id, s.client_ids, s.disbursed, s.updated_at,
        )
        .where(s.kind == kind, s.period == period, s.business_id > above)
        .order_by(s.business_id, s.version)
    )  # fmt: skip
    if up_to is not None:
        query = query.where(s.business_id <= up_to)
    return connection.execute(query).all()


def known_outcomes(connection: Connection, kind: str, period: str, first: str, last: str) -> Rows:
    """``business_id, state, reason_code, reasons, attempt_id`` of each version in a range of ids.

    From ``first`` to ``last``, sorted by id and version; "" where there is no attempt.
    """
    s = submission.c
    return connection.execute(
        sa.select(
            s.business_id, s.state, s.reason_code, s.reasons, sa.func.coalesce(s.attempt_id, "")
        )
        .where(s.kind == kind, s.period == period, s.business_id.between(first, last))
        .order_by(s.business_id, s.version)
    ).all()


def attempt_references(
    connection: Connection, attempt_ids: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """``remote_ref, confirm_url`` by attempt; "" where Kiva gave none."""
    a = attempt.c
    references: dict[str, tuple[str, str]] = {}
    for start in range(0, len(attempt_ids), 500):
        some = attempt_ids[start : start + 500]
        query = sa.select(a.id, a.remote_ref, a.confirm_url).where(a.id.in_(some))
        references |= {row.id: (row.remote_ref or "", row.confirm_url or "")
                       for row in connection.execute(query)}  # fmt: skip
    return references


def draft_members(connection: Connection) -> Rows:
    """``business_id, loan_ids, client_ids, state`` of every draft that has a claim on its loans.

    A draft that was only blocked, refused or withdrawn has none. ``loan_ids`` is a JSON list,
    frozen when the draft was planned: the members whose figures make up a group's.
    """
    s = submission.c
    claiming = [
        State.PLANNED, State.IN_FLIGHT, State.UNCERTAIN, State.ACCEPTED, State.DEFERRED,
        State.ALREADY_AT_KIVA,
    ]  # fmt: skip
    return connection.execute(
        sa.select(s.business_id, s.loan_ids, s.client_ids, s.state)
        .where(s.kind == "loan_draft", s.state.in_([state.value for state in claiming]))
        .order_by(s.business_id, s.version)
    ).all()


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
    """The open versions in these states, with what a person needs to look them up in PA2."""
    s = submission.c
    query = (
        sa.select(submission, attempt.c.started_at, attempt.c.cause, attempt.c.http_status)
        .join(attempt, attempt.c.id == s.attempt_id, isouter=True)
        .where(s.state.in_([state.value for state in states]))
        .order_by(s.kind, s.month, s.business_id)
    )
    if month:
        query = query.where(s.month == month)
    return connection.execute(query).all()


def now_text(instant: datetime | None = None) -> str:
    """An instant as the ledger writes it: ISO 8601 in UTC, always with microseconds."""
    moment = (instant or datetime.now(UTC)).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _target(url: str) -> tuple[URL, Engine]:
    try:
        target = make_url(url)
        return target, _engine(target)
    except (sa.exc.ArgumentError, ImportError) as error:
        raise LedgerError(
            f"state.ledger_url is not an address that can be used ({type(error).__name__}).",
            "Write it as SQLAlchemy does, and install the driver that it names.",
        ) from None


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        if url.database and url.database != ":memory:":
            _private_file(Path(url.database))
        engine = sa.create_engine(url, hide_parameters=True)
        engine_event.listen(engine, "connect", _sqlite_durable)
        engine_event.listen(engine, "begin", _sqlite_begin)
        return engine
    return sa.create_engine(url, pool_pre_ping=True, hide_parameters=True)


def _private_file(path: Path) -> None:
    # Made before SQLite makes it, so that its WAL and shared-memory files inherit the mode.
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise LedgerError(
            f"The ledger {path} can't be written ({type(error).__name__}).",
            "Check state.folder, the disk, and who may write there.",
        ) from error


def _sqlite_durable(connection: Any, _record: object) -> None:  # noqa: ANN401  a DBAPI connection
    connection.isolation_level = None  # the driver must not open transactions by itself
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # a committed intent survives a power cut
        "foreign_keys=ON",
        "busy_timeout=30000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    at_once = {_BEGIN: "BEGIN IMMEDIATE"}
    with engine.connect().execution_options(**at_once) as connection, connection.begin():
        current = MigrationContext.configure(connection).get_current_revision()
        if current == scripts.get_current_head():
            return
        if current is not None and current not in {s.revision for s in scripts.walk_revisions()}:
            raise LedgerError(
                f"The ledger has schema {current}, which this program does not know.",
                "It was written by a newer kiva_pipeline: install that version or a later one.",
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
