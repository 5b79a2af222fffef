"""The tables of the demo MIS in SQLite, and a writer that fills them batch by batch.

They look like a small real MIS: amounts of loans and instalments are texts, since people type
them; bookings are integers in minor units. Tables whose names begin with ``demo_`` are not part of
the MIS: they remember what Kiva knew and what was planted. What must not break: a month's loans
and notes are found by an index, also those whose day is not a date; they are shown in the month in
which they were approved or entered.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from kiva_pipeline.sandbox.demo_mis.dirt import Dirt
from kiva_pipeline.sandbox.demo_mis.rows import LoanRow, Transaction, Unit
from kiva_pipeline.sandbox.seed_records import KivaLoanSeed

BATCH_ROWS = 50_000

_TABLES = """
CREATE TABLE clients (
    client_id TEXT PRIMARY KEY, first_name TEXT, last_name TEXT, gender TEXT, script TEXT);
CREATE TABLE groups (group_id TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE group_members (group_id TEXT NOT NULL, client_id TEXT NOT NULL,
    PRIMARY KEY (group_id, client_id)) WITHOUT ROWID;
CREATE TABLE photos (photo_id TEXT PRIMARY KEY, image BLOB NOT NULL);
CREATE TABLE loans (
    id INTEGER PRIMARY KEY, loan_id TEXT, client_id TEXT, group_id TEXT,
    principal TEXT, currency TEXT, currency_digits INTEGER,
    approved_on TEXT NOT NULL, expected_disbursal_on TEXT, disbursed_on TEXT,
    status TEXT NOT NULL, funding_source TEXT NOT NULL,
    activity TEXT, theme TEXT, location TEXT, language TEXT, description TEXT, loan_use TEXT,
    waiver_signed_on TEXT, photo_id TEXT, pictured INTEGER NOT NULL);
CREATE TABLE instalments (
    id INTEGER PRIMARY KEY, loan_pk INTEGER NOT NULL, number INTEGER, due_on TEXT,
    principal TEXT, interest TEXT);
CREATE TABLE transactions (
    id INTEGER PRIMARY KEY, loan_pk INTEGER NOT NULL, type TEXT NOT NULL,
    transaction_date TEXT NOT NULL, submitted_on TEXT NOT NULL,
    principal_minor INTEGER NOT NULL, interest_minor INTEGER NOT NULL,
    is_reversed INTEGER NOT NULL);
CREATE TABLE notes (
    id INTEGER PRIMARY KEY, loan_pk INTEGER, category TEXT NOT NULL, for_kiva INTEGER NOT NULL,
    written_on TEXT, entered_on TEXT NOT NULL, subject TEXT, body TEXT, image_url TEXT);
CREATE TABLE demo_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE demo_planted (kind TEXT NOT NULL, loan_id TEXT NOT NULL);
CREATE TABLE demo_kiva_loans (
    internal_loan_id TEXT PRIMARY KEY, internal_client_id TEXT, borrower_count INTEGER, name TEXT,
    location TEXT, currency TEXT, price TEXT, status TEXT, disbursed_on TEXT, last_reported TEXT,
    activity TEXT);
"""
_INDEXES = """
CREATE INDEX loans_by_id ON loans (loan_id);
CREATE INDEX loans_by_group ON loans (
    group_id || '-' || coalesce(disbursed_on, expected_disbursal_on)) WHERE group_id IS NOT NULL;
CREATE INDEX kiva_loans_by_day ON loans (
    coalesce(date(disbursed_on), date(expected_disbursal_on), date(approved_on)))
    WHERE funding_source = 'KIVA';
CREATE INDEX instalments_by_loan ON instalments (loan_pk, number);
CREATE INDEX transactions_by_loan ON transactions (loan_pk, transaction_date);
CREATE INDEX notes_by_day ON notes (coalesce(date(written_on), date(entered_on)));
CREATE INDEX notes_by_loan ON notes (loan_pk);
"""
_INSERTS = {
    "clients": "INSERT OR IGNORE INTO clients VALUES (?,?,?,?,?)",
    "groups": "INSERT OR IGNORE INTO groups VALUES (?,?)",
    "group_members": "INSERT OR IGNORE INTO group_members VALUES (?,?)",
    "photos": "INSERT OR IGNORE INTO photos VALUES (?,?)",
    "loans": "INSERT INTO loans VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    "instalments": "INSERT INTO instalments VALUES (NULL,?,?,?,?,?)",
    "transactions": "INSERT INTO transactions VALUES (NULL,?,?,?,?,?,?,?)",
    "notes": "INSERT INTO notes VALUES (NULL,?,?,?,?,?,?,?,NULL)",
    "demo_planted": "INSERT INTO demo_planted VALUES (?,?)",
    "demo_kiva_loans": "INSERT INTO demo_kiva_loans VALUES (?,?,?,?,?,?,?,?,?,?,?)",
}
_Value = str | int | bytes | None


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the empty tables; the indexes come when they are filled."""
    connection.executescript(_TABLES)


def create_indexes(connection: sqlite3.Connection) -> None:
    """Make the indexes over filled tables: far cheaper than keeping them while filling."""
    connection.executescript(_INDEXES)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """An existing demo MIS for writing, in one transaction that ends with the block."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True)) as connection, connection:
        yield connection


class MisWriter:
    """Collects rows and writes them in batches.

    Args:
        connection: To a file with the tables; the caller commits.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._rows: dict[str, list[tuple[_Value, ...]]] = defaultdict(list)
        self._waiting = 0

    def unit(self, unit: Unit) -> int:
        """Write a unit's loans with all that hangs on them.

        Returns:
            The number of loans written: those that the MIS has not lost.
        """
        kept = [loan for loan in unit.loans if loan.pk not in unit.lost]
        for loan in kept:
            self._loan(loan)
        group_id = unit.loans[0].group_id
        if group_id and unit.group_name and kept:
            self._add("groups", [(group_id, unit.group_name)])
            members = [(group_id, loan.client_id) for loan in kept if loan.client_id]
            self._add("group_members", members)
        self._add("photos", list(unit.photos.items()))
        if self._waiting >= BATCH_ROWS:
            self.flush()
        return len(kept)

    def planted(self, kind: Dirt, loan_id: str) -> None:
        """Remember where a kind of dirt is."""
        self._add("demo_planted", [(kind.name, loan_id)])

    def kiva_loan(self, seed: KivaLoanSeed) -> None:
        """Remember a loan that Kiva knows."""
        row = (
            seed.internal_loan_id, seed.internal_client_id, seed.borrower_count, seed.name,
            seed.location, seed.currency, seed.price, seed.status, seed.disbursed_on.isoformat(),
            seed.last_reported, seed.activity,
        )  # fmt: skip
        self._add("demo_kiva_loans", [row])

    def transactions(self, loan_pk: int, made: list[Transaction]) -> None:
        """Write bookings on a loan."""
        rows = [
            (loan_pk, t.type, t.transaction_date.isoformat(), t.submitted_on.isoformat(),
             t.principal, t.interest, int(t.is_reversed))
            for t in made
        ]  # fmt: skip
        self._add("transactions", rows)

    def note(self, loan_pk: int | None, *, for_kiva: bool, written_on: str, entered_on: str,
             subject: str, body: str) -> None:  # fmt: skip
        """Write a note."""
        category = "kiva journal" if for_kiva else "staff"
        row = (loan_pk, category, int(for_kiva), written_on, entered_on, subject, body)
        self._add("notes", [row])

    def flush(self) -> None:
        """Write what is waiting; call it once more at the end."""
        for table, rows in self._rows.items():
            self._connection.executemany(_INSERTS[table], rows)
            rows.clear()
        self._waiting = 0

    def _loan(self, loan: LoanRow) -> None:
        if loan.client_id:
            who = (loan.client_id, loan.first_name, loan.last_name, loan.gender, loan.script)
            self._add("clients", [who])
        row = (
            loan.pk, loan.loan_id, loan.client_id, loan.group_id, loan.amount, loan.currency,
            loan.digits, loan.approved_on.isoformat(), loan.expected_on, loan.disbursed_on,
            loan.status, "KIVA" if loan.tagged else "OWN", loan.activity, loan.theme,
            loan.location, loan.language, loan.description, loan.loan_use, loan.waiver_signed_on,
            loan.photo_id, int(loan.pictured),
        )  # fmt: skip
        self._add("loans", [row])
        instalments = [
            (loan.pk, i.number, i.due_on, i.principal, i.interest) for i in loan.instalments
        ]
        self._add("instalments", instalments)
        self.transactions(loan.pk, loan.transactions)
        for note in loan.notes:
            self.note(
                loan.pk if note.has_loan else None,
                for_kiva=note.for_kiva,
                written_on=note.written_on,
                entered_on=note.entered_on.isoformat(),
                subject=note.subject,
                body=note.body,
            )

    def _add(self, table: str, rows: Sequence[tuple[_Value, ...]]) -> None:
        self._rows[table].extend(rows)
        self._waiting += len(rows)
