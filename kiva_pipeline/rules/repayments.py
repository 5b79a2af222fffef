"""The month's repayment report: one row for each loan that Kiva expects, always.

Kiva wants the cumulative principal repaid by the month's last day. What must not break: a loan
that the MIS can't answer for is ``missing``, never 0, and everything is computed and guarded as
*repaid*; only ``wire_amounts`` turns it into what is sent.
"""

from hashlib import sha256
from typing import Any

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from kiva_pipeline.json_texts import json_texts
from kiva_pipeline.mis.records import BALANCE_RECORDS
from kiva_pipeline.money import to_digits
from kiva_pipeline.periods import Month
from kiva_pipeline.rules.judged import Judged, shaped
from kiva_pipeline.rules.reasons import ReasonLog
from kiva_pipeline.rules.repayment_facts import (
    Links,
    group_clients,
    is_group,
    link,
    repayment_facts,
    same_ids,
    unique_expected,
)
from kiva_pipeline.rules.repayment_rules import REPAYMENT_RULES, repayment_details
from kiva_pipeline.rules.rows import REPORT_COLUMNS
from kiva_pipeline.rules.runs import run_lengths, starts_of, whole_numbers
from kiva_pipeline.settings import Settings

STRAY_BALANCE = "balance_of_no_loan"
MOST_DIGITS = 4  # of a currency, as the canonical records take them


def build_repayment_report(
    balances: pd.DataFrame,
    expected: pd.DataFrame,
    members: pd.DataFrame,
    *,
    settings: Settings,
    month: Month,
) -> Judged:
    """Judge one chunk of the loans that Kiva expects in a month's report.

    Args:
        balances: ``BALANCE_COLUMNS`` as of the month's last day, of these loans and of the
            members of these groups.
        expected: ``KIVA_LOAN_COLUMNS`` of loans in ``EXPECTED_STATUSES``; with ``still_expected``
            where the list is not today's.
        members: ``group_id, loan_id``: the members' loans of group loans, as frozen when the draft
            was sent; ``group_id`` is the group's ``internal_loan_id``. With ``client_id``, the
            group's own, where it is known.
        settings: The partner's column format and which transactions count.
        month: The month that is reported.

    Returns:
        ``REPORT_COLUMNS``, one row for each expected loan (by ``internal_loan_id``; one without
        any is ``kiva:`` and Kiva's id) in the same order. ``counts`` also has the balances that
        nobody asked for (``balance_of_no_loan``).
    """
    loans = unique_expected(expected)
    answers, answer_rows = _unique_balances(balances)
    links = link(loans, members, answers["loan_id"])
    facts = _facts(loans, links, answers, members, settings)
    log = ReasonLog(len(loans))
    _tell_unreadable(log, links, answers, facts)
    log.add(REPAYMENT_RULES, REPAYMENT_RULES.judge(facts), details=repayment_details(facts))
    asked_for = np.unique(links.at[links.at >= 0])
    stray = int(answer_rows.sum() - answer_rows[asked_for].sum())
    report = shaped(_columns(facts, links, answer_rows, log, month), REPORT_COLUMNS)
    report["payload_hash"] = _hashes(report, settings)
    return Judged(report.astype(REPORT_COLUMNS), log.counts | {STRAY_BALANCE: stray})


def wire_amounts(report: pd.DataFrame, settings: Settings) -> list[str]:
    """The amount of each row as Kiva is told it, in exact digits; "" for a row without one.

    Args:
        report: Rows with ``amount`` (repaid), ``disbursed`` and ``currency_digits``.
        settings: ``repayments.amount`` says which of the two Kiva was told to expect.
    """
    amounts = _wire_minor(report, settings)
    known, digits = amounts.notna().tolist(), whole_numbers(report["currency_digits"]).tolist()
    return [
        to_digits(minor, places) if is_known else ""
        for minor, places, is_known in zip(
            whole_numbers(amounts).tolist(), digits, known, strict=True
        )
    ]


def _wire_minor(report: pd.DataFrame, settings: Settings) -> "pd.Series[int]":
    if settings.repayments.amount == "principal_outstanding":
        return report["disbursed"] - report["amount"]
    return report["amount"]


def _unique_balances(balances: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """One balance for each loan id, doubled ones marked, and how many rows are behind each."""
    codes, _ = pd.factorize(balances["loan_id"])
    rows = np.bincount(codes).astype(np.int64)
    if len(rows) == len(balances):
        return balances.reset_index(drop=True), rows
    problems = np.zeros(len(rows), dtype=np.int64)
    np.bitwise_or.at(problems, codes, balances["problems"].to_numpy())
    problems[rows > 1] |= BALANCE_RECORDS.bit("duplicate_loan_id")
    first = balances.drop_duplicates("loan_id", ignore_index=True)
    return first.assign(problems=problems), rows


def _facts(
    loans: pd.DataFrame,
    links: Links,
    balances: pd.DataFrame,
    members: pd.DataFrame,
    settings: Settings,
) -> pd.DataFrame:
    facts = repayment_facts(loans, links, balances, settings.repayments)
    group = is_group(loans, members)
    borrowers = whole_numbers(loans["borrower_count"])
    # A group's figure is one only if all its members, no fewer than Kiva's borrowers, answered.
    facts["answered"] &= ~group | ((facts["asked"] >= borrowers) & (borrowers > 0))
    at_kiva = loans["internal_client_id"].to_numpy(dtype=object)
    ours = np.where(group, group_clients(loans, members), facts["mis_client"])
    return loans.assign(
        **facts,
        is_group=group,
        borrowers=borrowers,
        client_id=np.where(at_kiva != "", at_kiva, ours),
        same_client=same_ids(ours, at_kiva),
        client_needed=settings.repayments.column_format == "three_column",
        currency=loans["loan_currency"],
        price_text=loans["loan_local_price"],
    )


def _tell_unreadable(
    log: ReasonLog, links: Links, balances: pd.DataFrame, facts: pd.DataFrame
) -> None:
    answered = links.at >= 0
    bits = np.zeros(len(links.at), dtype=np.int64)
    bits[answered] = balances["problems"].to_numpy()[links.at[answered]]
    failed = np.flatnonzero(bits)
    of_group = facts["is_group"].to_numpy()[links.row[failed]]
    about = [
        f"loan {loan_id}" if grouped else ""
        for loan_id, grouped in zip(links.loan_id[failed], of_group, strict=True)
    ]
    log.add(BALANCE_RECORDS, bits[failed], row_of=links.row[failed], about=about)


def _columns(
    facts: pd.DataFrame,
    links: Links,
    answer_rows: NDArray[np.int64],
    log: ReasonLog,
    month: Month,
) -> dict[str, Any]:
    mis_rows = np.zeros(len(facts), dtype=np.int64)
    np.add.at(mis_rows, links.row[links.at >= 0], answer_rows[links.at[links.at >= 0]])
    unanswered = ~facts["answered"]
    return {
        "business_id": facts["business_id"],
        **log.columns(),
        "mis_rows": mis_rows,
        "loan_ids": _loan_ids(links, len(facts)),
        "client_id": facts["client_id"],
        **{
            name: facts[name].astype("Int64").mask(unanswered)
            for name in ("amount", "currency_digits", "disbursed")
        },
        "currency": facts["currency"],
        "effective_on": np.datetime64(month.last_day, "ms"),
        "payload_hash": "",
        "kiva_status": facts["status"],
        "still_expected": facts.get("still_expected", True),
    }


def _loan_ids(links: Links, rows: int) -> NDArray[np.object_]:
    lists = np.full(rows, "[]", dtype=object)
    if len(links.row):
        starts = starts_of(links.row)
        if len(starts) == len(links.row):  # one loan each
            lists[links.row] = [f"[{text}]" for text in json_texts(links.loan_id.tolist())]
            return lists
        ids, lengths = links.loan_id.tolist(), run_lengths(starts, len(links.row))
        lists[links.row[starts]] = [
            orjson.dumps(ids[begin : begin + length]).decode()
            for begin, length in zip(starts.tolist(), lengths.tolist(), strict=True)
        ]
    return lists


def _hashes(report: pd.DataFrame, settings: Settings) -> "pd.Series[str]":
    three = settings.repayments.column_format == "three_column"
    # The shortest form of an amount: 3500.00 and 3500.0 are the same figure to Kiva.
    minor = whole_numbers(_wire_minor(report, settings))
    digits = whole_numbers(report["currency_digits"])
    for _ in range(MOST_DIGITS):
        idle = (digits > 0) & (minor % 10 == 0)
        minor, digits = np.where(idle, minor // 10, minor), np.where(idle, digits - 1, digits)
    seen = zip(
        report["business_id"].tolist(),
        report["client_id"].tolist() if three else [None] * len(report),
        minor.tolist(),
        digits.tolist(),
        strict=True,
    )
    goes = report["state"].isin(["good", "held"])
    hashes = [sha256(row).hexdigest() for row in map(orjson.dumps, seen)]
    return pd.Series(hashes, index=report.index, dtype="str").where(goes, "")
