"""A decision's reason in words; what changed is named by amounts and days, never by texts."""

import json
from collections.abc import Mapping

import pandas as pd

from kiva_pipeline.money import to_digits
from kiva_pipeline.submission.crosscheck import changed_members
from kiva_pipeline.submission.reason_json import reason
from kiva_pipeline.submission.states import SENTENCES

# What is told of beside the sentence: what changed since it was sent in this month, or how the
# figure stands to the newest one that Kiva has.
_CHANGED = frozenset(
    {"accepted_then_changed", "changed", "month_closed", "month_closed_not_expected"}
)
_AGAINST_NEWEST = frozenset({"lower_than_sent", "jump"})
_FIRST = "first_report_without_baseline"
_COPY = "may_be_at_kiva"
_SHARED = frozenset({"member_in_two_drafts", "member_in_other_draft"})


def with_reasons(plan: pd.DataFrame, shared: Mapping[str, str]) -> pd.DataFrame:
    """Fill ``reasons``: those of the rules where they decided, else the planner's own sentence.

    Args:
        plan: With ``reason_code`` as decided, ``ruled_code`` and ``reasons`` as the rules gave.
        shared: By code, a detail that all its rows have in common.
    """
    plan = plan.copy()
    code = plan["reason_code"]
    ruled = (code == plan["ruled_code"]) & (code != "")
    own = code.map({each: reason(each, shared.get(each, "")) for each in SENTENCES})
    reasons = plan["reasons"].where(ruled, own).fillna("")
    for codes, tell in (
        (_CHANGED, _changes), (_AGAINST_NEWEST, _steps), ({_FIRST}, _figures),
        ({_COPY}, _others), (_SHARED, _shared_loans),
    ):  # fmt: skip
        told = code.isin(codes) & ~ruled
        if codes is _CHANGED:
            told &= plan["sent_hash"].notna()
        if told.any():
            rows = plan[told]
            details = tell(rows)
            reasons[told] = [
                reason(each, detail)
                for each, detail in zip(rows["reason_code"], details, strict=True)
            ]
    plan["reasons"] = reasons
    return plan


def _steps(rows: pd.DataFrame) -> list[str]:
    """Of each row, the newest figure with its month, and the new one."""
    columns = [
        rows[name].astype(object).where(rows[name].notna(), None).tolist()
        for name in ("newest_amount", "newest_digits", "newest_period", "amount",
                     "currency_digits", "currency")
    ]  # fmt: skip
    return [
        f"amount {_money(old, old_digits)} ({month or 'never reported'}) →"
        f" {_money(new, digits)} {currency}"
        for old, old_digits, month, new, digits, currency in zip(*columns, strict=True)
    ]


def _figures(rows: pd.DataFrame) -> list[str]:
    columns = [
        rows[name].astype(object).where(rows[name].notna(), None).tolist()
        for name in ("amount", "currency_digits", "currency")
    ]
    return [
        f"amount {_money(new, digits)} {currency}"
        for new, digits, currency in zip(*columns, strict=True)
    ]


def _changes(rows: pd.DataFrame) -> list[str]:
    """Of each row, what is not as it was sent: amounts and days, and the names of other fields."""
    columns = [
        rows[name].astype(object).where(rows[name].notna(), None).tolist()
        for name in ("currency_digits", "amount", "sent_amount", "effective_on",
                     "sent_effective_on", "sent_fields", "field_hashes")
    ]  # fmt: skip
    told = [_difference(*values) for values in zip(*columns, strict=True)]
    members = (
        changed_members(own_id, old, new) if isinstance(old, str) and isinstance(new, str) else []
        for own_id, old, new in zip(
            rows["business_id"], rows["sent_loan_ids"], rows["loan_ids"], strict=True
        )
    )
    return [
        "; ".join([*came, *filter(None, [rest])]) for rest, came in zip(told, members, strict=True)
    ]


def _shared_loans(rows: pd.DataFrame) -> list[str]:
    told: list[str] = rows["shared_loan"].tolist()
    return told


def _others(rows: pd.DataFrame) -> list[str]:
    return [f"loan {other}" for other in rows["other_id"].tolist()]


def _difference(
    digits: int | None,
    new: int | None,
    old: int | None,
    day: str | None,
    sent_day: str | None,
    sent_fields: object,
    field_hashes: object,
) -> str:
    parts = []
    if new is not None and old is not None and new != old:
        parts.append(f"amount {_money(old, digits)} → {_money(new, digits)}")
    if day and sent_day and sent_day != day:
        parts.append(f"day {sent_day} → {day}")
    fields = _changed_fields(sent_fields, field_hashes)
    told = {"disburse_time"} if any(part.startswith("day") for part in parts) else set()
    parts += [f"{field} changed" for field in fields if field not in told]
    return "; ".join(parts)


def _money(minor: int, digits: int | None) -> str:
    return to_digits(int(minor), 2 if digits is None else int(digits))


def _changed_fields(old: object, new: object) -> list[str]:
    if not (isinstance(old, str) and isinstance(new, str) and old and new):
        return []
    before, after = json.loads(old), json.loads(new)
    return sorted(f for f in before.keys() | after.keys() if before.get(f) != after.get(f))
