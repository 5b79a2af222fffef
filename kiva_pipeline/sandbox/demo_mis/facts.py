"""What a demo MIS holds, told in ids and numbers only."""

import json
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


def remember(
    connection: sqlite3.Connection, *, today: date, first_month: Month, seed: int, advances: int
) -> None:
    """Keep what ``advance`` and ``demo_facts`` need to know."""
    facts = {
        "today": today.isoformat(),
        "first_month": str(first_month),
        "seed": seed,
        "advances": advances,
    }
    connection.execute("INSERT OR REPLACE INTO demo_facts VALUES ('demo', ?)", [json.dumps(facts)])


def recall(connection: sqlite3.Connection) -> tuple[date, Month, int, int]:
    """The practice day, the first month, the seed and the number of advances so far."""
    text = connection.execute("SELECT value FROM demo_facts WHERE name = 'demo'").fetchone()[0]
    facts = json.loads(text)
    today, first_month = date.fromisoformat(facts["today"]), Month.parse(facts["first_month"])
    return today, first_month, int(facts["seed"]), int(facts["advances"])


def demo_facts(connection: sqlite3.Connection) -> DemoFacts:
    """Count what is there."""
    today, first_month, seed, _ = recall(connection)
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
        today,
        first_month,
        seed,
        rows,
        tuple(code for (code,) in currencies),
        {kind: counts[kind.name] for kind in Dirt},
    )
