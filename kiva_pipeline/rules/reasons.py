"""Why a row is not good: the reasons of one stream, collected rulebook by rulebook.

A row of the output (a draft, a report line, a journal) may answer for several judged rows (a
group's members): ``row_of`` says which. Only rows that failed cost anything. What must not break:
``detail`` holds amounts, days and ids; never a name, a text or the value that failed.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import orjson
from numpy.typing import NDArray

from kiva_pipeline.rulebook import Bits, Rule, Rulebook, Severity

Rows = NDArray[np.int64]
# Positions of judged rows that broke a rule in; one detail for each out.
Details = Mapping[str, Callable[[Rows], Sequence[str]]]

# The worse severity decides the state of a row.
_STATES = {
    Severity.WARN: "good",
    Severity.HOLD: "held",
    Severity.PERSON: "needs_person",
    Severity.MISSING: "missing",
    Severity.BLOCK: "blocked",
}
_UNWRITABLE = frozenset({Severity.BLOCK, Severity.MISSING})
_RANKS = {severity: rank for rank, severity in enumerate(_STATES)}


class ReasonLog:
    """Collects the broken rules of ``rows`` output rows.

    Args:
        rows: How many output rows there are.
        passing: Codes that depend on the day or on Kiva's lists, not on the record. What such a
            rule blocks is written all the same: only its hash tells, later, whether a record that
            Kiva accepted has changed since.
    """

    def __init__(self, rows: int, passing: frozenset[str] = frozenset()) -> None:
        self._passing = passing
        self._writable = np.ones(rows, dtype=bool)
        self._said: dict[int, dict[str, None]] = {}
        self._rank = np.zeros(rows, dtype=np.int8)
        self._code = np.full(rows, "", dtype=object)
        self.counts: dict[str, int] = {}

    def add(
        self,
        rules: Rulebook,
        bits: Bits,
        *,
        row_of: Rows | None = None,
        details: Details | None = None,
        about: Sequence[str] | None = None,
        prefix: str = "",
    ) -> None:
        """Take over what a rulebook found.

        Args:
            rules: The rulebook that judged.
            bits: Its answer, one a judged row.
            row_of: The output row of each judged row; the same position when left out.
            details: By rule code, what to add to the sentence.
            about: For each judged row, which member it is, such as ``loan L-2``; "" for none.
            prefix: Put before each rule's code, to keep the codes of two rulebooks apart.
        """
        for i, rule in enumerate(rules.rules):
            where = np.flatnonzero(bits >> i & 1)
            rows = where if row_of is None else row_of[where]
            code = prefix + rule.code
            self.counts[code] = self.counts.get(code, 0) + len(np.unique(rows))
            if len(where):
                explain = (details or {}).get(rule.code)
                texts = explain(where) if explain else [""] * len(where)
                if about is not None:
                    texts = [
                        _joined(about[at], text)
                        for at, text in zip(where.tolist(), texts, strict=True)
                    ]
                self._say(rule, code, rows, texts)

    def _say(self, rule: Rule, code: str, rows: Rows, texts: Sequence[str]) -> None:
        rank = _RANKS[rule.severity]
        if rule.severity in _UNWRITABLE and code not in self._passing:
            self._writable[rows] = False
        worse = rows[self._rank[rows] < rank]
        self._rank[worse] = rank
        self._code[worse] = code
        head = orjson.dumps(
            {
                "code": code,
                "field": rule.field,
                "value_class": rule.value_class,
                "severity": rule.severity.value,
                "sentence": rule.sentence,
            }
        ).decode()[:-1]
        plain = f'{head},"detail":""}}'
        for row, text in zip(rows.tolist(), texts, strict=True):
            reason = f'{head},"detail":{orjson.dumps(text).decode()}}}' if text else plain
            self._said.setdefault(row, {})[reason] = None

    @property
    def writable(self) -> "NDArray[np.bool_]":
        """Rows whose body can be written: nothing of the record itself is in the way."""
        return self._writable

    @property
    def states(self) -> "NDArray[np.object_]":
        """``good``, ``held``, ``needs_person``, ``missing`` or ``blocked``, one a row."""
        return np.array(list(_STATES.values()), dtype=object)[self._rank]

    def columns(self) -> dict[str, object]:
        """The columns ``state``, ``reason_code`` and ``reasons`` of ``rules.rows``."""
        reasons = np.full(len(self._rank), "", dtype=object)
        for row, said in self._said.items():
            reasons[row] = f"[{','.join(said)}]"
        return {"state": self.states, "reason_code": self._code, "reasons": reasons}


def _joined(about: str, text: str) -> str:
    return ": ".join(part for part in (about, text) if part)
