"""R: reading the rows that a re-run has to read, and nothing else.

The MIS's rows, Kiva's list, and what the ledger has of this month and of the last one: by the raw
driver into frames, with no rule and no comparison.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd

from kiva_pipeline.mis.source import RAW_BALANCES
from kiva_pipeline_tests.bench import facts, report_again
from kiva_pipeline_tests.bench.world import Task

prepare = report_again.prepare
outcome = report_again.outcome
_OF_THIS_MONTH = (
    "business_id", "version", "state", "reason_code", "reasons", "payload_hash", "amount",
    "currency", "currency_digits", "effective_on", "updated_at",
)  # fmt: skip


def run(task: Task) -> None:
    """Read."""
    ledger = str(Path(task.folder) / "ledger.sqlite")
    pd.read_parquet(task.kiva_loans)
    _read(task.mis, f"SELECT {', '.join(RAW_BALANCES)} FROM balances ORDER BY loan_id")
    for month, columns in (
        (facts.MONTH, _OF_THIS_MONTH),
        (facts.LAST_MONTH, ("business_id", "amount", "currency_digits")),
    ):
        _read(
            ledger,
            f"SELECT {', '.join(columns)} FROM submission WHERE kind = 'repayment' AND period = ?"
            " ORDER BY business_id",
            month,
        )


def _read(file: str, query: str, *values: str) -> pd.DataFrame:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        found = connection.execute(query, values)
        return pd.DataFrame(found.fetchall(), columns=[c[0] for c in found.description])
