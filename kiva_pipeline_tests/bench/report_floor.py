"""F: the bare floor of a month's report. No rule, no memory of before, no reason for anything."""

import hashlib
import sqlite3
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

import orjson

from kiva_pipeline_tests.bench.facts import MONTH
from kiva_pipeline_tests.bench.raw_http import RawConnection
from kiva_pipeline_tests.bench.raw_ledger import RawLedger
from kiva_pipeline_tests.bench.world import Task

Batch = list[tuple[str, int]]
_NONE: Mapping[str, str] = {}
_FIGURES = "SELECT loan_id, repaid_minor - charged_back_minor FROM balances ORDER BY loan_id"


def prepare(task: Task) -> None:
    """Nothing: its ledger is made by opening it."""


def run(task: Task) -> None:
    """Read, post, remember."""
    with closing(sqlite3.connect(f"file:{task.mis}?mode=ro", uri=True)) as mis:
        found = mis.execute(_FIGURES)
        send(task, iter(lambda: found.fetchmany(task.batch), []))


def send(task: Task, batches: Iterable[Batch], hashes: Mapping[str, str] = _NONE) -> None:
    """Post batches of ``loan_id, minor units`` over one connection, each written ahead.

    Args:
        task: What to do.
        batches: What goes into each request.
        hashes: By loan id, to be kept beside the figure.
    """
    ledger = RawLedger(ledger_file(task))
    connection = RawConnection(task.port, "/v3/partner/145/repayments")
    answered = None
    for number, rows in enumerate(batches, start=1):
        body = orjson.dumps(
            {
                "repayments": [
                    {"loan_id": loan_id, "amount": orjson.Fragment(f"{m // 100}.{m % 100:02d}")}
                    for loan_id, m in rows
                ]
            }
        )
        request_id = str(uuid.uuid4())
        digest = hashlib.sha256(body).hexdigest()
        items = [(loan_id, MONTH, minor, hashes.get(loan_id), number) for loan_id, minor in rows]
        ledger.step(answered, (number, request_id, len(rows), digest, time.time()), items)
        answer = orjson.loads(connection.post(body, request_id))
        answered = (number, 200, answer["upload_id"])
    ledger.step(answered, None, ())
    connection.close()
    ledger.close()


def outcome(task: Task) -> dict[str, int]:
    """What its ledger says that Kiva has."""
    with closing(sqlite3.connect(ledger_file(task))) as ledger:
        rows, total = ledger.execute(
            "SELECT count(*), sum(amount) FROM item JOIN attempt ON attempt.id = item.attempt"
            " WHERE status = 200 AND month = ?",
            (MONTH,),
        ).fetchone()
    return {"accepted": rows, "total": total or 0}


def ledger_file(task: Task) -> str:
    """Where its ledger is."""
    return str(Path(task.folder) / "raw.sqlite")
