"""Journals: notes marked for Kiva's lenders in, one row for each update that Kiva should have out.

What must not break: a journal can't be looked up or taken back at Kiva, so whatever is doubtful
(a doubled note, another client, a loan that Kiva doesn't have) is blocked.
"""

from typing import Any

import numpy as np
import orjson
import pandas as pd

from kiva_pipeline.mis.records import NOTE_RECORDS
from kiva_pipeline.rulebook import Rule, Rulebook, Severity
from kiva_pipeline.rules.fingerprint import field_hashes, payload_hash, seen_by_kiva
from kiva_pipeline.rules.judged import Judged, shaped
from kiva_pipeline.rules.reasons import ReasonLog
from kiva_pipeline.rules.repayment_facts import same_ids
from kiva_pipeline.rules.rows import JOURNAL_COLUMNS
from kiva_pipeline.rules.runs import run_lengths, starts_of, whole_numbers
from kiva_pipeline.rules.texts import in_first_person
from kiva_pipeline.settings import Settings

# Loans that have lenders who read updates. Which loans PA2 finds eligible is not documented.
JOURNAL_STATUSES = frozenset({"fundRaising", "raised", "payingBack", "ended", "defaulted"})
# Kiva documents no lengths; beyond these a person should look before it is public.
LONG_SUBJECT, LONG_BODY = 150, 10_000
_BLOCK, _WARN = Severity.BLOCK, Severity.WARN
# A journal that was accepted is not changed by what becomes of its loan at Kiva.
_PASSING = frozenset({"loan_not_at_kiva", "loan_takes_no_journal"})
_HTTPS = r"https://[^\s/@]+\.[^\s/@]+/\S*"

JOURNAL_RULES = Rulebook(
    "journals",
    [
        Rule(
            "note_twice", "note_id", "not unique", _BLOCK,
            "Two notes of this loan have the same id; correct the one that is wrong.",
            lambda f: f["mis_rows"] == 1,
        ),
        Rule(
            "loan_not_at_kiva", "internal_loan_id", "not in Kiva's list", _BLOCK,
            "Kiva does not have this loan yet; the note goes once the loan is published. A note"
            " about a group belongs to the group's own loan id.",
            lambda f: (f["loan_id"] == "") | f["at_kiva"],
        ),
        Rule(
            "loan_takes_no_journal", "internal_loan_id", "not in a status with lenders", _BLOCK,
            "The loan has no lenders to write to in its present status at Kiva.",
            lambda f: ~f["at_kiva"] | f["status"].isin(JOURNAL_STATUSES),
        ),
        Rule(
            "other_client", "internal_client_id", "another client", _BLOCK,
            "The note is about another client than Kiva's loan; write it on the right loan.",
            lambda f: f["same_client"],
        ),
        Rule(
            "no_client_id_to_send", "internal_client_id", "missing", _BLOCK,
            "Journals of this partner name the client, but neither Kiva nor the MIS has a client id"
            " for this loan; enter it in the MIS.",
            lambda f: ~f["client_needed"] | (f["client_to_send"] != ""),
        ),
        Rule(
            "no_subject", "subject", "missing", _BLOCK,
            "The note has no subject; give it one in the MIS.",
            lambda f: f["subject"] != "",
        ),
        Rule(
            "no_body", "body", "missing", _BLOCK,
            "The note has no text; write it in the MIS or take the mark for Kiva away.",
            lambda f: f["body"] != "",
        ),
        Rule(
            "image_not_https", "image_url", "not an https address", _BLOCK,
            "The image's address is not a full https address; correct it or take it out.",
            lambda f: (f["image_url"] == "") | f["image_url"].str.fullmatch(_HTTPS),
        ),
        Rule(
            "subject_long", "subject", "long", _WARN,
            f"The subject has more than {LONG_SUBJECT} characters; PA2 may cut it off.",
            lambda f: f["subject"].str.len() <= LONG_SUBJECT,
        ),
        Rule(
            "body_long", "body", "long", _WARN,
            f"The text has more than {LONG_BODY} characters; few lenders will read it.",
            lambda f: f["body"].str.len() <= LONG_BODY,
        ),
        Rule(
            "body_first_person", "body", "first person", _WARN,
            "The text seems to speak as “I” or “we”; check in PA2 who is speaking.",
            lambda f: ~f["body_first_person"],
        ),
    ],
)  # fmt: skip


def build_journal_updates(
    notes: pd.DataFrame, kiva_loans: pd.DataFrame, *, settings: Settings, field_key: bytes
) -> Judged:
    """Judge a month's notes and write the bodies of the good journals.

    Args:
        notes: ``NOTE_COLUMNS``; only notes that are marked for Kiva.
        kiva_loans: ``KIVA_LOAN_COLUMNS``, all of the partner's loans.
        settings: Whether journals name the client (``repayments.column_format``).
        field_key: The key of ``field_hashes``.

    Returns:
        ``JOURNAL_COLUMNS``, sorted by ``business_id``; Σ ``mis_rows`` is the number of notes.
    """
    arranged, bits = _arranged(notes)
    three = settings.repayments.column_format == "three_column"
    facts = _facts(arranged, kiva_loans, client_needed=three)
    log = ReasonLog(len(facts), _PASSING)
    log.add(NOTE_RECORDS, bits)
    log.add(JOURNAL_RULES, JOURNAL_RULES.judge(facts))
    return Judged(shaped(_columns(facts, log, field_key), JOURNAL_COLUMNS), log.counts)


def _arranged(notes: pd.DataFrame) -> tuple[pd.DataFrame, "np.ndarray[Any, np.dtype[np.int64]]"]:
    """One row for each business id, and all problems of the notes behind it."""
    whole = (notes["loan_id"] != "") & (notes["note_id"] != "")
    ids = (notes["loan_id"] + "/" + notes["note_id"]).where(whole, "row:" + notes["source_key"])
    texts = {column: notes[column].str.normalize("NFC") for column in ("subject", "body")}
    rows = notes.assign(business_id=ids, **texts).sort_values(
        ["business_id", "source_key"], kind="stable", ignore_index=True
    )
    if rows.empty:
        return rows.assign(mis_rows=0), np.zeros(0, dtype=np.int64)
    starts = starts_of(rows["business_id"].to_numpy())
    bits = np.bitwise_or.reduceat(rows["problems"].to_numpy(), starts)
    first = rows.iloc[starts].reset_index(drop=True)
    return first.assign(mis_rows=run_lengths(starts, len(rows))), bits


def _facts(notes: pd.DataFrame, kiva_loans: pd.DataFrame, *, client_needed: bool) -> pd.DataFrame:
    listed = kiva_loans[kiva_loans["internal_loan_id"] != ""].drop_duplicates("internal_loan_id")
    at = pd.Index(listed["internal_loan_id"]).get_indexer(notes["loan_id"])
    known = at >= 0
    client, status = (np.full(len(notes), "", dtype=object) for _ in range(2))
    client[known] = listed["internal_client_id"].to_numpy(dtype=object)[at[known]]
    status[known] = listed["status"].to_numpy(dtype=object)[at[known]]
    alone = np.zeros(len(notes), dtype=bool)
    alone[known] = whole_numbers(listed["borrower_count"])[at[known]] <= 1
    ours = notes["client_id"].to_numpy(dtype=object)
    return notes.assign(
        at_kiva=known,
        status=pd.Series(status, dtype="str"),
        # A group's note is about one of its members, whom Kiva's list does not name.
        same_client=same_ids(np.where(alone, ours, ""), client),
        client_to_send=pd.Series(np.where(client != "", client, ours), dtype="str"),
        client_needed=client_needed,
        body_first_person=in_first_person(notes["body"], [""] * len(notes)),
    )


def _columns(facts: pd.DataFrame, log: ReasonLog, field_key: bytes) -> dict[str, Any]:
    made = {
        name: np.full(len(facts), "", dtype=object)
        for name in ("payload", "payload_hash", "field_hashes")
    }
    for row, body in _bodies(facts[log.writable]):
        seen = seen_by_kiva(body)
        made["payload"][row] = body
        made["payload_hash"][row] = payload_hash(seen)
        made["field_hashes"][row] = field_hashes(seen, field_key)
    return {
        "business_id": facts["business_id"],
        **log.columns(),
        **made,
        "mis_rows": facts["mis_rows"],
        "loan_ids": [
            orjson.dumps([loan_id] if loan_id else []).decode() for loan_id in facts["loan_id"]
        ],
        "client_id": facts["client_to_send"],
        "amount": pd.Series(pd.NA, index=facts.index, dtype="Int64"),
        "currency": "",
        "currency_digits": pd.Series(pd.NA, index=facts.index, dtype="Int64"),
        "effective_on": facts["written_on"],
        "loan_id": facts["loan_id"],
    }


def _bodies(writable: pd.DataFrame) -> list[tuple[int, str]]:
    bodies = []
    for note in writable.itertuples():
        body = {"internal_loan_id": note.loan_id, "subject": note.subject, "body": note.body}
        if note.client_needed:
            body["internal_client_id"] = note.client_to_send
        if note.image_url:
            body["image_url"] = note.image_url
        bodies.append((note.Index, orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()))
    return bodies
