"""Ledgers for the tests, and processes that hold their sender lock; light, so that one starts soon.

python -m kiva_pipeline_tests.live.ledgers LEDGER_URL RUN_ID
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.lock import sender_lock


@contextlib.contextmanager
def ledger_at(
    url: str, *, environment: str = "sandbox", partner_id: str = "145"
) -> Iterator[Ledger]:
    """A partner's ledger, closed at the end."""
    book = Ledger.open(url, environment=environment, partner_id=partner_id)
    try:
        yield book
    finally:
        book.close()


@contextlib.contextmanager
def process(module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A module of the tests in a process of its own, killed at the end."""
    running = subprocess.Popen(
        [sys.executable, "-m", f"kiva_pipeline_tests.live.{module}", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


@contextlib.contextmanager
def holder(url: str, run_id: str = "holder") -> Iterator[subprocess.Popen[str]]:
    """A process that holds the sender lock until a line is written to it."""
    with process("ledgers", url, run_id) as running:
        assert running.stdout
        assert running.stdout.readline() == "held\n"
        yield running


if __name__ == "__main__":
    with ledger_at(sys.argv[1]) as book, sender_lock(book, run_id=sys.argv[2], wait_seconds=0):
        sys.stdout.write("held\n")
        sys.stdout.flush()
        sys.stdin.readline()
