"""What PA2's reviewers object to in texts: the first person, and a borrower's last name.

Both are warnings: no list of words is ever right for all texts. Issue codes at Kiva: FPU (first
person used), BPD (borrower's private data).
"""

import re
from collections.abc import Iterable

from kiva_pipeline.rules.keys import folded, is_word_part

# "us" only in small letters (US dollars); "I" only as a capital (Roman i in lists).
_FIRST_PERSON = {
    "en": r"I|[Mm]y|[Mm]e|[Mm]ine|[Mm]yself|[Ww]e|[Oo]urs?|us|[Oo]urselves",
    "es": r"(?i:yo|mi|mis|mí|mío|mía|me|conmigo|soy|tengo|estoy|quiero|necesito|nos|nosotr[oa]s"
    r"|nuestr[oa]s?|somos|tenemos)",
    "fr": r"(?i:je|j['’]\w+|me|m['’]\w+|moi|mon|ma|mes|nous|notre|nos)",
}
# Of a text whose language is not known: without what is an ordinary word in another language
# ("mes" is a month in Spanish, "nos" is "in the" in Portuguese).
_ANY = (
    r"I|[Mm]y|[Mm]yself|[Ww]e|[Oo]ur"
    r"|(?i:yo|soy|tengo|estoy|conmigo|nosotr[oa]s|nuestr[oa]s?|je|j['’]ai|nous|notre)"
)
_PATTERNS = {
    code: re.compile(rf"\b(?:{words})\b") for code, words in (_FIRST_PERSON | {"": _ANY}).items()
}
# Small words inside last names that say nothing alone.
_PARTICLES = frozenset(
    {"abu", "ben", "bin", "binti", "das", "del", "della", "der", "des", "dos", "las", "los", "van"}
    | {"von"}
)
_SHORTEST_NAME = 3
# Written without spaces between words: a word has no visible bounds there.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"
)


def in_first_person(texts: Iterable[str], languages: Iterable[str]) -> list[bool]:
    """Whether each text speaks as "I" or "we".

    Args:
        texts: The texts, NFC.
        languages: Each text's ISO 639-1 code; "" where it isn't known. Only English, Spanish and
            French are known well enough to warn; other codes are never in the first person.
    """
    patterns = [_PATTERNS.get(code[:2].lower()) for code in languages]
    return [
        pattern is not None and pattern.search(text) is not None
        for text, pattern in zip(texts, patterns, strict=True)
    ]


def names_last_name(texts: Iterable[str], last_names: Iterable[str]) -> list[bool]:
    """Whether each text has the last name beside it as a word of its own, in any script.

    Names are compared without case and accents; each part of a double name counts, particles and
    parts of fewer than three letters don't (too many texts would be suspected).
    """
    return [
        any(_has_word(text, part) for part in _parts(name))
        for text, name in zip(map(folded, texts), last_names, strict=True)
    ]


def _parts(name: str) -> list[str]:
    words = re.split(r"[\s\-–]+", folded(name))
    return [word for word in words if len(word) >= _SHORTEST_NAME and word not in _PARTICLES]


def _has_word(text: str, word: str) -> bool:
    bounded = not _UNSPACED.search(word)
    at = text.find(word)
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(word) :][:1]
        if not bounded or not any(is_word_part(beside) for beside in (before, after) if beside):
            return True
        at = text.find(word, at + 1)
    return False
