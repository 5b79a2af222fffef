"""The barest durable ledger: an attempt committed before its request, its items beside it.

An item's state is its attempt's. It can't hold a row back, blame one row of a batch or tell a
history; it is what the real one is measured against.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

TABLES = """
CREATE TABLE IF NOT EXISTS attempt (id INTEGER PRIMARY KEY, request_id TEXT NOT NULL,
    items INTEGER NOT NULL,
    body_sha256 TEXT NOT NULL, started_at REAL NOT NULL, status INTEGER, reference TEXT);
CREATE TABLE IF NOT EXISTS item (
    loan_id TEXT NOT NULL, month TEXT NOT NULL, amount INTEGER NOT NULL,
    hash TEXT, attempt INTEGER NOT NULL, PRIMARY KEY (loan_id, month)) WITHOUT ROWID;
"""


class RawLedger:
    """Writes by the driver alone; WAL and durable commits, as the real one."""

    def __init__(self, file: str) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(TABLES)

    def step(
        self,
        answered: tuple[int, int, str] | None,
        intent: tuple[int, str, int, str, float] | None,
        items: Sequence[tuple[Any, ...]],
    ) -> None:
        """Record the last answer and the next intent in one transaction."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        if answered:
            number, status, reference = answered
            connection.execute(
                "UPDATE attempt SET status = ?, reference = ? WHERE id = ?",
                (status, reference, number),
            )
        if intent:
            connection.execute("INSERT INTO attempt VALUES (?, ?, ?, ?, ?, NULL, NULL)", intent)
            connection.executemany("INSERT INTO item VALUES (?, ?, ?, ?, ?)", items)
        connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()
