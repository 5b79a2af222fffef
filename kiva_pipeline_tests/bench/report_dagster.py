"""A month's report through Dagster: Kiva's list page by page, the demo MIS, every asset, the ledger.

It is for the peak memory, so the ledger is made ready in a process of its own.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg

from kiva_pipeline.automation.jobs import REPAYMENTS_JOB
from kiva_pipeline.definitions import build_definitions
from kiva_pipeline.settings import load_settings
from kiva_pipeline_tests.bench import report_ours
from kiva_pipeline_tests.bench.facts import MONTH
from kiva_pipeline_tests.bench.world import Task

prepare = report_ours.prepare


def run(task: Task) -> None:
    """Materialize the assets of the month's report in this process."""
    definitions = build_definitions(load_settings(task.settings_file), task.settings_file)
    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions.resolve_job_def(REPAYMENTS_JOB)
        result = job.execute_in_process(partition_key=MONTH, instance=instance)
    assert result.success


def outcome(task: Task) -> dict[str, int]:
    """What its ledger says that Kiva has."""
    with closing(sqlite3.connect(Path(task.folder) / "ledger.sqlite")) as ledger:
        rows, total = ledger.execute(
            "SELECT count(*), sum(amount) FROM submission WHERE state = 'accepted' AND period = ?",
            (MONTH,),
        ).fetchone()
    return {"accepted": rows, "total": total or 0}
