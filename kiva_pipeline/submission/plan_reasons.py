"""A decision's reason in words; what changed is named by amounts and days, never by texts."""

import json

import pandas as pd

from kiva_pipeline.money import to_digits
from kiva_pipeline.submission.reason_json import reason
from kiva_pipeline.submission.states import SENTENCES

_CHANGED = {"accepted_then_changed", "lower_than_sent", "jump", "changed", "month_closed"}


def with_reasons(plan: pd.DataFrame) -> pd.DataFrame:
    """Fill ``reasons``: those of the rules where they decided, else the planner's own sentence.

    Args:
        plan: With ``reason_code`` as decided, ``ruled_code`` and ``reasons`` as the rules gave.
    """
    plan = plan.copy()
    ruled = (plan["reason_code"] == plan["ruled_code"]) & (plan["reason_code"] != "")
    own = plan["reason_code"].map({code: reason(code) for code in SENTENCES})
    reasons = plan["reasons"].where(ruled, own)
    detailed = plan["reason_code"].isin(_CHANGED) & ~ruled & plan["sent_hash"].notna()
    for index in plan.index[detailed]:
        row = plan.loc[index]
        reasons[index] = reason(row["reason_code"], _difference(row))
    plan["reasons"] = reasons.fillna("")
    return plan


def _difference(row: "pd.Series[object]") -> str:
    parts = []
    digits = int(row["currency_digits"]) if pd.notna(row["currency_digits"]) else 2
    new, old = row["amount"], row["sent_amount"]
    if pd.notna(new) and pd.notna(old) and new != old:
        parts.append(f"amount {to_digits(int(old), digits)} → {to_digits(int(new), digits)}")
    if row["effective_on"] and row["sent_effective_on"] != row["effective_on"]:
        parts.append(f"day {row['sent_effective_on']} → {row['effective_on']}")
    fields = _changed_fields(row["sent_fields"], row["field_hashes"])
    told = {"disburse_time"} if any(part.startswith("day") for part in parts) else set()
    parts += [f"{field} changed" for field in fields if field not in told]
    return "; ".join(parts)


def _changed_fields(old: object, new: object) -> list[str]:
    if not (isinstance(old, str) and isinstance(new, str) and old and new):
        return []
    before, after = json.loads(old), json.loads(new)
    return sorted(f for f in before.keys() | after.keys() if before.get(f) != after.get(f))
