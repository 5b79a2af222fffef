"""The sender lock: one sender per partner, whatever the number of runs, terminals and machines.

What must not break: whoever holds it may treat every row that is in flight as an orphan, because
no other living sender can be waiting for its answer.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from kiva_pipeline.errors import SenderBusyError
from kiva_pipeline.submission.ledger import Ledger, now_text


@contextlib.contextmanager
def sender_lock(ledger: Ledger, *, run_id: str, wait_seconds: float) -> Iterator[None]:
    """Hold the sender lock of this ledger's partner; it dies with the process.

    Args:
        ledger: An SQLite ledger: the lock is a file beside it.
        run_id: Who holds it, for those who wait.
        wait_seconds: How long to wait for another sender to finish.

    Raises:
        SenderBusyError: Another sender still holds it; the message says which.
    """
    base = Path(str(ledger.url.database))
    holder = base.with_name(base.name + ".sender.json")
    lock = FileLock(base.with_name(base.name + ".sender.lock"), timeout=wait_seconds, mode=0o600)
    try:
        lock.acquire()
    except Timeout as error:
        raise SenderBusyError(
            f"Another sender is at work for this partner: {_read(holder)}.",
            f"Nothing was sent. Waited {wait_seconds:g} s; run again when it has finished.",
        ) from error
    try:
        holder.write_text(
            json.dumps(
                {
                    "run": run_id,
                    "process": os.getpid(),
                    "host": socket.gethostname(),
                    "user": os.environ.get("USER") or str(os.getuid()),
                    "since": now_text(),
                }
            )
        )
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink()
        lock.release()


def _read(holder: Path) -> str:
    try:
        known = json.loads(holder.read_text())
        return (
            f"run {known['run']} (process {known['process']} of {known['user']} on {known['host']},"
            f" since {known['since']})"
        )
    except (OSError, ValueError, KeyError):
        return "it has not said who it is yet"
