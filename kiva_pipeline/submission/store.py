"""Where a ledger lives: what SQLite and PostgreSQL do differently, behind one shape.

What must not break: the sender lock and the ability to commit an intent die together. So a lock
belongs to one connection, and every transaction of a sender is made on it and nowhere else.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url

from kiva_pipeline.errors import LedgerError


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose ledger it is: one partner in one environment."""

    environment: str
    partner_id: str


class SenderLock(Protocol):
    """The lock that one sender at a time holds, bound to one connection."""

    def take(self, wait_seconds: float) -> bool:
        """Take it, waiting so long for another sender; False if it is still held then."""
        ...

    def check(self) -> None:
        """Before a transaction of the sender, first in it, and once it is committed.

        Raises:
            LedgerError: The lock is not held any more: nothing more may be sent.
        """
        ...

    def release(self) -> None:
        """Give it back; quietly, because its end must not hide why the sender ended."""
        ...


class Store(Protocol):
    """A database that a ledger lives in.

    Attributes:
        engine: Every connection of it is durable, in UTC and can wait, but not for ever.
        to_read: Execution options of a transaction that sees one consistent state.
        to_write: Those of a transaction that changes it.
        last_error: The driver's last error, by which the store's errors are told from others'.
    """

    engine: Engine
    to_read: Mapping[str, Any]
    to_write: Mapping[str, Any]
    last_error: BaseException | None

    @property
    def file(self) -> Path | None:
        """Where it is, if it is a file; None in a database server."""
        ...

    def exists(self) -> bool:
        """Whether a ledger was born there; looking makes none."""
        ...

    def refuse_unsafe(self) -> None:
        """Look before anything is written.

        Raises:
            LedgerError: A ledger here could not keep its promises.
        """
        ...

    def one_writer(self, connection: Connection) -> None:
        """First in each transaction that writes: wait until no other one is under way."""
        ...

    def one_migration(self, connection: Connection) -> None:
        """First in a transaction that changes the schema, of a ledger that may not be born yet."""
        ...

    def parts(self, connection: Connection) -> set[str]:
        """The names of the tables, indexes and references that are there."""
        ...

    def expected_parts(self) -> set[str]:
        """The names that a whole ledger has."""
        ...

    def sender_lock(self, connection: Connection) -> SenderLock:
        """The lock of this ledger's partner, to be taken on this connection."""
        ...

    def backend(self, connection: Connection) -> int | None:
        """The number of the connection's session on the server; None where there is none."""
        ...

    def sender_is(self, connection: Connection, backend: int | None) -> bool:
        """Whether that session holds the sender lock now; True where it can't be told."""
        ...

    def explained(self, error: sa.exc.DBAPIError) -> LedgerError:
        """What a database's error means for the ledger, in words; never with a value of a row."""
        ...


@contextlib.contextmanager
def transaction(engine: Engine, options: Mapping[str, Any]) -> Iterator[Connection]:
    """A pooled connection with one transaction, committed whole at the end or not at all.

    Args:
        engine: A store's.
        options: The store's ``to_read`` or ``to_write``.
    """
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


def open_store(url: str, owner: Owner) -> Store:
    """The store of an address; nothing is opened yet.

    Raises:
        LedgerError: The address is none, or of a database that a ledger can't live in.
    """
    target = ledger_address(url)
    if target.get_backend_name() == "sqlite":
        from kiva_pipeline.submission.store_sqlite import SqliteStore  # noqa: PLC0415

        return SqliteStore(target)
    # Only a partner whose ledger is there pays for PostgreSQL's driver.
    from kiva_pipeline.submission.store_postgres import PostgresStore  # noqa: PLC0415

    return PostgresStore(target, owner)


def ledger_address(url: str) -> URL:
    """An address as SQLAlchemy reads it.

    Raises:
        LedgerError: It is none, holds a password, or names a database that a ledger can't live in.
    """
    try:
        target = make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise LedgerError("state.ledger_url is not an address that can be used.", _HOW) from None
    if target.password or "password" in target.query:
        raise LedgerError(
            "state.ledger_url holds a password.",
            "Take it out: the password comes from KIVA_PIPELINE_LEDGER_PASSWORD, or as PostgreSQL's"
            " own programs find it (PGPASSWORD, PGPASSFILE, ~/.pgpass).",
        )
    if target.drivername not in _DRIVERS:
        raise LedgerError(f"A ledger can't live in {target.drivername}.", _HOW)
    if target.get_backend_name() == "sqlite" and target.database in {None, "", ":memory:"}:
        raise LedgerError("A ledger in memory forgets everything.", _HOW)
    return target


_DRIVERS = {"sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg"}
_HOW = (
    "Leave state.ledger_url out for an SQLite file in state.folder, or write"
    " postgresql+psycopg://USER@HOST/DATABASE."
)
