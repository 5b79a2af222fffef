"""The table of a month: every figure of its report that waits for a person, as the ledger has it.

A person approves the table that they saw, known by its digest. What must not break: the digest
covers what an approval would let go (the loan, the guard and the figure), so that another table is
another digest; and only a guard of the planner's own is ever lifted, never a rule's.
"""

import hashlib

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.periods import Month
from kiva_pipeline.submission.approvals import approved_figures
from kiva_pipeline.submission.figures_sent import last_sent
from kiva_pipeline.submission.states import LIFTED_BY_APPROVAL, State
from kiva_pipeline.submission.tables import submission

# One row for each loan that waits, sorted by `loan_id` (code points).
HELD_COLUMNS = {
    "month": "str",
    "loan_id": "str",
    "state": "str",  # held | missing | needs_person
    "guard": "str",  # the reason code
    "reasons": "str",  # in the rules' JSON form, for `reporting.words`
    "last_month": "str",  # of the figure that Kiva has, or may have; "" if none is known
    "last_amount": "Int64",  # minor units of principal repaid, with `last_digits` decimals
    "last_digits": "Int64",
    "amount": "Int64",  # the new figure; empty where the MIS has none
    "currency": "str",
    "currency_digits": "Int64",
    "payload_hash": "str",  # what an approval is of; "" for a row without a figure to send
    "goes_if_approved": "bool",  # else it stays, but no longer counts against the month
    "approved": "bool",  # by a person already: the next run acts on it
}

_WAITING = (State.HELD, State.MISSING, State.NEEDS_PERSON)
_REPORT = "repayment"


def held_table(connection: Connection, month: Month) -> pd.DataFrame:
    """What waits for a person in a month's report, as its last run decided it.

    Args:
        connection: From ``Ledger.reading``.
        month: The report's month.

    Returns:
        ``HELD_COLUMNS``. An approval is a row of the table ``approval`` with kind ``repayment``,
        the month as period, and ``loan_id`` and ``payload_hash`` of a row of this table: all of
        them for the whole table, so that the month is released.
    """
    s = submission.c
    rows = connection.execute(
        sa.select(
            s.business_id, s.state, s.reason_code, s.reasons, s.amount, s.currency,
            s.currency_digits, s.payload_hash,
        )
        .where(
            s.kind == _REPORT,
            s.period == str(month),
            s.state.in_([state.value for state in _WAITING]),
        )
        .order_by(s.business_id)
    ).all()  # fmt: skip
    names = ["loan_id", "state", "guard", "reasons", "amount", "currency", "currency_digits",
             "payload_hash"]  # fmt: skip
    table = pd.DataFrame.from_records([tuple(row) for row in rows], columns=names)
    table = table.merge(_last(connection, table["loan_id"]), on="loan_id", how="left")
    given = approved_figures(connection, _REPORT, str(month))
    approved = {(row.business_id, row.payload_hash) for row in given}
    pairs = zip(table["loan_id"], table["payload_hash"], strict=True)
    table = table.assign(
        month=str(month),
        last_month=table["last_month"].fillna(""),
        goes_if_approved=table["guard"].isin(LIFTED_BY_APPROVAL)
        & (table["state"] == State.HELD.value),
        approved=[pair in approved for pair in pairs],
    )
    return table[list(HELD_COLUMNS)].astype(HELD_COLUMNS)


def table_digest(table: pd.DataFrame) -> str:
    """The digest of a month's table: the same loans, guards and figures give the same one.

    Args:
        table: ``HELD_COLUMNS``.
    """
    told = hashlib.sha256()
    rows = table[["month", "loan_id", "guard", "payload_hash"]].sort_values("loan_id")
    for row in rows.itertuples(index=False, name=None):
        # Lengths keep apart what separators inside ids could blur.
        told.update("".join(f"{len(text)}:{text}" for text in row).encode() + b"\n")
    return told.hexdigest()


def what_approval_does(state: str, guard: str) -> str:
    """In words, what becomes of a row of the table when a person approves it."""
    if state == State.HELD.value and guard in LIFTED_BY_APPROVAL:
        return "goes with the next run, as long as the figure stays the same"
    if state == State.MISSING.value:
        return "stays missing; the month no longer waits for it"
    return "stays as it is until the cause is mended; the month no longer waits for it"


def _last(connection: Connection, ids: "pd.Series[str]") -> pd.DataFrame:
    columns = ["loan_id", "last_month", "last_amount", "last_digits"]
    rows = []
    if len(ids):
        rows = last_sent(connection, _REPORT, ids.tolist(), above="", up_to=ids.iloc[-1])
    newest = pd.DataFrame.from_records(rows, columns=columns)
    return newest.astype({"loan_id": "str"})
