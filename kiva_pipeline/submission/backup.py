"""A copy of an SQLite ledger that is whole, also while a sender is at work.

What must not break: a file that bears the backup's name is a whole, checked copy of one moment, and
no backup is ever overwritten. A server's ledger is backed up with the server's own tools.
"""

import contextlib
import os
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kiva_pipeline.errors import LedgerError
from kiva_pipeline.submission.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy that was made.

    Attributes:
        file: Where it is.
        size: In bytes.
        rows: Rows of each table in it.
    """

    file: Path
    size: int
    rows: dict[str, int]


def back_up(book: Ledger, file: Path) -> Backup:
    """Copy a ledger as it is at this moment, and look the copy over.

    Args:
        book: An SQLite ledger.
        file: The copy; must not be there yet.

    Raises:
        LedgerError: It is a server's ledger, the file is there already or can't be written, or the
            ledger itself is damaged.
    """
    source = book.file
    if source is None:
        raise LedgerError(
            "This ledger is in PostgreSQL, whose own tools back it up.",
            "Run `pg_dump --format=custom --file=FILE DATABASE`, as the page “Operate the ledger”"
            " says.",
        )
    if file.exists():
        raise LedgerError(f"{file} is there already.", "Name a file that is not there yet.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".backup-") as aside:
            copy = Path(aside) / file.name
            copy.touch(mode=0o600)
            with contextlib.closing(sqlite3.connect(source, isolation_level=None)) as connection:
                connection.execute("PRAGMA busy_timeout=30000")
                connection.execute("VACUUM INTO ?", [os.fspath(copy)])
            rows = _looked_over(copy)
            _to_the_disk(copy)
            _put(copy, file)
            _to_the_disk(file.parent)
    except FileExistsError as error:
        raise LedgerError(
            f"{file} is there already.", "Name a file that is not there yet."
        ) from error
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(
            f"The backup {file} can't be made ({type(error).__name__}).",
            "Look whether the disk is full and who may write there. If `kiva-pipeline status`"
            " fails as well, the ledger itself is damaged: restore the last backup.",
        ) from error
    return Backup(file, file.stat().st_size, rows)


def _looked_over(copy: Path) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            raise sqlite3.DatabaseError
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            " ORDER BY name"
        ).fetchall()
        return {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608
            for (name,) in tables
        }


def _put(copy: Path, file: Path) -> None:
    """A link, unlike a move, never takes another file's place; but not every drive has links."""
    try:
        os.link(copy, file)
    except FileExistsError:
        raise
    except OSError:
        if file.exists():
            raise FileExistsError from None
        copy.rename(file)


def _to_the_disk(place: Path) -> None:
    number = os.open(place, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
