"""Does every row of a month have a decision, and do the numbers add up? Pure."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from kiva_pipeline.money import to_decimal
from kiva_pipeline.submission.decisions import Tally

RECONCILIATION_COLUMNS = {
    "stream": "str",
    "decision": "str",
    "reason_code": "str",
    "rows": "int64",
    "mis_rows": "int64",
    "money": "str",  # by currency: "KES 12,300.00; RWF 45,000"
}


class _Sum(NamedTuple):
    currency: str
    digits: int
    minor: int


def reconcile(stream: str, decisions: pd.DataFrame) -> pd.DataFrame:
    """One stream's decisions in, one row for each decision and reason out.

    Args:
        stream: Its name.
        decisions: ``DECISION_COLUMNS``.
    """
    keys = ["decision", "reason_code"]
    table = decisions.groupby(keys, as_index=False).agg(
        rows=("business_id", "size"), mis_rows=("mis_rows", "sum")
    )
    paid = decisions.dropna(subset=["amount", "currency_digits"])
    sums = paid.groupby([*keys, "currency", "currency_digits"], as_index=False)["amount"].sum()
    told: dict[tuple[str, str], list[_Sum]] = {}
    for decision, code, *amount in sums.itertuples(index=False, name=None):
        told.setdefault((decision, code), []).append(_Sum(*amount))
    table["money"] = [
        money_text(told.get(key, ()))
        for key in zip(table["decision"], table["reason_code"], strict=True)
    ]
    table["stream"] = stream
    return table[list(RECONCILIATION_COLUMNS)].astype(RECONCILIATION_COLUMNS)


def money_by_decision(tally: Tally) -> dict[str, str]:
    """Money of each decision as exact text by currency: ``{"accepted": "KES 1.00; RWF 5"}``."""
    told: dict[str, list[_Sum]] = {}
    for (decision, currency, digits), total in tally.money.items():
        told.setdefault(decision, []).append(_Sum(currency, digits, total))
    return {decision: money_text(sums) for decision, sums in sorted(told.items())}


def money_text(sums: Iterable[tuple[str, int, int]]) -> str:
    """``(currency, decimals, minor units)`` in, ``"KES 12,300.00; RWF 45,000"`` out; exact.

    A currency that the MIS keeps now with more, now with fewer decimals is one sum, with the more.
    """
    by_currency: dict[str, tuple[int, int]] = {}
    for currency, digits, minor in sums:
        had_digits, had = by_currency.get(currency, (0, 0))
        most = max(int(digits), had_digits)
        total = had * 10 ** (most - had_digits) + int(minor) * 10 ** (most - int(digits))
        by_currency[currency] = (most, total)
    return "; ".join(
        f"{currency or 'no currency'} {to_decimal(total, digits):,}"
        for currency, (digits, total) in sorted(by_currency.items())
    )
