"""Kiva's lists (activities, themes, languages, locations, currencies) and how the MIS spells them.

A spelling is first looked up in the partner's own mapping, then as Kiva writes it, then by its
normalised key. What must not break: a spelling that fits two entries is no match; nobody chooses.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kiva_pipeline.rules.keys import match_key
from kiva_pipeline.settings import ListSpellings

Entry = TypeVar("Entry", int, str)
Way = Mapping[str, frozenset[Entry]]


@dataclass(frozen=True)
class Matches(Generic[Entry]):
    """What a column of spellings was matched to.

    Attributes:
        entries: Kiva's id or name for each row; None without exactly one.
        found: How many entries each row fits: 0, 1 or more.
    """

    entries: list[Entry | None]
    found: NDArray[np.int64]


class KivaList(Generic[Entry]):
    """One list of Kiva's.

    Args:
        respell: The partner's spellings: ``{"retail shop": "Retail"}``.
        exact: Entries by the name as Kiva writes it.
        by_key: Entries by normalised keys; the first of these that knows a key answers.
    """

    def __init__(self, respell: Mapping[str, str], exact: Way[Entry], *by_key: Way[Entry]) -> None:
        self._respell = {match_key(spelling): name for spelling, name in respell.items()}
        self._exact: Mapping[str, frozenset[Entry]] = exact
        self._by_key: Sequence[Mapping[str, frozenset[Entry]]] = by_key

    def find(self, spelling: str) -> frozenset[Entry]:
        """The entries that a spelling may mean."""
        name = self._respell.get(match_key(spelling), spelling)
        if name in self._exact:
            return self._exact[name]
        key = match_key(name)
        return next((way[key] for way in self._by_key if key and key in way), frozenset())

    def match(self, spellings: "pd.Series[str]") -> Matches[Entry]:
        """Match a column; each distinct spelling is looked up once."""
        codes, distinct = pd.factorize(spellings)
        answers = [self.find(spelling) for spelling in distinct]
        single = [next(iter(answer)) if len(answer) == 1 else None for answer in answers]
        found = np.array([len(answer) for answer in answers], dtype=np.int64)
        return Matches([single[code] for code in codes], found[codes] if len(found) else found)


@dataclass(frozen=True)
class KivaLists:
    """All of Kiva's lists that a loan draft is held to."""

    activities: KivaList[int]
    themes: KivaList[int]
    languages: KivaList[int]
    locations: KivaList[str]
    currencies: frozenset[str]
    languages_of_currency: frozenset[tuple[int, str]]
    language_codes: dict[int, str]

    @classmethod
    def of(cls, frame: pd.DataFrame, spellings: ListSpellings) -> "KivaLists":
        """Make them from rows with ``KIVA_LIST_COLUMNS`` and the partner's mapping."""
        by_list = dict(iter(frame.groupby("list")))
        nothing = frame.iloc[:0]
        activities, themes, locales, places = (
            by_list.get(name, nothing) for name in ("activity", "theme", "language", "location")
        )
        languages = list(zip(locales["kiva_id"].astype(int), locales["currency"], strict=True))
        codes = dict(zip(locales["kiva_id"].astype(int), locales["code"], strict=True))
        names = list(places["name"])
        # "Town: Country"; a town alone is enough where it is the only one of its name.
        towns = [name.rpartition(":")[0] or name for name in names]
        return cls(
            activities=_by_name(activities, spellings.activities),
            themes=_by_name(themes, spellings.themes),
            languages=_by_name(
                locales, spellings.languages, _way(map(match_key, codes.values()), codes)
            ),
            locations=KivaList(
                spellings.locations,
                _way(names, names),
                _way(map(match_key, names), names),
                _way(map(match_key, towns), names),
            ),
            currencies=frozenset(locales["currency"]) - {""},
            languages_of_currency=frozenset(languages),
            language_codes=codes,
        )


def _by_name(rows: pd.DataFrame, respell: Mapping[str, str], *ways: Way[int]) -> KivaList[int]:
    names, ids = list(rows["name"]), [int(i) for i in rows["kiva_id"]]
    return KivaList(respell, _way(names, ids), _way(map(match_key, names), ids), *ways)


def _way(keys: Iterable[str], entries: Iterable[Entry]) -> Way[Entry]:
    found: dict[str, set[Entry]] = {}
    for key, entry in zip(keys, entries, strict=True):
        found.setdefault(key, set()).add(entry)
    return {key: frozenset(several) for key, several in found.items()}


_GENDERS = {
    "male": ("m", "male", "man", "masculino", "masculin", "hombre", "homme"),
    "female": ("f", "female", "woman", "femenino", "feminin", "mujer", "femme"),
    "unknown": ("u", "unknown", "", "desconocido", "inconnu"),
}


def genders(spellings: "pd.Series[str]", respell: Mapping[str, str]) -> Sequence[str | None]:
    """``male``, ``female`` or ``unknown`` for each row (empty is unknown); None if unreadable."""
    known = {spelling: gender for gender, several in _GENDERS.items() for spelling in several}
    known |= {match_key(spelling): gender for spelling, gender in respell.items()}
    codes, distinct = pd.factorize(spellings)
    # A spelling of nothing but punctuation has an empty key; it is not the same as no answer.
    answers = [
        known.get(match_key(text) if text else "") if text == "" or match_key(text) else None
        for text in distinct
    ]
    return [answers[code] for code in codes]
