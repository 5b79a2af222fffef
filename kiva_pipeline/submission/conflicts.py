"""Is a draft at Kiva already, or a member of it part of another draft? Pure lookups by loan id."""

import json
import unicodedata
from collections.abc import Iterable

import pandas as pd

from kiva_pipeline.lookups import among

# What the checks need to know of a draft that is open or accepted; the day is a text, "" where it
# is not known.
CLAIM_COLUMNS = {
    "business_id": "str",
    "loan_ids": "str",
    "client_ids": "str",
    "amount": "Int64",
    "currency": "str",
    "currency_digits": "Int64",
    "effective_on": "str",
}


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
    own = pd.Series(among(plan["business_id"].map(normalised_id), kiva_ids), plan.index)
    members = members_of(plan)
    listed = among(members["loan_id"].map(normalised_id), kiva_ids)
    return own, own | among(plan["business_id"], members.loc[listed, "business_id"])


def claimed_elsewhere(
    sendable: pd.DataFrame, plan: pd.DataFrame, claims: pd.DataFrame
) -> "pd.Series[str]":
    """A member's loan that is in another draft too: of the ledger, or of this very plan.

    Args:
        sendable: The rows of ``plan`` that would be sent.
        plan: The rows to answer for.
        claims: ``loan_id, business_id`` of every draft that is open or accepted.

    Returns:
        By the index of ``plan``, the loan's id and the other draft's, in words; "" for none.
    """
    members = members_of(sendable)
    everywhere = pd.concat([members, claims[["loan_id", "business_id"]]]).drop_duplicates()
    everywhere["key"] = everywhere["loan_id"].map(normalised_id)
    drafts = everywhere.groupby("key")["business_id"].nunique()
    shared = everywhere[among(everywhere["key"], drafts.index[drafts > 1])]
    pairs = members.assign(key=members["loan_id"].map(normalised_id)).merge(
        shared[["key", "business_id"]], on="key", suffixes=("", "_other")
    )
    pairs = pairs[pairs["business_id"] != pairs["business_id_other"]]
    told = "loan " + pairs["loan_id"] + ", also in draft " + pairs["business_id_other"]
    by_draft = dict(zip(pairs["business_id"].tolist()[::-1], told.tolist()[::-1], strict=True))
    found = [by_draft.get(draft_id, "") for draft_id in plan["business_id"].tolist()]
    return pd.Series(found, index=plan.index, dtype="str")


def members_of(rows: pd.DataFrame) -> pd.DataFrame:
    """``loan_id, business_id``: one row for each loan id in each row's JSON list."""
    lists = rows["loan_ids"].map(lambda text: json.loads(text) if text else [], na_action="ignore")
    exploded = pd.DataFrame({"business_id": rows["business_id"], "loan_id": lists}).explode(
        "loan_id"
    )
    return exploded.dropna(subset="loan_id").astype({"loan_id": "str"})
