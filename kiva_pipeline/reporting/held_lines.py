"""What is held or missing, in words for people; the same on the command line and in Dagster."""

from typing import Any

import pandas as pd

from kiva_pipeline.money import to_digits
from kiva_pipeline.reporting.words import STREAMS, reasons_in_words
from kiva_pipeline.submission.held import what_approval_does


def held_lines(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """``submission.approve.Waiting.rows`` in, one line a row out, without hashes or names.

    Returns:
        ``stream, month, id, state, guard, means, detail, kiva_has, figure, goes_if_approved,
        approval, approved``.
    """
    plain = rows.astype(object).where(rows.notna(), None)
    return [_line(row) for row in plain.to_dict("records")]


def _line(row: dict[Any, Any]) -> dict[str, Any]:
    told = next(reasons_in_words(row["guard"], row["reasons"]))
    kiva_has = _amount(row["last_amount"], row["last_digits"], row["currency"])
    return {
        "stream": STREAMS[row["kind"]],
        "month": row["month"],
        "id": row["loan_id"],
        "state": row["state"],
        "guard": row["guard"],
        "means": told["sentence"],
        "detail": told["detail"],
        "kiva_has": f"{kiva_has} ({row['last_month']})" if row["last_month"] else "",
        "figure": _amount(row["amount"], row["currency_digits"], row["currency"]),
        "goes_if_approved": bool(row["goes_if_approved"]),
        "approval": what_approval_does(row["state"], row["guard"]),
        "approved": bool(row["approved"]),
    }


def _amount(minor: int | None, digits: int | None, currency: str) -> str:
    if minor is None or digits is None:
        return ""
    return f"{currency} {to_digits(int(minor), int(digits))}".strip()
