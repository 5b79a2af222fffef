"""Kiva's list against the ledger, before anything is sent. Pure.

A loan that Kiva knows and the ledger doesn't means that somebody or something else posts for this
partner, or that this ledger is not the one it should be. Then nothing may be sent.
"""

import json
from collections.abc import Set
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from kiva_pipeline.money import to_minor
from kiva_pipeline.submission.conflicts import normalised_id

# A draft made by hand shortly before go-live may be published after it: the list of waiting drafts
# that adoption was given answers for those, and a day's grace for Kiva's clock.
_GRACE = timedelta(days=1)

# Kiva's list has no disbursal day. A loan is posted from 90 days before it to 30 after; with slack.
CREATED_BEFORE, CREATED_AFTER = 120, 60  # days around the disbursal day


def strangers(kiva_loans: pd.DataFrame, known_ids: Set[str], go_live_on: date) -> list[str]:
    """Ids of loans that Kiva lists, that were made after go-live, and that the ledger has not.

    A loan without an internal id is nobody's by name; that its client gets no second copy is
    looked at draft by draft.

    Args:
        kiva_loans: ``KIVA_LOAN_COLUMNS``, today's.
        known_ids: The drafts' own ids (not their members') that the ledger adopted or made a
            request for.
        go_live_on: The day of adoption. A loan without a creation time counts as newer.
    """
    start = datetime.combine(go_live_on - _GRACE, datetime.min.time(), tzinfo=UTC).timestamp()
    newer = kiva_loans["create_time"].isna() | (kiva_loans["create_time"] >= start)
    ids = kiva_loans.loc[newer.to_numpy(dtype=bool), "internal_loan_id"].tolist()
    unknown = [loan_id for loan_id in ids if loan_id and loan_id not in known_ids]
    if not unknown:
        return []
    normalised = {normalised_id(loan_id) for loan_id in known_ids}
    return [loan_id for loan_id in unknown if normalised_id(loan_id) not in normalised]


def possible_copies(
    sendable: pd.DataFrame, drafts: pd.DataFrame, kiva_loans: pd.DataFrame
) -> "pd.Series[str]":
    """Drafts that may be second copies: the same client, amount and day under another id.

    That is what an id looks like that a migration of the MIS changed, or a loan entered twice.

    Args:
        sendable: The drafts that would be sent, with ``business_id, client_id, client_ids, amount,
            currency, currency_digits, effective_on`` (a day).
        drafts: ``CLAIM_COLUMNS`` of the ledger's drafts that are open or accepted.
        kiva_loans: ``KIVA_LOAN_COLUMNS``, today's.

    Returns:
        By the index of ``sendable``, the other id; empty where there is none.
    """
    wanted = sendable.dropna(subset=["amount", "effective_on"])
    found = pd.concat(
        [_same_draft(wanted, drafts), _same_client_at_kiva(wanted, drafts, kiva_loans)]
    )
    found = found[~found.index.duplicated()]
    return found.reindex(sendable.index).fillna("").astype("str")


_TERMS = ["amount", "currency", "currency_digits", "day"]


def _same_draft(wanted: pd.DataFrame, drafts: pd.DataFrame) -> "pd.Series[str]":
    """Another draft, of the ledger or of ``wanted`` itself, of exactly these clients and terms."""
    columns = ["business_id", "client_ids", *_TERMS]
    mine = wanted.assign(day=wanted["effective_on"].dt.strftime("%Y-%m-%d"))[columns]
    known = drafts.rename(columns={"effective_on": "day"})[columns]
    # Clients are compared only where the terms are equal: of few among all that was ever sent.
    known = known.merge(mine[_TERMS].drop_duplicates(), on=_TERMS)
    ours, others = (
        rows.assign(clients=rows["client_ids"].map(_clients))
        for rows in (mine.rename_axis("at").reset_index(), pd.concat([mine, known]))
    )
    others = others.drop_duplicates(["business_id", "clients", *_TERMS])
    pairs = ours[ours["clients"] != ""].merge(
        others, on=["clients", *_TERMS], suffixes=("", "_other")
    )
    return _first_of(pairs)


def _same_client_at_kiva(
    wanted: pd.DataFrame, drafts: pd.DataFrame, kiva_loans: pd.DataFrame
) -> "pd.Series[str]":
    """A loan at Kiva of this client and amount, made around the day; its own day Kiva does not say.

    Loans whose day the ledger knows are left to ``_same_draft``, which need not guess.
    """
    if wanted.empty:
        return pd.Series(dtype="str")
    days = wanted["effective_on"]
    first = (days.min() - timedelta(days=CREATED_BEFORE)).timestamp()
    last = (days.max() + timedelta(days=CREATED_AFTER + 1)).timestamp()
    created = kiva_loans["create_time"]
    near = (created.isna() | created.between(first, last)).to_numpy(dtype=bool)
    loans = kiva_loans[near & (kiva_loans["internal_client_id"] != "").to_numpy(dtype=bool)]
    exact = set(drafts.loc[drafts["effective_on"] != "", "business_id"].tolist())
    guessed = [loan_id not in exact for loan_id in loans["internal_loan_id"].tolist()]
    loans = loans[np.array(guessed, dtype=bool)]
    mine = wanted.assign(client=wanted["client_id"].map(normalised_id)).rename_axis("at")
    mine = mine[mine["client"] != ""].reset_index()
    pairs = mine[["at", "business_id", "client", "amount", "currency", "currency_digits",
                  "effective_on"]].merge(
        loans.assign(client=loans["internal_client_id"].map(normalised_id)), on="client"
    )  # fmt: skip
    made = pd.to_datetime(pairs["create_time"], unit="s")
    around = pairs["create_time"].isna() | made.between(
        pairs["effective_on"] - timedelta(days=CREATED_BEFORE),
        pairs["effective_on"] + timedelta(days=CREATED_AFTER + 1),
    )
    pairs = pairs[around & (pairs["currency"] == pairs["loan_currency"].str.upper())]
    pairs = pairs.assign(
        business_id_other=pairs["internal_loan_id"].where(
            pairs["internal_loan_id"] != "", "kiva:" + pairs["kiva_id"]
        )
    )
    columns = (pairs[name].tolist() for name in ("loan_local_price", "currency_digits", "amount"))
    same = [
        to_minor(price, digits) == amount for price, digits, amount in zip(*columns, strict=True)
    ]
    return _first_of(pairs[np.array(same, dtype=bool)])


def _first_of(pairs: pd.DataFrame) -> "pd.Series[str]":
    """The first other id of each row of ours (``at``), unless it is the same id."""
    own, other = (pairs[name].map(normalised_id) for name in ("business_id", "business_id_other"))
    hits = pairs[(own != other).to_numpy(dtype=bool)].drop_duplicates("at")
    return hits.set_index("at")["business_id_other"].astype("str")


def _clients(text: str) -> str:
    """A JSON list of client ids in a form in which two lists of the same clients are equal."""
    ids = sorted(normalised_id(client) for client in json.loads(text or "[]"))
    return "\n".join(ids) if all(ids) else ""


def not_as_adopted(m: pd.DataFrame) -> "pd.Series[bool]":
    """Of adopted drafts, those that the MIS has with another amount, day or members now.

    Only what was known at the adoption is compared; the rest of a draft's content never was.

    Args:
        m: The planner's rows, side by side with what was sent (``sent_*``).
    """
    amount = (m["currency_digits"] == m["sent_digits"]) & (m["amount"] != m["sent_amount"])
    sent_day = m["sent_effective_on"].fillna("")
    day = (sent_day != "") & (m["effective_on"].dt.strftime("%Y-%m-%d") != sent_day)
    named = m["sent_loan_ids"].notna() & m["loan_ids"].notna()
    pairs = zip(m["business_id"], m["sent_loan_ids"].where(named, "[]"),
                m["loan_ids"].where(named, "[]"), strict=True)  # fmt: skip
    members = [bool(changed_members(own_id, old, new)) for own_id, old, new in pairs]
    differs = amount.fillna(value=False) | day.fillna(value=False)
    return differs.astype(bool) | pd.Series(members, index=m.index)


def changed_members(own_id: str, old: str, new: str) -> list[str]:
    """The members that came or went, in words; none if a group's were never named.

    Args:
        own_id: The draft's id.
        old: A JSON list of loan ids, as sent or adopted.
        new: The same, as the MIS has it now.
    """
    if old == new:
        return []
    before, after = json.loads(old or "[]"), json.loads(new or "[]")
    if not before or not after or before == [own_id]:
        return []
    return [f"loan {each} came in" for each in after if each not in before] + [
        f"loan {each} left" for each in before if each not in after
    ]
