"""A ledger in an SQLite file: one machine, its own disk.

What must not break: a committed transaction survives a power cut, the file can be read by its owner
only, and a sender whose file is moved, replaced or deleted under it sends nothing more.
"""

import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, ExceptionContext

from kiva_pipeline.errors import LedgerError
from kiva_pipeline.submission.file_systems import MOUNT_TABLE, shared_file_system
from kiva_pipeline.submission.tables import metadata

_BEGIN = "sqlite_begin"
_AT_ONCE = {_BEGIN: "BEGIN IMMEDIATE"}  # one writer from its first statement on
_MAGIC, _HEADER = b"SQLite format 3\0", 100
_BUSY_SECONDS = 30
_WAL_TRIES, _WAL_WAIT_SECONDS = 100, 0.05


class SqliteStore:
    """An SQLite file, see ``store.Store``."""

    def __init__(self, url: URL) -> None:
        self.file = Path(str(url.database)).absolute()
        self.engine = sa.create_engine(url, hide_parameters=True)
        self.to_read: Mapping[str, Any] = {}
        self.to_write: Mapping[str, Any] = _AT_ONCE
        event.listen(self.engine, "connect", _durable)
        event.listen(self.engine, "begin", _begin)
        self.last_error: BaseException | None = None
        event.listen(self.engine, "handle_error", self._remember)

    def exists(self) -> bool:
        """Whether the file is there and not empty: then it was about to be born, or is lost."""
        return self.file.exists() and self.file.stat().st_size > 0

    def refuse_unsafe(self) -> None:
        """Refuse a network drive and a file that was cut off; make the file private to its owner.

        Raises:
            LedgerError: As said.
        """
        folder = self.file.parent
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if kind := _shared(folder):
                raise LedgerError(
                    f"The ledger {self.file} is on a shared drive ({kind}): there, a second sender"
                    " on another machine could not be kept out.",
                    "Move state.folder to a disk of this machine, or keep the ledger in PostgreSQL"
                    " (state.ledger_url).",
                )
            # Made before SQLite makes it, so that its WAL and shared-memory files inherit the mode.
            self.file.touch(mode=0o600, exist_ok=True)
            cut_off = is_cut_off(self.file)
        except OSError as error:
            raise LedgerError(
                f"The ledger {self.file} can't be written ({type(error).__name__}).",
                "Check state.folder, the disk, and who may write there.",
            ) from error
        if cut_off:
            raise LedgerError(f"The ledger {self.file} is cut off: pages are missing.", _RESTORE)

    def one_writer(self, _connection: Connection) -> None:
        """``BEGIN IMMEDIATE`` has seen to it."""

    def one_migration(self, _connection: Connection) -> None:
        """``BEGIN IMMEDIATE`` has seen to it."""

    def parts(self, connection: Connection) -> set[str]:
        """The tables and indexes of the file; references are part of their tables."""
        return set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())

    def expected_parts(self) -> set[str]:
        """Every table and index."""
        tables = metadata.tables.values()
        return {t.name for t in tables} | {str(i.name) for t in tables for i in t.indexes}

    def sender_lock(self, _connection: Connection) -> "FileSenderLock":
        """A lock file beside the ledger."""
        return FileSenderLock(self.file)

    def backend(self, _connection: Connection) -> None:
        """An SQLite connection has no server."""

    def sender_is(self, _connection: Connection, _backend: int | None) -> bool:
        """A file doesn't say who holds its lock."""
        return True

    def explained(self, error: sa.exc.DBAPIError) -> LedgerError:
        """In words, by SQLite's own name of the error."""
        name = getattr(error.orig, "sqlite_errorname", "") or type(error.orig).__name__
        for start, (what, fix) in _WORDS.items():
            if name.startswith(start):
                return LedgerError(f"The ledger {self.file} {what} ({name}).", fix)
        return LedgerError(f"The ledger {self.file} can't be used ({name}).", _CHECK)

    def _remember(self, context: ExceptionContext) -> None:
        self.last_error = context.original_exception


class FileSenderLock:
    """The sender lock of an SQLite ledger: it dies with the process that holds it.

    It is one with the ledger only as long as both files are those that were there when it was
    taken, which is looked at around each transaction.
    """

    def __init__(self, ledger_file: Path) -> None:
        self._ledger = ledger_file
        self._file = ledger_file.with_name(ledger_file.name + ".sender.lock")
        self._lock = FileLock(self._file, mode=0o600)
        self._taken: tuple[object, ...] = ()

    def take(self, wait_seconds: float) -> bool:
        """Lock the file."""
        try:
            self._lock.acquire(timeout=wait_seconds)
        except Timeout:
            return False
        except OSError as error:
            raise LedgerError(
                f"The sender lock {self._file} can't be taken ({type(error).__name__}).", _CHECK
            ) from error
        self._taken = self._identities()
        return True

    def check(self) -> None:
        """The files at the ledger's and the lock's places are those that were taken."""
        if None in self._taken or self._identities() != self._taken:
            raise LedgerError(
                f"The ledger {self._ledger} was moved, replaced or deleted while it was in use:"
                " what is sent now could not be remembered.",
                "Nothing more is sent. Put back the file that was there; if it is lost, restore a"
                " backup and adopt what is at Kiva. Don't touch it while a run is under way.",
            )

    def release(self) -> None:
        """Unlock the file; it stays, because deleting it would let two senders in."""
        self._lock.release()

    def _identities(self) -> tuple[object, ...]:
        return tuple(_identity(file) for file in (self._ledger, self._file))


def is_cut_off(file: Path) -> bool:
    """Whether an SQLite file is shorter than it says itself, as after a copy that broke off."""
    with file.open("rb") as opened:
        header = opened.read(_HEADER)
    size = file.stat().st_size
    page = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    told = pages * (65536 if page == 1 else page)
    ours = header.startswith(_MAGIC[: len(header)])  # what another file is, SQLite says itself
    if not size or not ours or (len(header) == _HEADER and told <= size):
        return False
    # The missing pages may still be in the write-ahead log: looked at last, since it goes last.
    log = file.with_name(file.name + "-wal")
    return not (log.exists() and log.stat().st_size)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _shared(folder: Path) -> str:
    try:
        table = MOUNT_TABLE.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # no Linux: the page "Operate the ledger" says what to look for
        return ""
    return shared_file_system(table, PurePosixPath(folder.resolve()))


def _durable(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not open transactions by itself
    connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
    _turn_on_write_ahead_log(connection)
    for pragma in (
        "synchronous=FULL",  # a committed intent survives a power cut
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _turn_on_write_ahead_log(connection: sqlite3.Connection) -> None:
    # Programs that meet at a ledger's birth all turn it on. SQLite lets one of them, and does not
    # make the others wait as it does everywhere else.
    for tries_left in reversed(range(_WAL_TRIES)):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or not tries_left:
                raise
            time.sleep(_WAL_WAIT_SECONDS)
        else:
            return


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


_CHECK = "Check state.folder or state.ledger_url, the disk, and who may write there."
_RESTORE = (
    "It looks like a half-restored backup. Restore a whole one in its place (see “Operate the"
    " ledger”); never start with an empty ledger."
)
_WORDS = {
    "SQLITE_BUSY": (
        f"is in use: another program has been writing for more than {_BUSY_SECONDS} s",
        "Try again when it has finished.",
    ),
    "SQLITE_FULL": ("can't grow: the disk is full", "Make room and run again."),
    "SQLITE_CORRUPT": ("is damaged", _RESTORE),
    "SQLITE_NOTADB": ("is no ledger: it is not an SQLite file", _RESTORE),
    "SQLITE_READONLY": ("can't be written", _CHECK),
    "SQLITE_IOERR": ("can't be read or written: the disk answers with an error", _CHECK),
}
