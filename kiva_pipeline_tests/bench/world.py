"""What all variants of a measurement share: one MIS, Kiva's loans, settings and a server.

The MIS of the reports is a table of balances with the twelve columns that a source must give, so
that no variant can hide behind the cost of a query. What must not break: a variant may write only
into the folder of its own run.
"""

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import pandas as pd
import yaml

from kiva_pipeline.frames import write_frame
from kiva_pipeline.mis.source import RAW_BALANCES
from kiva_pipeline.partner_api.records import KIVA_LOAN_COLUMNS
from kiva_pipeline_tests.bench import facts


@dataclass(frozen=True)
class Task:
    """What one variant is to do; travels to its process as JSON.

    Attributes:
        folder: The run's own: ledger and frames.
        mis: The MIS file, read only.
        kiva_loans: Parquet of ``KIVA_LOAN_COLUMNS``.
        kiva_lists: Parquet of ``KIVA_LIST_COLUMNS``.
        port: Of the server.
        rows: Loans to report, or drafts to make.
        batch: Rows a request.
        in_flight: Requests at once, where a variant can.
    """

    folder: str
    mis: str
    kiva_loans: str
    kiva_lists: str
    port: int
    rows: int
    batch: int = 250
    in_flight: int = 4

    @property
    def settings_file(self) -> Path:
        """The partner's settings of this run."""
        return Path(self.folder) / "partner.yaml"

    def as_json(self) -> str:
        """For the process that runs the variant."""
        return json.dumps(asdict(self))


class NoopServer:
    """The server in its own process, and what it counted."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kiva_pipeline_tests.bench.noop_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        self.port = int(json.loads(self._process.stdout.readline())["port"])
        self.url = f"http://127.0.0.1:{self.port}"

    def reset(self, *, latency: float = 0.0, loans: int = 0) -> None:
        """Forget the counts; answer so late from now on; list so many loans."""
        httpx.post(f"{self.url}/_reset?latency={latency}&loans={loans}").raise_for_status()

    def counts(self) -> dict[str, float]:
        """Requests by method and path, and the rows, photos and bytes in their bodies.

        ``span`` is the time in seconds from the first POST to the answer of the last.
        """
        told: dict[str, float] = httpx.get(f"{self.url}/_counts").json()
        return told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=20)


def make_balances(file: Path, rows: int, changes: dict[int, dict[str, Any]] | None = None) -> None:
    """A MIS that is one table of balances.

    Args:
        file: Made anew.
        rows: How many loans.
        changes: Columns to set otherwise, by the loan's number: the dirt of the smoke test.
    """
    file.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        columns = ", ".join(RAW_BALANCES)
        connection.execute(f"CREATE TABLE balances ({columns})")
        marks = ", ".join("?" * len(RAW_BALANCES))
        connection.executemany(
            f"INSERT INTO balances VALUES ({marks})", (facts.balance(n) for n in range(rows))
        )
        connection.execute("CREATE UNIQUE INDEX balances_by_loan ON balances (loan_id)")
        for number, values in (changes or {}).items():
            sets = ", ".join(f"{name} = ?" for name in values)
            connection.execute(
                f"UPDATE balances SET {sets} WHERE loan_id = ?",
                (*values.values(), facts.loan_id(number)),
            )


def make_kiva_loans(file: Path, rows: int) -> None:
    """Kiva's list as the asset ``kiva_loans`` stores it."""
    frame = pd.DataFrame([facts.kiva_loan(n) for n in range(rows)], columns=list(KIVA_LOAN_COLUMNS))
    write_frame(frame.astype(KIVA_LOAN_COLUMNS), file)


def write_settings(folder: Path, port: int, *, batch: int, in_flight: int, mis: Path) -> Path:
    """The partner's settings of one run."""
    content = {
        "version": 1,
        "environment": "sandbox",
        "partner": {"id": "145"},
        "api": {
            "auth_url": f"http://127.0.0.1:{port}/oauth/token",
            "base_url": f"http://127.0.0.1:{port}",
            "max_in_flight": in_flight,
        },
        "calendar": {
            "timezone": "Africa/Nairobi",
            "first_month": facts.FIRST_MONTH,
            "practice_today": facts.TODAY,
        },
        "source": {"kind": "demo", "path": str(mis)},
        "repayments": {
            "amount": "principal_repaid",
            "column_format": "two_column",
            "batch_size": batch,
        },
        "journals": {"mark": {"kind": "column", "value": "for_kiva"}},
        "state": {"folder": "."},
    }
    file = folder / "partner.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@contextlib.contextmanager
def own_folder(base: Path, name: str) -> Iterator[Path]:
    """A folder for one run, gone after it."""
    import shutil

    folder = base / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
