"""A ledger in PostgreSQL: for more than one machine, and for runs in containers.

What must not break: the sender's lock is held by the very session that commits its intents. So a
session is never shared (a transaction pooler is refused), never replaced by another one in silence,
and looked at in each transaction.
"""

import os
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, ExceptionContext

from kiva_pipeline.errors import LedgerError
from kiva_pipeline.submission.postgres_words import connect_words, in_words
from kiva_pipeline.submission.store import Owner
from kiva_pipeline.submission.tables import metadata

PASSWORD_VARIABLE = "KIVA_PIPELINE_LEDGER_PASSWORD"  # noqa: S105  its name, not a password

_CONNECT_SECONDS = 10
# What each session has, whatever the server's or the user's defaults are; names that an older
# server does not know are left out. A dead machine's lock is free again after about a minute.
_SESSION = {
    "synchronous_commit": "on",  # a committed intent survives a power cut
    "timezone": "UTC",
    "statement_timeout": "120s",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "30min",  # a plan is made of one consistent state
    "idle_session_timeout": "0",  # a sender waits for Kiva as long as it takes
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60s",
}
_KEEPALIVES = {
    "keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}  # fmt: skip
_MARK = "kiva_pipeline.session"  # a setting of ours, by which a session is known again
_SET = """
    SELECT set_config(known.name, wanted.value, false)
    FROM pg_settings AS known
    JOIN unnest(%s::text[], %s::text[]) AS wanted (name, value) ON lower(known.name) = wanted.name
"""
_IS = """
    SELECT pg_is_in_recovery() AS replica, current_setting('synchronous_commit') AS commits,
           current_setting('fsync') AS fsync, current_setting('server_encoding') AS encoding
"""
# One exchange: wait until no other transaction writes, and see that this is still our session.
_OUR_TURN = sa.text(f"""
    SELECT pg_advisory_xact_lock(:writer), pg_backend_pid() AS backend,
           current_setting('{_MARK}', true) AS mark,
           current_setting('synchronous_commit') AS commits,
           EXISTS (
               SELECT 1 FROM pg_locks
               WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()
                 AND objsubid = 1 AND (classid::bigint << 32 | objid::bigint) = :sender
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           ) AS locked
""")  # noqa: S608  the name of a setting
_HOLDER = sa.text("""
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND granted
      AND objsubid = 1 AND (classid::bigint << 32 | objid::bigint) = :sender
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")
_PARTS = sa.text("""
    SELECT relname FROM pg_class
    WHERE relkind IN ('r', 'p', 'i', 'I') AND pg_table_is_visible(oid)
      AND relnamespace <> 'pg_catalog'::regnamespace
    UNION ALL
    SELECT conname FROM pg_constraint
    WHERE contype = 'f' AND convalidated AND pg_table_is_visible(conrelid)
""")


class PostgresStore:
    """A PostgreSQL database, see ``store.Store``."""

    def __init__(self, url: URL, owner: Owner) -> None:
        self._url = url
        self._keys = {what: lock_key(what, owner) for what in ("sender", "writer")}
        self.file = None
        self.engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={
                "connect_timeout": _CONNECT_SECONDS,
                "application_name": "kiva_pipeline",
                **_KEEPALIVES,
            },
        )
        self.to_read: Mapping[str, Any] = {
            "isolation_level": "REPEATABLE READ",
            "postgresql_readonly": True,
        }
        self.to_write: Mapping[str, Any] = {
            "isolation_level": "READ COMMITTED",  # each statement sees what the one before us left
            "postgresql_readonly": False,
        }
        event.listen(self.engine, "do_connect", _with_password)
        event.listen(self.engine, "connect", self._prepare_session)
        self.last_error: BaseException | None = None
        event.listen(self.engine, "handle_error", self._remember)

    def exists(self) -> bool:
        """Whether the database has a ledger's tables."""
        try:
            with self.engine.connect() as connection:
                return metadata.tables["ledger"].name in self.parts(connection)
        except sa.exc.DBAPIError as error:
            raise self.explained(error) from None

    def refuse_unsafe(self) -> None:
        """Refuse a pooler that hands our sessions to others between transactions.

        Two sessions are open at once here: a pooler shows itself by giving both the same one of the
        server, or one of them another one after a moment, or by forgetting a setting.

        Raises:
            LedgerError: As said.
        """
        with (
            self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as first,
            self.engine.connect() as second,
        ):
            mark = secrets.token_hex(8)
            before = _mark(first, mark)
            other = self.backend(second)  # in a transaction, which keeps what it was given
            same = first.exec_driver_sql(
                f"SELECT pg_backend_pid(), current_setting('{_MARK}', true)"
            ).one()
        if other == before or tuple(same) != (before, mark):
            raise self.pooled()

    def one_writer(self, connection: Connection) -> None:
        """A lock that ends with the transaction."""
        connection.execute(
            sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": self._keys["writer"]}
        )

    def one_migration(self, connection: Connection) -> None:
        """A lock of the database, since a ledger that is not born yet has no owner."""
        connection.execute(
            sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key("schema", None)}
        )
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")

    def parts(self, connection: Connection) -> set[str]:
        """Tables, indexes and checked references, where the search path finds them."""
        return set(connection.execute(_PARTS).scalars())

    def expected_parts(self) -> set[str]:
        """Every table, primary key, index and reference.

        A dump is restored in the order: tables, rows, indexes, references. So where all are there,
        it went through.
        """
        expected: set[str] = set()
        for table in metadata.tables.values():
            expected |= {table.name, f"{table.name}_pkey"}
            expected |= {str(index.name) for index in table.indexes}
            expected |= {
                f"{table.name}_{column.name}_fkey" for column in table.c if column.foreign_keys
            }
        return expected

    def sender_lock(self, connection: Connection) -> "SessionSenderLock":
        """An advisory lock of the connection's session."""
        return SessionSenderLock(self, connection, self._keys)

    def backend(self, connection: Connection) -> int:
        """The process id of the session on the server, as a database administrator sees it."""
        return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())

    def sender_is(self, connection: Connection, backend: int | None) -> bool:
        """As the server's list of locks says."""
        found = connection.execute(_HOLDER, {"sender": self._keys["sender"]})
        return backend in set(found.scalars())

    def explained(self, error: sa.exc.DBAPIError) -> LedgerError:
        """In words, by the standard's code of the error."""
        orig = error.orig
        state = getattr(orig, "sqlstate", None) or ""
        told = in_words(state) if state else connect_words(str(orig))
        what, fix = told or (f"can't be used ({type(orig).__name__} {state})".replace(" )", ")"),
                             "Look at the server's log for this moment.")  # fmt: skip
        return LedgerError(f"The ledger {self.shown} {what}.", fix)

    @property
    def shown(self) -> str:
        """The address for people; it holds no password."""
        return self._url.render_as_string(hide_password=True)

    def _prepare_session(self, connection: "psycopg.Connection[Any]", _record: object) -> None:
        connection.autocommit = True
        connection.execute(_SET, (list(_SESSION), list(_SESSION.values())))
        found = connection.execute(_IS).fetchone()
        connection.autocommit = False
        try:
            self._refuse_session(*(found or ()))
        except LedgerError:
            connection.close()
            raise

    def _refuse_session(self, replica: bool, commits: str, fsync: str, encoding: str) -> None:
        if replica:
            raise LedgerError(
                f"The ledger {self.shown} is a read replica: what it holds is old.",
                "Name the primary server in state.ledger_url.",
            )
        if (commits, fsync) != ("on", "on"):
            raise LedgerError(
                f"The ledger {self.shown} could forget what it has committed when the power fails"
                f" (synchronous_commit={commits}, fsync={fsync}).",
                "Ask the database's administrator to set both to on.",
            )
        if encoding != "UTF8":
            raise LedgerError(
                f"The ledger {self.shown} can't hold every script (its encoding is {encoding}).",
                "Create the database with `createdb --encoding=UTF8 --template=template0 …`.",
            )

    def _remember(self, context: ExceptionContext) -> None:
        self.last_error = context.original_exception

    def pooled(self) -> LedgerError:
        """The refusal of a pooler."""
        return LedgerError(
            f"The ledger {self.shown} is reached through a pooler that shares sessions between"
            " transactions: the lock that keeps a second sender out would not hold.",
            "Name the server itself in state.ledger_url, or a pool in session mode (pgbouncer:"
            " pool_mode = session).",
        )


class SessionSenderLock:
    """The sender lock of a PostgreSQL ledger: it dies with the session that commits the intents."""

    def __init__(self, store: PostgresStore, connection: Connection, keys: dict[str, int]) -> None:
        self._store = store
        self._connection = connection
        self._keys = keys
        self._taken: tuple[int, str] | None = None

    def take(self, wait_seconds: float) -> bool:
        """Wait in the server's queue."""
        with self._connection.begin():
            mark = secrets.token_hex(8)
            backend = _mark(self._connection, mark)
            if self._look().locked:  # a session that is new to us holds it: somebody shares it
                raise self._store.pooled()
        if not self._wait(wait_seconds):
            return False
        self._taken = backend, mark
        return True

    def _wait(self, seconds: float) -> bool:
        key = {"key": self._keys["sender"]}
        if not seconds:
            with self._connection.begin():
                took = self._connection.execute(sa.text("SELECT pg_try_advisory_lock(:key)"), key)
                return bool(took.scalar_one())
        try:
            with self._connection.begin():
                self._connection.execute(
                    sa.text("SELECT set_config('lock_timeout', :ms, true),"
                            " set_config('statement_timeout', '0', true)"),
                    {"ms": f"{max(1, int(seconds * 1000))}ms"},
                )  # fmt: skip
                self._connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), key)
        except sa.exc.OperationalError as error:
            if isinstance(error.orig, psycopg.errors.LockNotAvailable):
                return False
            raise
        return True

    def check(self) -> None:
        """In a transaction: this is the session that took the lock, and it still holds it."""
        ours = not self._connection.invalidated
        if ours and self._connection.in_transaction():
            seen = self._look()
            ours = (seen.backend, seen.mark) == self._taken and seen.locked and seen.commits == "on"
        if not ours:
            raise LedgerError(
                f"The connection to the ledger {self._store.shown} is not the one that holds the"
                " sender lock any more.",
                "Nothing more is sent. Run again: what was under way is then marked as in doubt,"
                " and nothing is sent twice.",
            )

    def release(self) -> None:
        """Nothing to do: the connection is closed, and its session ends with all its locks."""

    def _look(self) -> sa.Row[Any]:
        return self._connection.execute(_OUR_TURN, self._keys).one()


def lock_key(what: str, owner: Owner | None) -> int:
    """The number of an advisory lock: fixed for ever, so that all versions keep each other out."""
    whose = (owner.environment, owner.partner_id) if owner else ()
    digest = sha256("\0".join(("kiva_pipeline", what, *whose)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _mark(connection: Connection, mark: str) -> int:
    marked = connection.exec_driver_sql(
        f"SELECT pg_backend_pid(), set_config('{_MARK}', '{mark}', false)"
    )
    return int(marked.one()[0])


def _with_password(
    _dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]
) -> None:
    # Here and not in the engine's address, which is printed; without it libpq looks by itself.
    if password := os.environ.get(PASSWORD_VARIABLE):
        parameters["password"] = password
