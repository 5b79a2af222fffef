"""People's names in 46 scripts, and names of groups.

What must not break: no last name is also a word of a description, else a warning about privacy
would fire on texts that are fine. The Latin rows and the others take turns, so that even a small
demo holds every script.
"""

import csv
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

GROUP_NAMES = (
    "Twisungane", "Abahuje", "Umoja", "Jitihada", "Tukolere Wamu", "Bagong Pag-asa", "Имкон",
    "Умед", "النجاح", "Kwigira", "Dufatanye", "አንድነት", "Mwanzo Mpya", "Santa Rosa", "Ndërtimi",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PersonName:
    """A borrower's name as the MIS holds it, and the gender that goes with it."""

    script: str
    first: str
    last: str
    gender: str


@dataclass(frozen=True, slots=True)
class _Names:
    script: str
    female: tuple[str, ...]
    male: tuple[str, ...]
    last: tuple[str, ...]


@cache
def _table() -> tuple[tuple[_Names, ...], tuple[_Names, ...]]:
    file = Path(__file__).parent / "data" / "names.csv"
    with file.open(encoding="utf-8", newline="") as text:
        rows = [
            _Names(row["script"], *(tuple(row[c].split("|")) for c in ("female", "male", "last")))
            for row in csv.DictReader(text)
        ]
    latin = tuple(row for row in rows if row.script == "LATIN")
    return latin, tuple(row for row in rows if row.script != "LATIN")


def scripts() -> list[str]:
    """The scripts that the demo's borrowers write their names in, as Unicode calls them."""
    return ["LATIN", *(row.script for row in _table()[1])]


def person(number: int, rng: Random) -> PersonName:
    """The name of the client with this running number.

    Every third name is written with combining marks (NFD), as some MIS keep them.
    """
    latin, others = _table()
    row = latin[number // 2 % len(latin)] if number % 2 else others[number // 2 % len(others)]
    female = rng.random() < 0.7
    first, last = rng.choice(row.female if female else row.male), rng.choice(row.last)
    if number % 3 == 0:
        first, last = unicodedata.normalize("NFD", first), unicodedata.normalize("NFD", last)
    return PersonName(row.script, first, last, "female" if female else "male")
