"""Our own run of a month's report: the steps of the assets, one after the other, without Dagster.

The same functions, the same spooled frames between them, the full ledger. What is not measured is
the making of the ledger, which happens once in a partner's life.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from kiva_pipeline.expected import ExpectedLists
from kiva_pipeline.frames import FrameSpool, StoredFrame
from kiva_pipeline.mis.records import canonical_balances, empty_frame
from kiva_pipeline.mis.source import RAW_BALANCES
from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.periods import Month
from kiva_pipeline.rules.rows import REPORT_COLUMNS
from kiva_pipeline.settings import Secrets, Settings, load_settings
from kiva_pipeline.streams import (
    ASKED_BALANCE_COLUMNS,
    asked_balances,
    group_members,
    repayment_report,
    report_submission,
)
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.reporting_period import marks_of_ledger, report_phase
from kiva_pipeline.submission.submit import SubmitOptions, submit
from kiva_pipeline.submission.tables import submission
from kiva_pipeline_tests.bench import facts
from kiva_pipeline_tests.bench.facts import MONTH
from kiva_pipeline_tests.bench.world import Task, write_settings

CHUNK_IDS = 10_000


class BalanceTable:
    """A source that has balances only, read by the raw driver."""

    def __init__(self, file: str) -> None:
        self._connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)

    def balances(self, loan_ids: Sequence[str], as_of: date) -> Iterator[pd.DataFrame]:
        """``RAW_BALANCES`` of a range of ids: the bench asks for all loans that there are."""
        del as_of
        if not loan_ids:
            return
        query = (
            f"SELECT {', '.join(RAW_BALANCES)} FROM balances WHERE loan_id BETWEEN ? AND ?"
            " ORDER BY loan_id"
        )
        found = self._connection.execute(query, (loan_ids[0], loan_ids[-1]))
        while rows := found.fetchmany(CHUNK_IDS):
            yield pd.DataFrame(rows, columns=list(RAW_BALANCES), dtype=object)

    def group_members(self, group_ids: Sequence[str]) -> pd.DataFrame:
        """No groups."""
        return pd.DataFrame({"group_id": list(group_ids), "loan_id": list(group_ids)}, dtype="str")

    def close(self) -> None:
        self._connection.close()


def prepare(task: Task) -> None:
    """Settings, and a ledger that holds the month before; pandera imports itself at its first use."""
    canonical_balances(pd.DataFrame([facts.balance(0)], columns=list(RAW_BALANCES), dtype=object))
    write_settings(
        Path(task.folder), task.port, batch=task.batch, in_flight=task.in_flight, mis=Path(task.mis)
    )
    with closing(_ledger(load_settings(task.settings_file))) as ledger:
        for first in range(0, task.rows, CHUNK_IDS):
            numbers = range(first, min(first + CHUNK_IDS, task.rows))
            with ledger.writing() as connection:
                connection.execute(submission.insert(), [_sent_before(n) for n in numbers])


def _sent_before(number: int) -> dict[str, Any]:
    loan_id = facts.loan_id(number)
    return {
        "kind": "repayment", "period": facts.LAST_MONTH, "month": facts.LAST_MONTH,
        "business_id": loan_id, "version": 1, "state": "accepted", "reason_code": "accepted",
        "reasons": "", "payload_hash": f"{number:064x}", "field_hashes": "",
        "amount": facts.repaid_before_minor(number), "disbursed": facts.price_minor(number),
        "currency": "KES", "currency_digits": 2, "effective_on": "2026-08-31",
        "client_id": facts.client_id(number), "loan_ids": f'["{loan_id}"]', "client_ids": "",
        "remote_ref": "U0", "confirm_url": "", "run_id": "before",
        "updated_at": "2026-09-05T08:00:00.000000Z",
    }  # fmt: skip


def run(task: Task) -> None:
    """A month's report from the MIS to Kiva."""
    settings = load_settings(task.settings_file)
    month = Month.parse(MONTH)
    spool, kiva_loans = settings.frames_folder / ".spool", StoredFrame(Path(task.kiva_loans))
    secrets = Secrets.from_environment(settings.environment)
    with (
        closing(_ledger(settings)) as ledger,
        closing(BalanceTable(task.mis)) as mis,
        PartnerApi.open(settings, secrets) as api,
    ):
        source: Any = mis
        expected = _expected(settings, ledger, month, kiva_loans)
        members = group_members(expected, ledger, source)
        with FrameSpool(spool, empty_frame(ASKED_BALANCE_COLUMNS)) as balances:
            for chunk in asked_balances(source, expected, members, month.last_day):
                balances.append(chunk)
        with FrameSpool(spool, empty_frame(REPORT_COLUMNS)) as report:
            for judged in repayment_report(balances.finished, expected, settings, month):
                report.append(judged.rows)
        submit(
            report_submission(month, report.finished, settings, kiva_loans.read),
            ledger=ledger,
            api=api,
            settings=settings,
            actor=Actor(who="run", run_id="bench"),
            spool_folder=spool,
            options=SubmitOptions(),
        )


def _expected(
    settings: Settings, ledger: Ledger, month: Month, kiva_loans: StoredFrame
) -> pd.DataFrame:
    lists = ExpectedLists(settings.expected_folder)
    phase = report_phase(settings, month, marks_of_ledger(ledger))
    today = settings.clock.today()
    return lists.of_month(month, kiva_loans.read(), phase=phase, today=today, keep=True).loans


def outcome(task: Task) -> dict[str, int]:
    """What its ledger says that Kiva has."""
    with closing(sqlite3.connect(Path(task.folder) / "ledger.sqlite")) as ledger:
        rows, total = ledger.execute(
            "SELECT count(*), sum(amount) FROM submission WHERE state = 'accepted' AND period = ?",
            (MONTH,),
        ).fetchone()
    return {"accepted": rows, "total": total or 0}


def _ledger(settings: Settings) -> Ledger:
    return Ledger.open(
        settings.ledger_url,
        environment=settings.environment.value,
        partner_id=settings.partner.id,
    )
