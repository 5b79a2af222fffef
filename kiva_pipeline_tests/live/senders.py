"""A sender for the tests of the ledger: here, or in a process of its own that can be killed.

python -m kiva_pipeline_tests.live.senders LEDGER_URL KIVA_URL FOLDER RUN_ID
"""

import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.ledger_writes import insert_rows
from kiva_pipeline.submission.submit import SubmitOptions, SubmitResult, submit
from kiva_pipeline.submission.tables import submission
from kiva_pipeline_tests.live.ledgers import ledger_at
from kiva_pipeline_tests.partner_api.servers import Asked, HttpServer, Reply
from kiva_pipeline_tests.submission import books

LOANS = [f"{n:06}" for n in range(1, 9)]
ROWS = [books.report_row(loan) for loan in LOANS]
A_BATCH = 2
BATCHES = len(LOANS) // A_BATCH


class Kiva(HttpServer):
    """Takes every report; from the n-th on, it answers when it is told to.

    Attributes:
        arrived: Set once the request that waits has arrived.
        go_on: Lets it be answered.
    """

    def __init__(self, *, wait_at: int | None = None) -> None:
        super().__init__(self._answer)
        self._wait_at = wait_at
        self.arrived = threading.Event()
        self.go_on = threading.Event()

    @property
    def posts(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == "POST"]

    def _answer(self, asked: Asked) -> Reply:
        if asked.method == "GET":
            return Reply({"total_records": 0, "data": []})
        number = len(self.posts)
        if number == self._wait_at:
            self.arrived.set()
            assert self.go_on.wait(60)
        return Reply({"code": "api.success", "message": "", "upload_id": number, "problems": []})


def know_august(book: Ledger, rows: Sequence[dict[str, Any]]) -> None:
    """The figures of the month before, adopted where none is known: a first one would be held."""
    with book.reading() as connection:
        s = submission.c
        known = set(connection.execute(sa.select(s.business_id)).scalars())
    facts = {
        "kind": "repayment", "period": "2026-08", "month": "2026-08", "version": 1,
        "state": "accepted", "reason_code": "adopted", "reasons": "", "payload_hash": "",
        "field_hashes": "", "effective_on": "2026-08-31", "client_ids": "[]",
    }  # fmt: skip
    same = ("business_id", "amount", "disbursed", "currency", "currency_digits", "client_id",
            "loan_ids")  # fmt: skip
    new = [facts | {n: row[n] for n in same} for row in rows if row["business_id"] not in known]
    with book.writing() as connection:
        insert_rows(connection, new, books.actor("adoption"))


def of_september(book: Ledger) -> list[dict[str, Any]]:
    """Every version of September's figures, oldest first."""
    return [row for row in books.versions(book) if row["period"] == "2026-09"]


def states(book: Ledger) -> dict[str, str]:
    """What became of September's figures."""
    return {row["business_id"]: row["state"] for row in of_september(book)}


def send(
    book: Ledger, kiva_url: str, folder: Path, *, run_id: str = "run-1",
    rows: Sequence[dict[str, Any]] = ROWS, wait_seconds: float = 0,
    state: dict[str, Any] | None = None,
) -> SubmitResult:  # fmt: skip
    """September's report, in batches of two, one at a time."""
    know_august(book, rows)
    settings = books.settings_for(
        kiva_url,
        repayments={"batch_size": A_BATCH, "mass_change": {"share": 1, "at_least": 10_000}},
        state={"wait_for_lock_seconds": wait_seconds, "folder": str(folder)} | (state or {}),
    )
    folder = Path(tempfile.mkdtemp(dir=folder))
    with PartnerApi.open(settings, books.SECRETS) as api:
        return submit(
            books.submission_of(
                books.REPAYMENT, rows, settings, folder,
                listed=lambda: books.kiva_loans(*[row["business_id"] for row in rows]),
            ),
            ledger=book, api=api, settings=settings, actor=books.actor(run_id),
            spool_folder=folder, options=SubmitOptions(pause=lambda _seconds: None),
        )  # fmt: skip


if __name__ == "__main__":
    url, kiva_url, folder, run_id = sys.argv[1:]
    with ledger_at(url) as book:
        send(book, kiva_url, Path(folder), run_id=run_id)
