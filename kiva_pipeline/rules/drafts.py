"""Loan drafts: MIS loans in, one row for each draft that Kiva should have out.

What must not break: every MIS row is in exactly one draft (Σ ``mis_rows`` = rows in), and one bad
member blocks its whole group, named by its loan id.
"""

from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pandas as pd

from kiva_pipeline.mis.records import INSTALMENT_RECORDS, LOAN_RECORDS
from kiva_pipeline.rules.draft_facts import draft_facts, window_details
from kiva_pipeline.rules.draft_rules import DRAFT_RULES
from kiva_pipeline.rules.fingerprint import field_hashes, payload_hash, seen_by_kiva
from kiva_pipeline.rules.judged import Judged, shaped
from kiva_pipeline.rules.lists import KivaLists
from kiva_pipeline.rules.members import (
    MEMBER_RULES,
    arrange_members,
    member_details,
    member_facts,
    member_names,
)
from kiva_pipeline.rules.payloads import draft_payloads
from kiva_pipeline.rules.reasons import ReasonLog
from kiva_pipeline.rules.rows import DRAFT_COLUMNS
from kiva_pipeline.rules.runs import any_of, starts_of, whole_numbers
from kiva_pipeline.rules.schedules import loan_positions, schedule_facts, schedule_texts
from kiva_pipeline.rules.texts import names_last_name
from kiva_pipeline.settings import Settings

INSTALMENT_PREFIX = "instalment_"
STRAY_INSTALMENT = "instalment_of_no_loan"


def build_loan_drafts(
    loans: pd.DataFrame,
    instalments: pd.DataFrame,
    kiva_lists: pd.DataFrame,
    *,
    settings: Settings,
    today: date,
    field_key: bytes,
) -> Judged:
    """Judge a month's loans and write the bodies of the good drafts.

    Args:
        loans: ``LOAN_COLUMNS``, one row a borrower, in any order.
        instalments: ``INSTALMENT_COLUMNS`` of these loans, in any order.
        kiva_lists: ``KIVA_LIST_COLUMNS``.
        settings: The partner's mapping and limits.
        today: The partner's day, for the disbursal window.
        field_key: The key of ``field_hashes``.

    Returns:
        ``DRAFT_COLUMNS``, sorted by ``business_id``. ``counts`` also has the instalments of no
        loan here (``instalment_of_no_loan``): rows that the MIS should not have given.
    """
    if loans.empty:
        log = ReasonLog(0)
        for rules, prefix in _RULEBOOKS:
            log.add(rules, np.zeros(0, dtype=np.int64), prefix=prefix)
        return Judged(
            pd.DataFrame({name: [] for name in DRAFT_COLUMNS}).astype(DRAFT_COLUMNS),
            log.counts | {STRAY_INSTALMENT: len(instalments)},
        )
    members = arrange_members(loans)
    drafts = draft_facts(
        members, KivaLists.of(kiva_lists, settings.mapping), settings.loan_drafts, today
    )
    members = _with_facts(members, drafts, instalments, settings, today)
    log = _judge(members, drafts)
    stray = loan_positions(instalments, pd.Index(members["loan_id"].unique())) < 0
    return Judged(
        shaped(_columns(members, drafts, instalments, log, field_key), DRAFT_COLUMNS),
        log.counts | {STRAY_INSTALMENT: int(np.count_nonzero(stray))},
    )


_RULEBOOKS = (
    (LOAN_RECORDS, ""),
    (INSTALMENT_RECORDS, INSTALMENT_PREFIX),
    (MEMBER_RULES, ""),
    (DRAFT_RULES, ""),
)


def _with_facts(
    members: pd.DataFrame,
    drafts: pd.DataFrame,
    instalments: pd.DataFrame,
    settings: Settings,
    today: date,
) -> pd.DataFrame:
    described = drafts["description"].to_numpy(dtype=object)[members["draft"].to_numpy()]
    return members.assign(
        **member_facts(members, settings.mapping, today),
        **schedule_facts(instalments, members),
        last_name_shown=names_last_name(described, members["last_name"]),
    )


def _judge(members: pd.DataFrame, drafts: pd.DataFrame) -> ReasonLog:
    log = ReasonLog(len(drafts), _PASSING)
    found = (
        (members["problems"].to_numpy(), None),
        (members["instalment_problems"].to_numpy(), None),
        (MEMBER_RULES.judge(members), member_details(members)),
    )
    row_of, names = members["draft"].to_numpy(), member_names(members)
    for (rules, prefix), (bits, details) in zip(_RULEBOOKS, found, strict=False):
        log.add(rules, bits, row_of=row_of, details=details, about=names, prefix=prefix)
    log.add(DRAFT_RULES, DRAFT_RULES.judge(drafts), details=window_details(drafts))
    return log


def _columns(
    members: pd.DataFrame,
    drafts: pd.DataFrame,
    instalments: pd.DataFrame,
    log: ReasonLog,
    field_key: bytes,
) -> dict[str, Any]:
    starts = starts_of(members["draft"].to_numpy())
    principal = pd.Series(np.add.reduceat(whole_numbers(members["principal"]), starts))
    unknown = any_of(members["principal"].isna().to_numpy(), starts)
    doubled = any_of(members["loan_id"].duplicated(keep=False).to_numpy(), starts)
    group, clients = drafts["is_group"], members["client_id"].to_numpy()[starts]
    return {
        "business_id": drafts["business_id"],
        **log.columns(),
        "mis_rows": drafts["members"],
        "loan_ids": _id_lists(members["loan_id"], starts),
        "client_id": drafts["group_client_id"].where(group, clients),
        # Told of a blocked draft too; empty if a member's can't be read or an id is doubled.
        "amount": principal.astype("Int64").mask(unknown | doubled),
        "currency": drafts["currency"],
        "currency_digits": drafts["currency_digits"],
        "effective_on": drafts["disbursed_on"],
        **_bodies(drafts, members, instalments, log.writable, field_key),
        "client_ids": _id_lists(members["client_id"], starts),
        **{name: drafts[name] for name in ("photo_ref", "photo_mime", "photo_sha256")},
    }


def _bodies(
    drafts: pd.DataFrame,
    members: pd.DataFrame,
    instalments: pd.DataFrame,
    writable: np.ndarray[Any, np.dtype[np.bool_]],
    field_key: bytes,
) -> dict[str, Any]:
    of_writable = members[writable[members["draft"].to_numpy()]]
    sendable = drafts[writable]
    made = {name: np.full(len(drafts), "", dtype=object) for name in _BODY_COLUMNS}
    payloads = draft_payloads(sendable, of_writable, schedule_texts(instalments, of_writable))
    for number, payload, photo in zip(
        sendable.index, payloads, sendable["photo_sha256"], strict=True
    ):
        seen = seen_by_kiva(payload, photo)
        values = (payload, payload_hash(seen), field_hashes(seen, field_key))
        for name, value in zip(_BODY_COLUMNS, values, strict=True):
            made[name][number] = value
    return made


# A draft that was accepted in time is not changed by its window's end.
_PASSING = frozenset({"window_ran_out", "window_not_open"})
_BODY_COLUMNS = ("payload", "payload_hash", "field_hashes")


def _id_lists(ids: "pd.Series[str]", starts: np.ndarray[Any, np.dtype[np.intp]]) -> list[str]:
    values, bounds = ids.tolist(), [*starts.tolist(), len(ids)]
    return [orjson.dumps(values[begin:end]).decode() for begin, end in pairwise(bounds)]
