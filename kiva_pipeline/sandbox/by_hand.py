"""What a person did and sees in PA2 before the pipeline came: drafts by hand, the last report.

The sandbox has no pages for it; a rehearsal gets the same as files. What must not break: a draft by
hand is kept as any other, so that a second copy of it is counted as one.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from kiva_pipeline.frames import private_folder
from kiva_pipeline.periods import Month
from kiva_pipeline.sandbox.drafts import receive_draft
from kiva_pipeline.sandbox.loans import REPAYABLE
from kiva_pipeline.sandbox.messages import Borrower, LoanDraft
from kiva_pipeline.sandbox.store import Store

WAITING_FILE, REPORT_FILE = "waiting-drafts.csv", "last-report.csv"


@dataclass(frozen=True, slots=True)
class DraftByHand:
    """A draft that somebody typed into PA2.

    Attributes:
        loan_id: The loan's id; a group's own.
        client_id: The client's id; a group's own.
        currency: ISO 4217 code.
        disbursed_on: ISO day.
        borrowers: Loan id, client id and exact decimal amount of each; one for an individual loan.
    """

    loan_id: str
    client_id: str
    currency: str
    disbursed_on: str
    borrowers: Sequence[tuple[str, str, str]]


def post_by_hand(store_path: Path, partner_id: str, drafts: Sequence[DraftByHand]) -> list[str]:
    """Keep drafts as PA2 does, without the API; their uuids, with which they can be published."""
    with Store(store_path) as store:
        return [
            str(receive_draft(store, partner_id, _typed(draft), None)["loan_draft_uuid"])
            for draft in drafts
        ]


def write_pa2_files(store_path: Path, folder: Path, partner_id: str, month: Month) -> list[Path]:
    """Write what PA2's pages show: the drafts that wait, and the figures of the last report.

    Args:
        store_path: The sandbox's file.
        folder: Made with mode 0700.
        partner_id: Whose.
        month: The last month that was finalized.
    """
    private_folder(folder)
    with Store(store_path) as store:
        waiting = store.rows(
            "SELECT business_key FROM draft WHERE partner_id = ? AND published_at IS NULL"
            " AND business_key <> '' ORDER BY business_key",
            partner_id,
        )
        reported = store.rows(
            "SELECT internal_loan_id, last_reported FROM loan WHERE partner_id = ?"
            " AND last_reported IS NOT NULL AND status IN (SELECT value FROM json_each(?))"
            " ORDER BY internal_loan_id",
            partner_id,
            orjson.dumps(sorted(REPAYABLE)).decode(),
        )
    return [
        _csv(folder / WAITING_FILE, ["loan_id"], [tuple(row) for row in waiting]),
        _csv(
            folder / REPORT_FILE,
            ["loan_id", "month", "principal_repaid"],
            [(loan_id, month, amount) for loan_id, amount in reported],
        ),
    ]


def _typed(draft: DraftByHand) -> LoanDraft:
    borrowers = [
        Borrower(loan_id=loan_id, client_id=client_id, amount=Decimal(amount))
        for loan_id, client_id, amount in draft.borrowers
    ]
    group: dict[str, Any] = {}
    if [draft.loan_id] != [borrower.loan_id for borrower in borrowers]:
        group = {"internal_loan_id": draft.loan_id, "internal_client_id": draft.client_id}
    return LoanDraft(
        entreps=borrowers,
        currency=draft.currency,
        disburse_time=draft.disbursed_on,
        **group,
    )


def _csv(file: Path, columns: list[str], rows: Sequence[tuple[object, ...]]) -> Path:
    file.touch(mode=0o600)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        writer.writerows(rows)
    return file
