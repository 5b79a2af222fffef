"""What the sandbox remembers, in one SQLite file that survives a restart and a ``kill -9``.

What must not break: a request's effect is committed before it is answered. There is one writing
connection behind a lock; another process may open the same file at the same time (WAL).
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from kiva_pipeline.clock import Clock
from kiva_pipeline.errors import PipelineError
from kiva_pipeline.sandbox.schema import SCHEMA, SCHEMA_VERSION

Row = sqlite3.Row
_BUSY_SECONDS = 10.0
_CACHED_STATEMENTS = 256


class Store:
    """The open file; a context manager that closes it.

    Args:
        path: The file; made, with its folder, when it is not there.

    Raises:
        PipelineError: It is no store of this version of the sandbox.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
        self._clock = Clock("UTC")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                self.path,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=_CACHED_STATEMENTS,
            )
            self._db.row_factory = sqlite3.Row
            self._prepare()
        except (sqlite3.DatabaseError, OSError) as error:
            raise PipelineError(
                f"{self.path} can't be opened as a sandbox ({type(error).__name__}).",
                "Name a file of its own for the sandbox, in a folder that you may write to.",
            ) from error

    def _prepare(self) -> None:
        # The process may die at any time and lose nothing; only a power cut could, and it is
        # practice: so no fsync on each commit.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        with self.transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in SCHEMA:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif version != SCHEMA_VERSION:
                raise PipelineError(
                    f"{self.path} was made by another version of the sandbox ({version}).",
                    "Delete it and seed it again; it holds practice data only.",
                )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is committed together, or not at all."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def rows(self, sql: str, *values: Any) -> list[Row]:  # noqa: ANN401  whatever SQLite takes
        """The rows that a statement gives."""
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> Row | None:  # noqa: ANN401
        """The first row that a statement gives, or None."""
        with self._lock:
            found: Row | None = self._db.execute(sql, values).fetchone()
        return found

    def write(self, sql: str, *values: Any) -> int:  # noqa: ANN401
        """Run a statement that writes; returns the id of the row it inserted."""
        with self._lock:
            return self._db.execute(sql, values).lastrowid or 0

    def write_many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement once for each row; call it inside a transaction."""
        with self._lock:
            self._db.executemany(sql, rows)

    def now(self) -> datetime:
        """The sandbox's clock: the one place where its handlers learn what time it is."""
        return self._clock.now()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
