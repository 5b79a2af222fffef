"""Approves what a guard holds: one row, or the whole table of a month that a person was shown.

What must not break: an approval is of this very figure (by the hash of what Kiva would see), a
table by its digest; another table than the one shown is refused. No approval lifts what a rule
holds: sending it would be wrong money, whoever approves it.
"""

import hashlib
import json
from dataclasses import dataclass, replace

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.errors import NotAllowedNowError, PipelineError, SettingsError
from kiva_pipeline.periods import Month, Phase
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission import ledger_writes as writes
from kiva_pipeline.submission.acts import Person, among_senders
from kiva_pipeline.submission.approvals import approved_figures
from kiva_pipeline.submission.held import held_table, table_digest
from kiva_pipeline.submission.ledger import Ledger, now_text
from kiva_pipeline.submission.reporting_period import month_marks, report_phase
from kiva_pipeline.submission.states import LIFTED_BY_APPROVAL, SENTENCES, State
from kiva_pipeline.submission.tables import approval, submission

_REPORT, _DRAFT = "repayment", "loan_draft"
SHORTEST_DIGEST = 12  # what a person may shorten it to


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for a person in a month, as its last runs decided it.

    Attributes:
        month: Which.
        rows: ``HELD_COLUMNS`` and ``kind``, sorted by kind and id.
        digest: Of the whole table; the same rows, guards and figures give the same one.
    """

    month: Month
    rows: pd.DataFrame
    digest: str


def waiting(connection: Connection, month: Month) -> Waiting:
    """What is held or missing of a month: figures of its report, and its drafts."""
    report = held_table(connection, month).assign(kind=_REPORT)
    drafts = _held_drafts(connection, month, report)
    told = hashlib.sha256(table_digest(report).encode())
    for row in drafts[["loan_id", "guard", "payload_hash"]].itertuples(index=False, name=None):
        told.update("".join(f"{len(text)}:{text}" for text in row).encode())
    rows = report if drafts.empty else pd.concat([report, drafts], ignore_index=True)
    return Waiting(month, rows, told.hexdigest())


def approve(
    book: Ledger,
    settings: Settings,
    month: Month,
    who: Person,
    *,
    loan_id: str | None = None,
    table: str | None = None,
) -> pd.DataFrame:
    """Approve one row of a month's table, or all of it.

    Args:
        book: The ledger.
        settings: The partner's.
        month: Which month.
        who: The person.
        loan_id: One loan or group.
        table: The digest of the whole table as it was shown; its first twelve digits are enough.

    Returns:
        The rows of ``Waiting.rows`` that are approved now.

    Raises:
        SettingsError: Neither or both of ``loan_id`` and ``table`` were given.
        PipelineError: The loan does not wait in this month.
        NotAllowedNowError: The table is another one now, no approval lifts the row's guard, or it
            is approved already.
        SenderBusyError: A sender is at work.
    """
    if (loan_id is None) == (table is None):
        raise SettingsError(
            "What is approved?", "Give a loan's id, or the digest of the whole table by --table."
        )
    with among_senders(book, settings, "approve", who), book.writing() as connection:
        shown = waiting(connection, month)
        if report_phase(settings, month, month_marks(connection)) is Phase.CLOSED:
            # Drafts of the month may go as long as PA2 takes their day.
            shown = replace(shown, rows=shown.rows[shown.rows["kind"] != _REPORT])
            if shown.rows.empty:
                raise NotAllowedNowError(
                    f"The report of {month} is final: nothing of it can go any more.",
                    "The figures go with the next month's report, where they can be approved.",
                )
        rows = _one(connection, shown, loan_id) if loan_id else _whole(shown, table or "")
        _write(connection, month, rows, who)
    return rows


def _held_drafts(connection: Connection, month: Month, report: pd.DataFrame) -> pd.DataFrame:
    s = submission.c
    rows = connection.execute(
        sa.select(
            s.business_id, s.state, s.reason_code, s.reasons, s.amount, s.currency,
            s.currency_digits, s.payload_hash,
        )
        .where(s.kind == _DRAFT, s.month == str(month), s.state == State.HELD.value)
        .order_by(s.business_id)
    ).all()  # fmt: skip
    names = ["loan_id", "state", "guard", "reasons", "amount", "currency", "currency_digits",
             "payload_hash"]  # fmt: skip
    drafts = pd.DataFrame.from_records([tuple(row) for row in rows], columns=names)
    given = {
        (row.business_id, row.payload_hash) for row in approved_figures(connection, _DRAFT, "")
    }
    drafts = drafts.assign(
        month=str(month),
        last_month="",
        last_amount=pd.NA,
        last_digits=pd.NA,
        goes_if_approved=drafts["guard"].isin(LIFTED_BY_APPROVAL),
        approved=[pair in given for pair in zip(drafts["loan_id"], drafts["payload_hash"],
                                                strict=True)],
        kind=_DRAFT,
    )  # fmt: skip
    return drafts[list(report.columns)].astype(report.dtypes.to_dict())


def _whole(shown: Waiting, table: str) -> pd.DataFrame:
    typed = table.strip().lower()
    if len(typed) < SHORTEST_DIGEST:
        raise SettingsError(
            "That is not the digest of a table.",
            f"Copy it from `kiva-pipeline held {shown.month}`.",
        )
    if shown.rows.empty:
        raise NotAllowedNowError(f"Nothing of {shown.month} waits.", "There is nothing to approve.")
    if not shown.digest.startswith(typed):
        raise NotAllowedNowError(
            f"The table of {shown.month} is not the one that was shown: it has"
            f" {len(shown.rows):,} rows now, and its digest is {shown.digest[:SHORTEST_DIGEST]}.",
            f"Nothing was approved. Look again with `kiva-pipeline held {shown.month}`.",
        )
    left = shown.rows[~shown.rows["approved"]]
    if left.empty:
        raise NotAllowedNowError(
            f"The whole table of {shown.month} is approved already.",
            f"`kiva-pipeline run {shown.month}` acts on it.",
        )
    return left


def _one(connection: Connection, shown: Waiting, loan_id: str) -> pd.DataFrame:
    rows = shown.rows[shown.rows["loan_id"] == loan_id]
    if rows.empty:
        raise PipelineError(
            f"{loan_id} does not wait in {shown.month}{_what_it_is(connection, loan_id)}.",
            f"`kiva-pipeline held {shown.month}` lists what does.",
        )
    for guard, reasons in rows.loc[~rows["goes_if_approved"], ["guard", "reasons"]].to_numpy():
        told = json.loads(reasons)[0]["sentence"] if reasons else SENTENCES.get(guard, guard)
        raise NotAllowedNowError(
            f"No approval lets {loan_id} go: {told}",
            "It goes once its cause is mended. If the whole month waits, `kiva-pipeline approve"
            f" --month {shown.month} --table` lets the others go.",
        )
    if rows["approved"].all():
        raise NotAllowedNowError(
            f"{loan_id} is approved already.", f"`kiva-pipeline run {shown.month}` sends it."
        )
    return rows[~rows["approved"]]


def _what_it_is(connection: Connection, loan_id: str) -> str:
    s = submission.c
    found = connection.execute(
        sa.select(s.kind, s.month, s.state).where(s.business_id == loan_id).order_by(s.id.desc())
    ).first()
    if found is None:
        return ": the ledger does not know it"
    return f": the {found.kind.replace('_', ' ')} of {found.month} is {found.state}"


def _write(connection: Connection, month: Month, rows: pd.DataFrame, who: Person) -> None:
    now = now_text()
    connection.execute(
        approval.insert(),
        [
            {
                "at": now, "who": who.name, "why": who.why, "kind": kind,
                "period": str(month) if kind == _REPORT else "", "business_id": loan_id,
                "payload_hash": payload_hash,
            }
            for kind, loan_id, payload_hash in zip(
                rows["kind"], rows["loan_id"], rows["payload_hash"], strict=True
            )
        ],
    )  # fmt: skip
    s = submission.c
    states = [State.HELD.value, State.MISSING.value, State.NEEDS_PERSON.value]
    for kind, ids in rows.groupby("kind")["loan_id"]:
        of_kind = (s.kind == kind) & (s.month == str(month)) & s.state.in_(states)
        for start in range(0, len(ids), _IDS_AT_ONCE):
            these = of_kind & s.business_id.in_(ids.iloc[start : start + _IDS_AT_ONCE].tolist())
            writes.note_rows(connection, these, "approved", s.state, who.why, who.actor)


_IDS_AT_ONCE = 500
