"""The sender lock: one sender per partner, whatever the number of runs, terminals and machines.

What must not break: whoever holds it may treat every row that is in flight as an orphan, because
no other living sender can be waiting for its answer.
"""

import contextlib
import getpass
import os
import socket
from collections.abc import Iterator

import sqlalchemy as sa

from kiva_pipeline.errors import LedgerError, SenderBusyError
from kiva_pipeline.submission.ledger import Ledger, now_text
from kiva_pipeline.submission.tables import sender


@contextlib.contextmanager
def sender_lock(ledger: Ledger, *, run_id: str, wait_seconds: float) -> Iterator[None]:
    """Hold the sender lock of this ledger's partner; it dies with the process or its connection.

    Inside, each ``ledger.writing()`` is made on the connection that holds the lock.

    Args:
        ledger: The lock is the ledger's: a file beside it, or held by a session of its server.
        run_id: Who holds it, for those who wait.
        wait_seconds: How long to wait for another sender to finish.

    Raises:
        SenderBusyError: Another sender still holds it; the message says which.
        LedgerError: The lock can't be asked for, or was lost meanwhile.
    """
    with ledger.sending(wait_seconds) as taken:
        if not taken:
            raise SenderBusyError(
                f"Another sender is at work for this partner: {_holder(ledger)}.",
                f"Nothing was sent. Waited {wait_seconds:g} s; run again when it has finished.",
            )
        _say_who(ledger, run_id)
        try:
            yield
        finally:  # where the lock is lost, the next sender says who it is
            with contextlib.suppress(LedgerError), ledger.writing() as connection:
                connection.execute(sender.delete())


def _say_who(ledger: Ledger, run_id: str) -> None:
    with ledger.writing() as connection:
        backend = ledger.session_number(connection)
        connection.execute(sender.delete())
        connection.execute(
            sender.insert().values(
                id=1,
                run_id=run_id,
                process=os.getpid(),
                host=socket.gethostname(),
                os_user=_user(),
                since=now_text(),
                backend=backend,
            )
        )


def _holder(ledger: Ledger) -> str:
    with ledger.reading() as connection:
        told = connection.execute(sa.select(sender)).one_or_none()
    if told is None or not ledger.is_sender(told.backend):
        return "it has not said who it is yet"
    session = f", session {told.backend} of the server" if told.backend is not None else ""
    return (
        f"run {told.run_id} (process {told.process} of {told.os_user} on {told.host}{session},"
        f" since {told.since})"
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number that has no name
        return str(os.getuid())
