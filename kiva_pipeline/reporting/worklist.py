"""What a person must do now: one line a thing, in words, without a borrower's name.

Made from the ledger's rows, so it is the same whether Dagster, the command line or nobody asked.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from kiva_pipeline.periods import window_closes_on
from kiva_pipeline.reporting.next_step import commands
from kiva_pipeline.submission.ledger import Ledger, rows_in_states
from kiva_pipeline.submission.states import (
    ADOPTED,
    ADOPTED_WAITING,
    MONTH_HELD,
    SEEN_AT_KIVA,
    SENTENCES,
    State,
)

# In the order in which they are worked on: what is unknown first, then what is wrong, then what
# waits in PA2.
_ORDER = [
    State.UNCERTAIN, State.REJECTED, State.NEEDS_PERSON, State.HELD, State.MISSING, State.BLOCKED,
    State.DEFERRED, State.ACCEPTED,
]  # fmt: skip
WORKLIST_STATES = tuple(_ORDER)
WORKLIST_COLUMNS = {
    "month": "str",
    "stream": "str",
    "id": "str",
    "state": "str",
    "code": "str",
    "field": "str",
    "to_do": "str",
    "detail": "str",
    "by": "str",  # the last day, where there is one
    "link": "str",
    "command": "str",  # what to type once the person has looked; empty where that is done elsewhere
}
_STREAMS = {"loan_draft": "loan drafts", "repayment": "repayments", "journal": "journals"}
# Kiva's own list shows the loan: whoever had to publish it has done so.
_PUBLISHED = {ADOPTED, SEEN_AT_KIVA}
# How it came to be accepted; nobody has to do anything about that.
_HISTORY = {ADOPTED, ADOPTED_WAITING, SEEN_AT_KIVA}
_IN_PA2 = {
    "loan_draft": "Review the draft in PA2 and publish it.",
    "journal": "Open the link in PA2, review the journal and publish it.",
}


def worklist(rows: Iterable[Mapping[str, Any]], today: date) -> list[dict[str, str]]:
    """Ledger rows in, the lines of the worklist out (``WORKLIST_COLUMNS``), most urgent first.

    Args:
        rows: ``submission`` rows in ``WORKLIST_STATES``, the newest version of each identity.
        today: The partner's day; drafts whose 30 days are over need no review any more.

    Returns:
        Rows that wait only because their month is held as a whole are one line: they are one thing
        to do, and thousands of lines would bury all others.
    """
    lines: list[dict[str, str]] = []
    of_month: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if row["reason_code"] == MONTH_HELD and row["state"] == State.HELD:
            of_month.setdefault(row["month"], []).extend(_lines(row, today))
        else:
            lines += _lines(row, today)
    lines += [
        waiting[0] | {"id": f"{len(waiting):,} loans", "command": f"kiva-pipeline held {month}"}
        for month, waiting in of_month.items()
    ]
    rank = {state.value: place for place, state in enumerate(_ORDER)}
    return sorted(lines, key=lambda line: (rank[line["state"]], line["by"] or "9", line["id"]))


def _lines(row: Mapping[str, Any], today: date) -> list[dict[str, str]]:
    kind, state = row["kind"], row["state"]
    shut = ""
    if kind == "loan_draft" and row["effective_on"]:
        shut = window_closes_on(date.fromisoformat(row["effective_on"])).isoformat()
    common = {
        "month": row["month"],
        "stream": _STREAMS[kind],
        "id": row["business_id"],
        "state": state,
        "by": shut,
        "link": row["confirm_url"] or "",
        "command": next(iter(commands(row)), ""),
    }
    code = row["reason_code"]
    told = json.loads(row["reasons"]) if row["reasons"] and code not in _HISTORY else []
    lines = [
        common
        | {
            "code": reason["code"],
            "field": reason["field"],
            "to_do": reason["sentence"],
            "detail": ": ".join(str(reason[k]) for k in ("value_class", "detail") if reason[k]),
        }
        for reason in told
    ]
    can_go = not shut or shut >= f"{today}"
    if state == State.ACCEPTED and kind in _IN_PA2 and can_go and code not in _PUBLISHED:
        lines.append(
            common | {"code": "publish", "field": "", "to_do": _IN_PA2[kind], "detail": ""}
        )
    if not lines and state != State.ACCEPTED:
        lines.append(
            common | {"code": code, "field": "", "to_do": SENTENCES.get(code, code), "detail": ""}
        )
    return lines


def month_worklist(ledger: Ledger, today: date, month: str | None) -> list[dict[str, str]]:
    """The worklist of a month, or of all months, from the ledger."""
    with ledger.reading() as connection:
        rows = rows_in_states(connection, WORKLIST_STATES, month)
    return worklist([row._mapping for row in rows], today)  # noqa: SLF001  public Row API
