"""What the MIS may say of a loan that the ledger knows: cases for the tests of the planner.

A plan costs more than its rows do, so a test plans many ids at once, each a case of its own.
"""

import json
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

import pytest

from kiva_pipeline.submission.states import NEVER_SENT, State
from kiva_pipeline_tests.submission.books import (
    DRAFT,
    JOURNAL,
    Office,
    Row,
    blocked,
    draft_row,
    held,
    journal_row,
    missing,
    put,
    report_row,
    version,
)

UNSENT = sorted(NEVER_SENT)
LEDGER_STATES = [state.value for state in State if state is not State.UNCHANGED]
DAY_OPEN, DAY_CLOSED, DAY_NOT_YET = date(2026, 10, 6), date(2026, 10, 16), date(2026, 10, 1)
REPLACE = {"repayments": {"repayments_replace": True}}

# Of an id, what the MIS says: as it is in the ledger, or changed in the way that the name tells.
As = dict[str, Callable[[str], Any]]
DRAFT_AS: As = {
    "same": draft_row,
    "changed": lambda i: draft_row(i, use="to buy a cow."),
    "blocked": lambda i: blocked(draft_row(i, use="")),
    "held": lambda i: held(draft_row(i, use="to buy seed.")),
    "late": lambda i: blocked(draft_row(i), "disbursed_too_long_ago"),  # but the same
    "gone": lambda _: None,
}
JOURNAL_AS: As = {
    "same": journal_row,
    "changed": lambda i: journal_row(i, body="She sells less."),
    "blocked": lambda i: blocked(journal_row(i, body="")),
    "held": lambda i: held(journal_row(i, body="She sells.")),
    "late": lambda i: blocked(journal_row(i), "loan_ended"),  # but the same
    "gone": lambda _: None,
}
REPORT_AS: As = {
    "same": report_row,
    "changed": lambda i: report_row(i, 150_00),
    "blocked": lambda i: blocked(report_row(i, 9_999_00)),
    "held": lambda i: held(report_row(i, 160_00)),
    "late": lambda i: held(report_row(i), "price_differs"),  # but the same
    "missing": missing,
    "gone": lambda _: None,
}
CREATES = pytest.mark.parametrize(
    ("kind", "ways"), [(DRAFT, DRAFT_AS), (JOURNAL, JOURNAL_AS)], ids=["draft", "journal"]
)


class Case:
    """A ledger with one version in ``state`` for each way, and what the MIS says of each id."""

    def __init__(
        self, office: Office, kind: Any, ways: As, states: Iterable[str], **version_facts: Any
    ) -> None:
        self.rows: list[Row] = []
        self.listed: list[str] = []
        for state in states:
            for way, row_of in ways.items():
                loan_id = f"{state}-{way}"
                known = ways["same"](loan_id)
                assert known is not None
                put(office.book, version(kind, known, state, **version_facts))
                self.listed.append(loan_id)
                row = row_of(loan_id)
                self.rows += [row] if row else []
        self.rows.sort(key=lambda row: row["business_id"])


def by_way(plan: dict[str, Row], *names: str) -> dict[str, Any]:
    """Of each id (``state-way``, a journal's without its note): the named columns of its plan."""
    return {
        key.removesuffix("/1"): tuple(row[name] for name in names) if len(names) > 1 else row[names[0]]
        for key, row in plan.items()
    }  # fmt: skip


def only(plan: dict[str, Row]) -> Row:
    ((_, row),) = plan.items()
    return row


def detail(row: Row) -> str:
    (reason,) = json.loads(row["reasons"])
    text: str = reason["detail"]
    return text


def nothing_to_write(plan: dict[str, Row]) -> bool:
    return {row["write"] for row in plan.values()} <= {""}
