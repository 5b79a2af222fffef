"""Kiva's own lists for practice: activities, themes, locales and locations.

They come from the CSV files in ``data/``, which hold Kiva's spellings. What must not break: an
entry keeps its id from one seeding to the next, because drafts that were posted before carry it;
ids follow the sorted order of the names.
"""

import csv
from collections.abc import Iterator, Sequence
from importlib.resources import files

LIST_NAMES = ("activities", "themes", "locales", "locations")

# Kiva's ids of 1 for English and 5 for Russian are known; the others are ours.
LANGUAGES = (
    (1, "en", "English"),
    (2, "es", "Spanish"),
    (3, "fr", "French"),
    (4, "pt", "Portuguese"),
    (5, "ru", "Russian"),
    (6, "ar", "Arabic"),
)

Entry = dict[str, str | int]


def known_currencies() -> list[str]:
    """The currencies in which Kiva's partners lend, sorted."""
    return sorted(row["currency"] for row in _read("currencies.csv"))


def config_lists(currencies: Sequence[str]) -> dict[str, list[Entry]]:
    """The entries of each ``GET /config/…`` list, in the order in which they are answered.

    Args:
        currencies: The partner's currencies; each is listed with every language.
    """
    return {
        "activities": _numbered("activities.csv", "activity", "activity_id", "activity"),
        "themes": _numbered("themes.csv", "theme", "theme_type_id", "theme_type"),
        "locales": [
            {"currency": currency, "language_code": code, "language_name": name, "language_id": id_}
            for currency in currencies
            for id_, code, name in LANGUAGES
        ],
        "locations": [
            {
                "country": row["country"],
                "location": row["town"],
                "full_name": f"{row['town']}: {row['country']}",
            }
            for row in _read("towns.csv")
        ],
    }


def _numbered(file: str, column: str, id_field: str, name_field: str) -> list[Entry]:
    names = sorted(row[column] for row in _read(file))
    return [{id_field: number, name_field: name} for number, name in enumerate(names, 1)]


def _read(file: str) -> Iterator[dict[str, str]]:
    text = (files("kiva_pipeline.sandbox") / "data" / file).read_text(encoding="utf-8")
    yield from csv.DictReader(text.splitlines())
