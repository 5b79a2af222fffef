"""Normalised keys: two spellings of the same thing get the same key, two things never guess.

Case, accents, width, spaces, punctuation and invisible characters are taken out. Only marks that
are accents or optional vowel points (Latin, Greek, Cyrillic; Hebrew, Arabic) are: in other scripts
a mark is a letter's vowel, and without it two places would look like one.
"""

import re
import unicodedata

_ACCENTS = re.compile(
    "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"  # accents
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew points
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc"  # Arabic vowel signs, tatweel
    "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"  # invisible
)
_OTHER_THAN_ASCII_WORD = re.compile(r"[\W_]+", re.ASCII)


def folded(text: str) -> str:
    """The text without case, accents, width variants and invisible characters; NFC."""
    if text.isascii():
        return text.lower()
    bare = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", bare))


def match_key(text: str) -> str:
    """``folded``, without spaces and punctuation: ``"São Paulo: Brazil"`` is ``saopaulobrazil``."""
    bare = folded(text)
    if bare.isascii():
        return _OTHER_THAN_ASCII_WORD.sub("", bare)
    return "".join(letter for letter in bare if is_word_part(letter))


def is_word_part(letter: str) -> bool:
    """Whether a character is part of a word: a letter, a digit or a mark on one."""
    return letter.isalnum() or unicodedata.category(letter).startswith("M")
