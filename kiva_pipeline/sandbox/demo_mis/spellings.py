"""How the MIS spells what Kiva's lists hold: mostly in other case, accents or spaces.

What must not break: a term marked as its own spelling needs an entry in ``MAPPING``, which the
demo writes into its ``partner.yaml``; anything else must be found by a normalised key alone.
"""

import csv
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

_DATA = Path(__file__).parent.parent / "data"

# What `mapping:` of the demo's partner.yaml must hold, beside what a normalised key finds.
MAPPING: dict[str, dict[str, str]] = {
    "activities": {
        "Duka": "General Store", "Boda boda": "Motorcycle Transport", "Sari-sari": "Retail",
        "Ubuhinzi": "Farming", "Mitumba": "Used Clothing",
    },
    "themes": {"Rural finance": "Rural Exclusion", "WASH": "Water and Sanitation"},
    "languages": {"Anglais": "English", "Español": "Spanish", "Français": "French"},
    "locations": {"Umujyi wa Kigali": "Kigali: Rwanda", "Душанбе": "Dushanbe: Tajikistan"},
    "genders": {"Mme": "female", "M.": "male"},
}  # fmt: skip

_COUNTRIES = {"RWF": "Rwanda", "UGX": "Uganda", "TJS": "Tajikistan", "PHP": "Philippines",
              "KHR": "Cambodia", "XOF": "Senegal"}  # fmt: skip
_LANGUAGES = {"en": "English", "es": "Spanish", "fr": "French"}


@dataclass(frozen=True, slots=True)
class Term:
    """One entry of Kiva's lists, and how this MIS row spells it."""

    kiva: str
    mis: str


def activity(rng: Random) -> Term:
    """An activity."""
    return _spelled(rng, _column("activities.csv", "activity"), "activities")


def theme(rng: Random) -> Term:
    """A loan theme."""
    return _spelled(rng, _column("themes.csv", "theme"), "themes")


def location(rng: Random, currency: str) -> Term:
    """A town of the currency's country; Kenya's for currencies of countries without towns."""
    return _spelled(rng, _towns(_COUNTRIES.get(currency, "Kenya")), "locations")


def language(rng: Random, code: str) -> Term:
    """The language of a text."""
    return _spelled(rng, (_LANGUAGES[code],), "languages")


def gender(rng: Random, known: str) -> str:
    """A gender as staff type it."""
    female = ("Female", "FEMALE", "female", "F")
    return rng.choice(female if known == "female" else ("Male", "MALE", "male", "M"))


def normal_key(text: str) -> str:
    """A text without case, accents, spaces and punctuation, by which spellings are compared."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if letter.isalnum())


def _spelled(rng: Random, names: tuple[str, ...], kind: str) -> Term:
    roll = rng.random()
    if roll < 0.08:
        own = [Term(kiva, mis) for mis, kiva in MAPPING[kind].items() if kiva in names]
        if own:
            return rng.choice(own)
    name = rng.choice(names)
    if roll < 0.4:
        return Term(name, name)
    if roll < 0.6:
        return Term(name, name.upper())
    if roll < 0.8:
        return Term(name, f" {name.lower().replace(' ', '  ')} ")
    return Term(name, name.replace("e", "é", 1))


@cache
def _column(file: str, column: str) -> tuple[str, ...]:
    with (_DATA / file).open(encoding="utf-8", newline="") as text:
        return tuple(row[column] for row in csv.DictReader(text))


@cache
def _towns(country: str) -> tuple[str, ...]:
    with (_DATA / "towns.csv").open(encoding="utf-8", newline="") as text:
        names = [f"{row['town']}: {row['country']}" for row in csv.DictReader(text)]
    # Kiva lists a few towns twice in other spellings; no MIS spelling could tell which is meant.
    keys = Counter(normal_key(name) for name in names)
    return tuple(n for n in names if n.endswith(f": {country}") and keys[normal_key(n)] == 1)
