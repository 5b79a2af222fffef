"""What the MIS answers for each loan that Kiva expects, summed over a group's members.

A group's figure is the exact sum of its members', and exists only if every one of them answered.
Rows are joined by position: neither a doubled id at Kiva nor one in the MIS can multiply a row.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kiva_pipeline.lookups import among
from kiva_pipeline.money import to_minor
from kiva_pipeline.rules.runs import whole_numbers
from kiva_pipeline.settings import Repayments

_AMOUNTS = ("disbursed", "disbursed_later", "repaid", "charged_back", "recovered", "unknown")
_AMOUNT = re.compile(r"\d{1,14}(\.\d{1,12})?")


@dataclass(frozen=True)
class Links:
    """Which MIS loan answers for which expected loan; parallel arrays, sorted by ``row``.

    Attributes:
        row: The position of the expected loan.
        loan_id: The MIS loan that is asked.
        at: Its position in the balances; -1 if the MIS did not answer.
    """

    row: NDArray[np.intp]
    loan_id: NDArray[np.object_]
    at: NDArray[np.intp]


def unique_expected(expected: pd.DataFrame) -> pd.DataFrame:
    """One row for each loan that Kiva expects, in the same order.

    Returns:
        The first row of each ``internal_loan_id`` with ``loan_id`` (NFC, stripped),
        ``business_id`` (``kiva:`` and Kiva's own id where the internal one is empty) and
        ``shared``: whether several loans of Kiva's have the id.
    """
    loan_id = _plain_texts(expected["internal_loan_id"])
    loans = expected.assign(loan_id=loan_id, business_id=_named(loan_id, expected["kiva_id"]))
    # The same loan listed twice is one loan; two loans with one id are a fault in PA2.
    if loans["business_id"].is_unique:
        return loans.assign(shared=False).reset_index(drop=True)
    loans = loans.drop_duplicates(["business_id", "kiva_id"])
    shared = loans["business_id"].duplicated(keep=False)
    return loans.assign(shared=shared).drop_duplicates("business_id", ignore_index=True)


def business_ids(expected: pd.DataFrame) -> "pd.Series[str]":
    """The id of each expected loan's row: its internal id, else ``kiva:`` and Kiva's own."""
    return _named(_plain_texts(expected["internal_loan_id"]), expected["kiva_id"])


def _plain_texts(texts: "pd.Series[str]") -> "pd.Series[str]":
    if texts.str.isascii().all():  # ASCII is NFC
        return texts.str.strip()
    plain = [unicodedata.normalize("NFC", text).strip() for text in texts.tolist()]
    return pd.Series(plain, index=texts.index, dtype="str")


def _named(loan_id: "pd.Series[str]", kiva_id: "pd.Series[str]") -> "pd.Series[str]":
    return loan_id.where(loan_id != "", "kiva:" + kiva_id)


def link(loans: pd.DataFrame, members: pd.DataFrame, balance_ids: "pd.Series[str]") -> Links:
    """Say which MIS loan answers for which expected loan: its own id, or its members' ids.

    Args:
        loans: As ``unique_expected`` gave them.
        members: ``group_id, loan_id``.
        balance_ids: The loan ids of the balances, unique.
    """
    pairs = members[members["loan_id"] != ""].drop_duplicates(["group_id", "loan_id"])
    grouped = is_group(loans, members)
    row_of = pd.Index(loans["business_id"]).get_indexer(pairs["group_id"])
    row_of = np.where(grouped[row_of], row_of, -1) if len(loans) else row_of
    alone = np.flatnonzero(~grouped & (loans["loan_id"] != "").to_numpy())
    row = np.concatenate([alone, row_of[row_of >= 0]])
    asked = np.concatenate(
        [
            loans["loan_id"].to_numpy(dtype=object)[alone],
            pairs["loan_id"].to_numpy(dtype=object)[row_of >= 0],
        ]
    )
    if len(row) > len(alone):
        order = np.lexsort((asked.astype(str), row))
        row, asked = row[order], asked[order]
    return Links(row, asked, pd.Index(balance_ids).get_indexer(pd.Index(asked, dtype="str")))


def is_group(loans: pd.DataFrame, members: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each expected loan is a group's: several borrowers at Kiva, or members known.

    An individual loan may stand among the members as its own; that makes no group of it, whatever
    Kiva's borrower count says.
    """
    several: NDArray[np.bool_] = whole_numbers(loans["borrower_count"]) > 1
    own = (members["group_id"] == members["loan_id"]).to_numpy(dtype=bool)
    known: NDArray[np.bool_] = _among(loans, members["group_id"][~own])
    if several.any():
        several &= ~_among(loans, members["group_id"][own])
    return several | known


def _among(loans: pd.DataFrame, ids: "pd.Series[str]") -> NDArray[np.bool_]:
    return among(loans["loan_id"], ids)


def group_clients(loans: pd.DataFrame, members: pd.DataFrame) -> NDArray[np.object_]:
    """The client id that each group's draft was sent with; "" where that is not known."""
    clients = np.full(len(loans), "", dtype=object)
    if "client_id" in members:
        named = members.loc[members["client_id"] != "", ["group_id", "client_id"]]
        named = named.drop_duplicates("group_id")
        at = pd.Index(loans["business_id"]).get_indexer(named["group_id"])
        clients[at[at >= 0]] = named["client_id"].to_numpy(dtype=object)[at >= 0]
    return clients


def repayment_facts(
    loans: pd.DataFrame, links: Links, balances: pd.DataFrame, terms: Repayments
) -> dict[str, Any]:
    """Sum the answers up and hold them against Kiva's rows.

    Args:
        loans: As ``unique_expected`` gave them.
        links: As ``link`` gave them.
        balances: ``BALANCE_COLUMNS``, unique by loan id.
        terms: Which transactions count as repaid.

    Returns:
        The columns that ``REPAYMENT_RULES`` need beside ``loans``: sums are of the answered
        members; ``disbursed`` is all that was ever disbursed, also after the month's end, because
        that is what Kiva's price is of. ``amount`` is what was repaid, less what was charged back,
        as the settings say. A write-off is no money and never counts.
    """
    rows = len(loans)
    row, at = links.row[links.at >= 0], links.at[links.at >= 0]
    sums = {name: _summed(balances[name], row, at, rows) for name in _AMOUNTS}
    asked, answers = (np.bincount(where, minlength=rows) for where in (links.row, row))
    places = whole_numbers(balances["currency_digits"])[at]
    digits = np.zeros(rows, dtype=np.int64)
    digits[row] = places
    other_currency = np.zeros(rows, dtype=bool)
    currency = balances["currency"].str.upper().to_numpy(dtype=object)[at]
    kiva_currency = loans["loan_currency"].str.upper().to_numpy(dtype=object)[row]
    other_currency[row[(currency != kiva_currency) | (places != digits[row])]] = True
    client = np.full(rows, "", dtype=object)
    client[row] = balances["client_id"].to_numpy(dtype=object)[at]
    sums["disbursed"] += sums.pop("disbursed_later")
    undone, undone_loans = _undone(links, balances, rows)
    unreadable, twice = np.zeros((2, rows), dtype=bool)
    unreadable[row[balances["problems"].to_numpy()[at] != 0]] = True
    twice[row[np.bincount(at, minlength=len(balances))[at] > 1]] = True
    repaid = sums["repaid"]
    if terms.count_chargebacks:
        repaid = repaid - sums["charged_back"]
    if terms.recoveries == "count":
        repaid = repaid + sums["recovered"]
    return {
        **{name: sums[name] for name in ("disbursed", "recovered", "unknown")},
        "unknown_types": _types(balances["unknown_types"], row, at, rows),
        "hold_recoveries": terms.recoveries == "hold",
        "undone": undone,
        "undone_loans": undone_loans,
        "amount": repaid,
        "asked": asked,
        "answers": answers,
        "answered": (asked > 0) & (answers == asked) & ~unreadable,
        "asked_twice": twice,
        "currency_digits": digits,
        "same_currency": ~other_currency,
        "mis_client": client,
        "price": _prices(loans["loan_local_price"], digits),
    }


def same_ids(ours: NDArray[np.object_], theirs: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Whether two ids are the same but for case, width and spaces, or one of them is empty."""
    same: NDArray[np.bool_] = (ours == theirs) | (ours == "") | (theirs == "")
    for at in np.flatnonzero(~same):
        same[at] = _plain_id(ours[at]) == _plain_id(theirs[at])
    return same


def _undone(
    links: Links, balances: pd.DataFrame, rows: int
) -> tuple[NDArray[np.bool_], NDArray[np.object_]]:
    """Rows with a loan that was never disbursed, or undone, and which ones those of a group are."""
    answered = links.at >= 0
    in_all = whole_numbers(balances["disbursed"]) + whole_numbers(balances["disbursed_later"])
    nothing = np.flatnonzero(answered)[in_all[links.at[answered]] == 0]
    undone, told = np.zeros(rows, dtype=bool), np.full(rows, "", dtype=object)
    undone[links.row[nothing]] = True
    several = np.bincount(links.row, minlength=rows) > 1
    for at, loan_id in zip(links.row[nothing].tolist(), links.loan_id[nothing], strict=True):
        if several[at]:
            told[at] = f"{told[at]}, {loan_id}" if told[at] else f"loan {loan_id}"
    return undone, told


def _types(
    types: "pd.Series[str]", row: NDArray[np.intp], at: NDArray[np.intp], rows: int
) -> NDArray[np.object_]:
    """The unclassified types of transactions of each row's loans, in words."""
    named = types.to_numpy(dtype=object)[at]
    told = np.full(rows, "", dtype=object)
    for place in np.flatnonzero(named != "").tolist():
        known = told[row[place]]
        if named[place] not in known.split(", "):
            told[row[place]] = f"{known}, {named[place]}" if known else named[place]
    return told


def _plain_id(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def _summed(
    amounts: "pd.Series[int]", row: NDArray[np.intp], at: NDArray[np.intp], rows: int
) -> NDArray[np.int64]:
    total = np.zeros(rows, dtype=np.int64)
    np.add.at(total, row, whole_numbers(amounts)[at])
    return total


def _prices(texts: "pd.Series[str]", digits: NDArray[np.int64]) -> pd.api.extensions.ExtensionArray:
    text_codes, distinct = pd.factorize(texts)
    pairs, codes = np.unique(text_codes * 8 + digits, return_inverse=True)
    names = distinct.tolist()
    prices = [_price(names[pair // 8], pair % 8) for pair in pairs.tolist()]
    return pd.array(prices, dtype="Int64")[codes]


def _price(text: str, digits: int) -> int | None:
    return to_minor(text, digits) if _AMOUNT.fullmatch(text) else None
