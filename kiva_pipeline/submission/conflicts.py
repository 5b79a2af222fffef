"""Is a draft at Kiva already, or a member of it part of another draft? Pure lookups by loan id."""

import json
import unicodedata
from collections.abc import Iterable

import pandas as pd


def normalised_id(text: str) -> str:
    """An id as it is compared: NFKC, no blanks at the ends, case folded."""
    if text.isascii():  # the same, in a tenth of the time
        return text.strip().lower()
    return unicodedata.normalize("NFKC", text).strip().casefold()


def normalised_ids(ids: Iterable[str]) -> frozenset[str]:
    """The set of compared forms of some ids, without the empty one."""
    return frozenset(normalised_id(text) for text in ids) - {""}


def listed_at_kiva(
    plan: pd.DataFrame, kiva_ids: frozenset[str]
) -> tuple["pd.Series[bool]", "pd.Series[bool]"]:
    """True where ``kiva_ids`` has the row's own id; and where it has that or a member's.

    Only the row's own id proves that this draft arrived: a member may have a loan of its own.

    Args:
        plan: With ``business_id`` and ``loan_ids`` (a JSON list, may be empty).
        kiva_ids: Normalised.
    """
    if not kiva_ids:
        nowhere = pd.Series(data=False, index=plan.index)
        return nowhere, nowhere
    own = plan["business_id"].map(normalised_id).isin(kiva_ids)
    members = members_of(plan)
    hit = members.loc[members["loan_id"].map(normalised_id).isin(kiva_ids), "business_id"]
    return own, own | plan["business_id"].isin(hit)


def claimed_elsewhere(
    sendable: pd.DataFrame, plan: pd.DataFrame, claims: pd.DataFrame
) -> "pd.Series[bool]":
    """True where a member's loan is in another draft: of the ledger, or of this very plan.

    Args:
        sendable: The rows of ``plan`` that would be sent.
        plan: The rows to answer for.
        claims: ``loan_id, business_id`` of every draft that is open or accepted.
    """
    members = members_of(sendable)
    everywhere = pd.concat([members, claims[["loan_id", "business_id"]]]).drop_duplicates()
    everywhere["key"] = everywhere["loan_id"].map(normalised_id)
    drafts = everywhere.groupby("key")["business_id"].nunique()
    shared = drafts.index[drafts > 1]
    hit = members.loc[members["loan_id"].map(normalised_id).isin(shared), "business_id"]
    return plan["business_id"].isin(hit)


def members_of(rows: pd.DataFrame) -> pd.DataFrame:
    """``loan_id, business_id``: one row for each loan id in each row's JSON list."""
    lists = rows["loan_ids"].map(lambda text: json.loads(text) if text else [], na_action="ignore")
    exploded = pd.DataFrame({"business_id": rows["business_id"], "loan_id": lists}).explode(
        "loan_id"
    )
    return exploded.dropna(subset="loan_id").astype({"loan_id": "str"})
