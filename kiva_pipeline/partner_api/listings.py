"""Kiva's lists and loans, from answers to frames: columns, not rows of dicts. Pure.

Only what the pipeline needs is kept; borrowers' names stay behind.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from kiva_pipeline.partner_api.errors import UnreadableAnswerError
from kiva_pipeline.partner_api.records import KIVA_LIST_COLUMNS, KIVA_LOAN_COLUMNS
from kiva_pipeline.partner_api.wire import snake_cased

# The keys of each list's entries: (list, id, name, code, currency).
_LISTS = {
    "activities": ("activity", "activity_id", "activity", "", ""),
    "themes": ("theme", "theme_type_id", "theme_type", "", ""),
    "locales": ("language", "language_id", "language_name", "language_code", "currency"),
    "locations": ("location", "", "full_name", "", ""),
}
_TEXTS = {name for name, kind in KIVA_LOAN_COLUMNS.items() if kind == "str"}


def lists_frame(answers: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The answers of ``/config/*`` by their names in, ``KIVA_LIST_COLUMNS`` out.

    Raises:
        UnreadableAnswerError: An answer has no such list.
    """
    rows = []
    for name, (kind, id_key, name_key, code_key, currency_key) in _LISTS.items():
        entries = snake_cased(answers[name]).get(name)
        if not isinstance(entries, list):
            raise UnreadableAnswerError(f"Kiva's answer to GET config/{name} has no list {name}.")
        for entry in entries:
            fields = snake_cased(entry)
            rows.append(
                (
                    kind, fields.get(id_key), str(fields.get(name_key) or ""),
                    str(fields.get(code_key) or ""), str(fields.get(currency_key) or ""),
                )
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(KIVA_LIST_COLUMNS)).astype(KIVA_LIST_COLUMNS)


def page_of_loans(answer: Mapping[str, Any]) -> tuple[int, list[Mapping[str, Any]]]:
    """``total_records`` and the rows of one page.

    Raises:
        UnreadableAnswerError: It is not a page of loans.
    """
    fields = snake_cased(answer)
    total, rows = fields.get("total_records"), fields.get("data")
    if not (isinstance(total, int) or str(total).isdecimal()) or not isinstance(rows, list):
        raise UnreadableAnswerError("Kiva's answer to GET loans has no total_records and data.")
    return int(str(total)), rows


class LoanColumns:
    """Collects pages of loans column by column; a loan seen twice counts once, its last row."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in KIVA_LOAN_COLUMNS}

    def add(self, rows: list[Mapping[str, Any]]) -> None:
        """Add a page."""
        for row in rows:
            fields = snake_cased(row) if "internal_loan_id" not in row else row
            for name, values in self._columns.items():
                value = fields.get(name)
                values.append(
                    ("" if value is None else str(value)) if name in _TEXTS else _number(value)
                )

    def frame(self) -> pd.DataFrame:
        """``KIVA_LOAN_COLUMNS``, unique by ``internal_loan_id`` and sorted by it."""
        frame = pd.DataFrame(self._columns).astype(KIVA_LOAN_COLUMNS)
        frame = frame.drop_duplicates("internal_loan_id", keep="last")
        return frame.sort_values("internal_loan_id", ignore_index=True)


def _number(value: object) -> object:
    """A whole number, also from text; a boolean as it is; anything else is unknown."""
    if isinstance(value, bool | int):
        return value
    text = str(value).strip()
    return int(text) if text.isdecimal() else None
