"""Does every row of a month have a decision, and do the numbers add up? Pure."""

import pandas as pd

from kiva_pipeline.money import to_digits
from kiva_pipeline.submission.decisions import Tally

RECONCILIATION_COLUMNS = {
    "stream": "str",
    "decision": "str",
    "reason_code": "str",
    "rows": "int64",
    "mis_rows": "int64",
    "money": "str",  # by currency: "KES 12,300.00; RWF 45,000"
}


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
    sums["money"] = [
        f"{currency} {to_digits(int(amount), int(digits))}"
        for currency, digits, amount in zip(
            sums["currency"], sums["currency_digits"], sums["amount"], strict=True
        )
    ]
    money = sums.groupby(keys, as_index=False)["money"].agg("; ".join)
    table = table.merge(money, on=keys, how="left", validate="one_to_one")
    table["stream"], table["money"] = stream, table["money"].fillna("")
    return table[list(RECONCILIATION_COLUMNS)].astype(RECONCILIATION_COLUMNS)


def money_by_decision(tally: Tally) -> dict[str, str]:
    """Money of each decision as exact text by currency: ``{"accepted": "KES 1.00; RWF 5"}``."""
    told: dict[str, list[str]] = {}
    for (decision, currency, digits), total in sorted(tally.money.items()):
        amount = f"{currency or 'no currency'} {to_digits(total, int(digits))}"
        told.setdefault(decision, []).append(amount)
    return {decision: "; ".join(parts) for decision, parts in told.items()}
