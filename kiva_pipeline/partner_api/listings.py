"""Kiva's lists and loans, from answers to frames: columns, not rows of dicts. Pure.

Only what the pipeline needs is kept; borrowers' names stay behind. What must not break: a loan that
Kiva lists is never dropped here, however odd its row. Whoever reports would miss it, and Kiva
invoices a loan that is left out as if it had paid.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from kiva_pipeline.partner_api.errors import UnreadableAnswerError
from kiva_pipeline.partner_api.records import KIVA_LIST_COLUMNS, KIVA_LOAN_COLUMNS
from kiva_pipeline.partner_api.wire import snake_cased, text_of

# The keys of each list's entries: (list, id, name, code, currency).
_LISTS = {
    "activities": ("activity", "activity_id", "activity", "", ""),
    "themes": ("theme", "theme_type_id", "theme_type", "", ""),
    "locales": ("language", "language_id", "language_name", "language_code", "currency"),
    "locations": ("location", "", "full_name", "", ""),
}
LISTS = tuple(_LISTS)
_INT64 = range(-(2**63), 2**63)


def lists_frame(answers: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The answers of ``/config/*`` by their names in, ``KIVA_LIST_COLUMNS`` out.

    Raises:
        UnreadableAnswerError: An answer has no such list.
    """
    rows = []
    for name, (kind, *keys) in _LISTS.items():
        entries = _objects(snake_cased(answers[name]).get(name))
        if entries is None:
            raise UnreadableAnswerError(f"Kiva's answer to GET config/{name} has no list {name}.")
        for entry in entries:
            kiva_id, *texts = [snake_cased(entry).get(key) for key in keys]
            rows.append((kind, kiva_id, *texts))
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * len(KIVA_LIST_COLUMNS)
    return _frame(dict(zip(KIVA_LIST_COLUMNS, columns, strict=True)), KIVA_LIST_COLUMNS)


def page_of_loans(answer: Mapping[str, Any]) -> tuple[int, list[Mapping[str, Any]]]:
    """``total_records`` and the rows of one page.

    Raises:
        UnreadableAnswerError: It is not a page of loans, or it has more of them than there are.
    """
    fields = snake_cased(answer)
    total, rows = _whole(fields.get("total_records")), _objects(fields.get("data"))
    if total is None or rows is None or total < len(rows):
        raise UnreadableAnswerError(
            "Kiva's answer to GET loans is not a page of loans with their total_records.",
            "Nothing was reported. Try later; if it stays so, tell your Kiva contact.",
        )
    return total, rows


class LoanColumns:
    """Collects pages of loans column by column."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in KIVA_LOAN_COLUMNS}

    def add(self, rows: list[Mapping[str, Any]]) -> None:
        """Add a page."""
        for row in rows:
            fields = row if "internal_loan_id" in row else snake_cased(row)
            for name, values in self._columns.items():
                values.append(fields.get(name))

    def frame(self) -> pd.DataFrame:
        """``KIVA_LOAN_COLUMNS``: each of Kiva's loans once, as it was on its last page."""
        frame = _frame(self._columns, KIVA_LOAN_COLUMNS)
        uuid, kiva_id = frame["uuid"], frame["kiva_id"]
        own_id = uuid.where(uuid != "", kiva_id.where(kiva_id != "", frame["internal_loan_id"]))
        frame = frame[~own_id.duplicated(keep="last")]
        return frame.sort_values(["internal_loan_id", "kiva_id"], ignore_index=True)


def _frame(columns: Mapping[str, Sequence[Any]], dtypes: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: pd.array([_READERS[dtype](value) for value in columns[name]], dtype=dtype)
            for name, dtype in dtypes.items()
        }
    )


def _objects(found: object) -> list[Mapping[str, Any]] | None:
    """A list of JSON objects, or None if it isn't one."""
    if isinstance(found, list) and all(isinstance(entry, Mapping) for entry in found):
        return found
    return None


def _whole(value: object) -> int | None:
    """A whole number, also from text; None if it is none that a column could hold."""
    try:
        number = int(text_of(value))
    except ValueError:
        return None
    return number if number in _INT64 else None


def _flag(value: object) -> bool | None:
    """A yes or no, also as text or 0 and 1; None if it is neither."""
    text = str(value).casefold() if isinstance(value, bool) else text_of(value).strip().casefold()
    return {"true": True, "1": True, "false": False, "0": False}.get(text)


_READERS: dict[str, Callable[[object], Any]] = {"str": text_of, "Int64": _whole, "boolean": _flag}
