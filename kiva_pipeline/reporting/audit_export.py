"""The ledger as CSV files for an auditor: every decision, request and act, of all time or a month.

What must not break: all files show the same moment, memory does not grow with the ledger, and money
is in whole currency units with its currency beside it, to the last digit.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.errors import LedgerError
from kiva_pipeline.money import to_decimal
from kiva_pipeline.reporting.csv_file import write_csv
from kiva_pipeline.reporting.words import reasons_in_words
from kiva_pipeline.submission.ledger import Ledger, now_text
from kiva_pipeline.submission.tables import (
    approval,
    attempt,
    event,
    ledger,
    report_month,
    submission,
)

MANIFEST = "manifest.json"
_AT_ONCE = 2000
# They say nothing to a person, and a name could be guessed by one that has no key.
_HASHES = {"payload_hash", "field_hashes", "body_sha256"}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file of an export: how many rows it has, and the hash that proves it unchanged."""

    file: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Export:
    """What was exported; also ``manifest.json`` beside the files.

    Attributes:
        partner: Whose ledger.
        environment: Of which Kiva.
        ledger_id: Which ledger.
        exported_at: When.
        month: Which month; None for all.
        files: One for each table.
    """

    partner: str
    environment: str
    ledger_id: str
    exported_at: str
    month: str | None
    files: list[ExportedFile]


def export_ledger(book: Ledger, folder: Path, month: str | None = None) -> Export:
    """Write the ledger's tables into a folder of their own, in place of an earlier export's.

    Args:
        book: The ledger; a sender may be at work.
        folder: Made if it is not there.
        month: Only what belongs to this month, as ``2026-10``; None for all.

    Raises:
        LedgerError: The ledger can't be read, or the folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as aside:
            return _export(book, folder, Path(aside), month)
    except OSError as error:
        raise LedgerError(
            f"{folder} can't be written ({type(error).__name__}).",
            "Name another folder with --to, or see who may write there and whether the disk is"
            " full.",
        ) from error


def _export(book: Ledger, folder: Path, aside: Path, month: str | None) -> Export:
    files = []
    with book.reading() as connection:
        card = connection.execute(sa.select(ledger)).one()
        for name, (query, told) in _tables(month).items():
            rows = _Rows(connection, query, told)
            file = write_csv(aside / f"{name}.csv", rows, rows.columns)
            with file.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            files.append(ExportedFile(file.name, rows.seen, digest))
    made = Export(
        card.partner_id, card.environment, card.ledger_id, now_text(), month, files
    )  # fmt: skip
    manifest = aside / MANIFEST
    manifest.touch(mode=0o600)
    manifest.write_bytes(orjson.dumps(asdict(made), option=orjson.OPT_INDENT_2))
    for name in [*(f.file for f in files), MANIFEST]:  # the manifest last: it vouches for the rest
        (aside / name).replace(folder / name)
    return made


class _Rows:
    """The rows of a query as they go into a file, a block at a time, counted."""

    def __init__(
        self, connection: Connection, query: sa.Select[Any], told: Callable[[dict[str, Any]], Row]
    ) -> None:
        self._found = connection.execution_options(yield_per=_AT_ONCE).execute(query)
        self._told = told
        self.columns = list(told(dict.fromkeys(self._found.keys())))
        self.seen = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self._found.mappings():
            self.seen += 1
            yield self._told(dict(row))


def _tables(
    month: str | None,
) -> dict[str, tuple[sa.Select[Any], Callable[[dict[str, Any]], Row]]]:
    s, a, e = submission.c, attempt.c, event.c

    def of_month(*columns: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        return sa.true() if month is None else sa.or_(*(column == month for column in columns))

    of_request = (
        sa.select(
            s.attempt_id,
            sa.func.min(s.currency).label("currency"),
            sa.func.max(s.currency).label("other_currency"),
            sa.func.min(s.currency_digits).label("digits"),
            sa.func.max(s.currency_digits).label("other_digits"),
        )
        .where(s.attempt_id.is_not(None))
        .group_by(s.attempt_id)
        .subquery()
    )
    requests = (
        sa.select(
            *_shown(attempt), of_request.c.currency, of_request.c.other_currency,
            of_request.c.digits, of_request.c.other_digits,
        )
        .join(of_request, of_request.c.attempt_id == a.id, isouter=True)
        .where(of_month(a.month))
        .order_by(a.started_at, a.id)
    )  # fmt: skip
    kind, of = sa.func.coalesce(s.kind, a.kind), sa.func.coalesce(s.month, a.month)
    acts = e.submission_id.is_(None) & e.attempt_id.is_(None)  # on no row: pause, close, adopt
    events = (
        sa.select(*_shown(event), kind.label("kind"), of.label("month"), s.business_id)
        .join(submission, s.id == e.submission_id, isouter=True)
        .join(attempt, a.id == e.attempt_id, isouter=True)
        .where(of_month(s.month, s.period, a.month) | acts)
        .order_by(e.id)
    )
    decisions = (
        sa.select(*_shown(submission)).where(of_month(s.month, s.period)).order_by(s.id)
    )  # fmt: skip
    approvals = sa.select(*_shown(approval)).where(of_month(approval.c.period)).order_by(
        approval.c.id
    )  # fmt: skip
    months = (
        sa.select(report_month).where(of_month(report_month.c.month)).order_by(report_month.c.month)
    )
    return {
        "ledger": (sa.select(ledger), dict),
        "submission": (decisions, _decision),
        "attempt": (requests, _request),
        "event": (events, dict),
        "approval": (approvals, dict),
        "report_month": (months, dict),
    }


def _shown(table: sa.Table) -> list[sa.Column[Any]]:
    return [column for column in table.c if column.name not in _HASHES]


def _decision(row: dict[str, Any]) -> Row:
    """Money in whole units, reasons as sentences, lists of ids as words."""
    digits = row.pop("currency_digits")
    row |= {name: _money(row[name], digits) for name in ("amount", "disbursed")}
    told = reasons_in_words(row["reason_code"], row["reasons"]) if row["reason_code"] else []
    row["reasons"] = " ".join(f"{each['sentence']} {each['detail']}".strip() for each in told)
    row |= {name: " ".join(orjson.loads(row[name] or "[]")) for name in ("loan_ids", "client_ids")}
    return row


def _request(row: dict[str, Any]) -> Row:
    """The total in whole units where all rows of the request have one currency."""
    currency, digits = row.pop("currency"), row.pop("digits")
    one = (currency, digits) == (row.pop("other_currency"), row.pop("other_digits"))
    row["total_minor_units"] = row["total"]
    row["total"] = _money(row["total"], digits) if one else None
    row["currency"] = currency if one else None
    return row


def _money(minor: int | None, digits: int | None) -> Decimal | None:
    return None if minor is None or digits is None else to_decimal(minor, digits)
