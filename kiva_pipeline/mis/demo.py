"""The demo MIS as a source: an SQLite file, opened read-only.

What must not break: a balance is what the *live* bookings say up to a value date, never a balance
column; only notes with the mark of the settings come out; rows are joined so that none is dropped
or doubled, and the counts are the database's own, over the bare tables.

The group rule: the loans of one group with the same disbursal day make one group loan, whose id is
``<group>-<day>``. That is also the id under which a note on a member's loan goes to Kiva.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from operator import itemgetter
from pathlib import Path
from threading import Lock
from types import MappingProxyType, TracebackType
from typing import Any, Self

import pandas as pd

from kiva_pipeline.errors import SourceError, SourceUnavailableError
from kiva_pipeline.mis import demo_queries as queries
from kiva_pipeline.mis.photos import photo_facts
from kiva_pipeline.mis.source import (
    RAW_BALANCES,
    RAW_INSTALMENTS,
    RAW_LOANS,
    RAW_NOTES,
    SourceCounts,
)
from kiva_pipeline.periods import Month
from kiva_pipeline.settings import NoteMark, TransactionKind

BALANCE_CHUNK_IDS = 10_000
_Row = tuple[Any, ...]
_Reader = Callable[[Iterator[_Row]], list[_Row]]

_MAKE_ONE = "Run `kiva-pipeline demo` to make one, or correct source.path in the settings."


class DemoSource:
    """A reader of one demo MIS, which implements ``Source``; safe to share between threads.

    Args:
        path: The SQLite file.
        mark: How notes for Kiva are marked.
        transaction_types: What types of transactions are, where the settings say so.

    Raises:
        SettingsError: A type can't be what the settings say.
        SourceUnavailableError: There is no such file, or it can't be opened now.
        SourceError: It is no demo MIS: the message names the missing table or column.
    """

    def __init__(
        self,
        path: Path,
        mark: NoteMark,
        transaction_types: Mapping[str, TransactionKind] = MappingProxyType({}),
    ) -> None:
        self._path = path
        self._balances = queries.BalanceQuery.of(transaction_types)
        self._lock = Lock()
        if not path.is_file():
            raise SourceUnavailableError(f"There is no demo MIS {path}.", _MAKE_ONE)
        try:
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._explained(error) from error
        try:
            columns = self._check_tables()
            self._mark = queries.NoteFilter.of(mark, columns["notes"])
        except BaseException:
            self.close()
            raise

    def counts(self, month: Month) -> SourceCounts:
        """Count the month's loans, their instalments and the notes for Kiva."""
        days = _days(month)
        loans = self._rows(queries.COUNT_LOANS, days)
        instalments = self._rows(queries.COUNT_INSTALMENTS, days)
        notes = self._rows(queries.COUNT_NOTES + self._mark.condition, days | self._mark.values)
        return SourceCounts(loans[0][0], instalments[0][0], notes[0][0])

    def loans(self, month: Month) -> pd.DataFrame:
        """``RAW_LOANS`` of the month.

        A loan whose disbursal day is missing or unreadable is shown in the month in which it was
        approved: in no month nobody would ever see it.
        """
        rows = self._rows(queries.LOANS, _days(month), reader=_with_photo_facts)
        return _frame(rows, RAW_LOANS)

    def instalments(self, month: Month) -> pd.DataFrame:
        """``RAW_INSTALMENTS`` of the month's loans."""
        return _frame(self._rows(queries.INSTALMENTS, _days(month)), RAW_INSTALMENTS)

    def balances(self, loan_ids: Sequence[str], as_of: date) -> Iterator[pd.DataFrame]:
        """``RAW_BALANCES``: one aggregate for each chunk of ids, made by the database."""
        ids = sorted(set(loan_ids))
        for start in range(0, len(ids), BALANCE_CHUNK_IDS):
            chunk = json.dumps(ids[start : start + BALANCE_CHUNK_IDS])
            asked = {"ids": chunk, "as_of": as_of.isoformat()} | self._balances.values
            rows = self._rows(self._balances.sql, asked)
            if rows:
                frame = _frame(rows, RAW_BALANCES)
                frame["unknown_types"] = _sorted_types(frame["unknown_types"])
                yield frame

    def group_members(self, group_ids: Sequence[str]) -> pd.DataFrame:
        """``group_id, loan_id`` of the groups that the MIS knows, sorted by both."""
        rows = self._rows(queries.GROUP_MEMBERS, {"ids": json.dumps(sorted(set(group_ids)))})
        return _frame(rows, ("group_id", "loan_id"))

    def notes(self, month: Month) -> pd.DataFrame:
        """``RAW_NOTES`` of the month; a prefix that marks a note for Kiva is cut off."""
        found = queries.NOTES + self._mark.condition + queries.NOTES_ORDER
        frame = _frame(self._rows(found, _days(month) | self._mark.values), RAW_NOTES)
        if self._mark.prefix:
            for column in ("subject", "body"):
                frame[column] = frame[column].map(self._mark.without_prefix, na_action="ignore")
        return frame

    def photo(self, photo_ref: str) -> bytes:
        """The photo's bytes.

        Raises:
            SourceError: There is no such photo any more.
        """
        rows = self._rows(queries.PHOTO, {"id": photo_ref})
        if not rows:
            raise SourceError(
                "A loan's photo is no longer in the MIS.", "Run the loan's month again."
            )
        return bytes(rows[0][0])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _rows(
        self,
        sql: str,
        values: Mapping[str, str],
        reader: _Reader = list,
    ) -> list[_Row]:
        try:
            with self._lock:
                try:
                    return reader(self._connection.execute(sql, dict(values)))
                except sqlite3.OperationalError as error:
                    if "decode to UTF-8" not in str(error):
                        raise
                # One broken text must not hide the other rows: it comes as U+FFFD, and the
                # records say so of its row. Only then, because it is slower.
                self._connection.text_factory = _readable
                return reader(self._connection.execute(sql, dict(values)))
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _check_tables(self) -> dict[str, set[str]]:
        found = {}
        for table, needed in queries.NEEDED.items():
            rows = self._rows("SELECT name FROM pragma_table_info(:table)", {"table": table})
            found[table] = {name for (name,) in rows}
            for column in needed:
                if column not in found[table]:
                    what = f"column {table}.{column}" if rows else f"table {table}"
                    raise SourceError(f"{self._path} has no {what}.", _MAKE_ONE)
        return found

    def _explained(self, error: sqlite3.Error) -> SourceError:
        code = getattr(error, "sqlite_errorname", type(error).__name__)
        if isinstance(error, sqlite3.OperationalError):
            return SourceUnavailableError(
                f"The demo MIS {self._path} can't be read now ({code}).",
                "Close what else is writing to it and check that this account may read it.",
            )
        return SourceError(f"{self._path} is not a demo MIS ({code}).", _MAKE_ONE)


def _readable(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _days(month: Month) -> dict[str, str]:
    return {"first": month.first_day.isoformat(), "last": month.last_day.isoformat()}


def _frame(rows: list[_Row], columns: Sequence[str]) -> pd.DataFrame:
    # As objects, so that an empty cell turns no id or count into a float.
    return pd.DataFrame(rows, columns=list(columns), dtype=object)


def _with_photo_facts(rows: Iterator[_Row]) -> list[_Row]:
    # The bytes are let go row by row: only one photo is in memory at a time.
    return sorted(((*row[:-1], *_facts(row[-1])) for row in rows), key=itemgetter(0))


def _facts(image: bytes | None) -> tuple[str | None, str | None, int | None]:
    if image is None:
        return None, None, None
    facts = photo_facts(image)
    return facts.sha256, facts.mime, facts.size


def _sorted_types(types: "pd.Series[str]") -> "pd.Series[str]":
    # SQLite joins them in any order; a frame must be the same each time.
    return types.map(lambda names: ", ".join(sorted(names.split(","))), na_action="ignore")
