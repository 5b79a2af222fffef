"""What a demo MIS holds, told in ids and numbers only."""

import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from kiva_pipeline.periods import Month
from kiva_pipeline.sandbox.demo_mis.dirt import Dirt

TABLES = (
    "loans", "clients", "groups", "group_members", "instalments", "transactions", "notes",
    "photos", "demo_kiva_loans",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DemoFacts:
    """What ``create_demo_mis`` made.

    Attributes:
        today: The practice day.
        first_month: The month of the oldest loans.
        seed: What the chance started from.
        rows: How many rows each table has.
        currencies: The currencies of the partner, which the sandbox's lists must hold.
        planted: How many loans or notes have each kind of dirt; every kind is listed.
    """

    today: date
    first_month: Month
    seed: int
    rows: dict[str, int]
    currencies: tuple[str, ...]
    planted: dict[Dirt, int]

    @property
    def loans(self) -> int:
        """How many loans the MIS has."""
        return self.rows["loans"]


def planted(path: Path) -> dict[Dirt, list[str]]:
    """The ids of the loans that each kind of dirt is on (a group's: the group's id).

    Args:
        path: The file that ``create_demo_mis`` made.
    """
    found: dict[Dirt, list[str]] = defaultdict(list)
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        for kind, loan_id in connection.execute("SELECT kind, loan_id FROM demo_planted"):
            found[Dirt[kind]].append(loan_id)
    return dict(found)


@dataclass(frozen=True, slots=True)
class Memory:
    """What the file must remember to be advanced: its days, its chance and its next numbers."""

    today: date
    first_month: Month
    seed: int
    changes: int  # how often it was advanced or corrected: each time has a chance of its own
    next_pk: int
    next_group: int

    def keep(self, connection: sqlite3.Connection) -> None:
        """Write it into the file."""
        values = {
            "today": self.today.isoformat(),
            "first_month": str(self.first_month),
            "seed": str(self.seed),
            "changes": str(self.changes),
            "next_pk": str(self.next_pk),
            "next_group": str(self.next_group),
        }
        connection.executemany("INSERT OR REPLACE INTO demo_facts VALUES (?, ?)", values.items())

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> "Memory":
        """Read it from the file."""
        values = dict(connection.execute("SELECT name, value FROM demo_facts"))
        return cls(
            date.fromisoformat(values["today"]),
            Month.parse(values["first_month"]),
            int(values["seed"]),
            int(values["changes"]),
            int(values["next_pk"]),
            int(values["next_group"]),
        )


def demo_facts(connection: sqlite3.Connection) -> DemoFacts:
    """Count what is there."""
    memory = Memory.of(connection)
    rows = {
        table: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
        for table in TABLES
    }
    spoiled = Dirt.CURRENCY_NOT_OF_PARTNER.name
    currencies = connection.execute(
        "SELECT DISTINCT currency FROM loans WHERE currency IS NOT NULL AND loan_id NOT IN"
        " (SELECT loan_id FROM demo_planted WHERE kind = ?) ORDER BY 1",
        [spoiled],
    )
    counts: Counter[str] = Counter(
        k for (k,) in connection.execute("SELECT kind FROM demo_planted")
    )
    return DemoFacts(
        memory.today,
        memory.first_month,
        memory.seed,
        rows,
        tuple(code for (code,) in currencies),
        {kind: counts[kind.name] for kind in Dirt},
    )
