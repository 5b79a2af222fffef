"""The witness: what an adopted ledger held when its last run ended, kept outside of the ledger.

A backup that was restored does not know what was sent since, and a copy does not know what the
original sends; neither can tell by itself. What must not break: the witness is written only by
whoever holds the sender lock, after the ledger has committed, so that an honest ledger, also after
a crash, is never behind it; and only an adoption makes a ledger trusted that is not.
"""

import contextlib
import os
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.errors import LedgerError, NotAllowedNowError
from kiva_pipeline.submission.ledger import Ledger, now_text
from kiva_pipeline.submission.tables import attempt, event, ledger

WITNESS_FILE = "ledger.witness.json"
_ADOPT = (
    "Nothing is sent, because what it forgot would be sent twice. Look in PA2 for drafts that wait,"
    " write their loan ids into a file, and run `kiva-pipeline adopt --drafts FILE`: it compares"
    " with Kiva's list of today and makes the ledger trusted again."
)


@dataclass(frozen=True, slots=True)
class Witness:
    """What a ledger held.

    Attributes:
        ledger_id: Tells it from every other ledger.
        events: The highest id of its events.
        newest_event: A hash of that event: another history has another one.
        attempts: How many requests it had made.
        inode: Of an SQLite file: a copy has another one; None for a database server.
        written_at: When this was so.
    """

    ledger_id: str
    events: int
    newest_event: str
    attempts: int
    inode: int | None
    written_at: str


def refuse_untrusted(book: Ledger, folder: Path) -> None:
    """Raise if the ledger can't be the one that this folder's last run left.

    Args:
        book: An adopted ledger, or (in the sandbox) one that nobody has adopted.
        folder: ``state.folder``.

    Raises:
        NotAllowedNowError: It was restored, copied, exchanged or moved away from its witness.
    """
    seen = _read(folder)  # before the ledger: a sender at work only ever adds to it
    if why := _doubt(book, seen):
        raise NotAllowedNowError(f"The ledger is not trusted: {why}.", _ADOPT)


def keep_witness(book: Ledger, folder: Path) -> None:
    """Write down what a trusted ledger holds now; call it with the sender lock held.

    One that is not trusted stays so: its witness is left as it is.

    Raises:
        LedgerError: The folder can't be written.
    """
    if not _doubt(book, _read(folder)):
        trust(book, folder)


def trust(book: Ledger, folder: Path) -> None:
    """Make an adopted ledger trusted: it is the one that this folder's runs send from.

    Raises:
        LedgerError: The folder can't be written.
    """
    with book.reading() as connection:
        card = connection.execute(sa.select(ledger)).one()
        events = connection.execute(sa.select(sa.func.max(event.c.id))).scalar() or 0
        newest, attempts = _hash_of_event(connection, events), _attempts(connection)
    if not card.adopted_at:
        return
    witness = Witness(card.ledger_id, events, newest, attempts, _inode(book), now_text())
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made with mode 0600, and moved into place: another program sees the old one or the new.
        with tempfile.NamedTemporaryFile(
            dir=folder, prefix=f".{WITNESS_FILE}-", delete=False
        ) as file:
            file.write(orjson.dumps(witness, option=orjson.OPT_INDENT_2))
            file.flush()
            os.fsync(file.fileno())
        try:
            Path(file.name).replace(folder / WITNESS_FILE)
        except OSError:
            Path(file.name).unlink()
            raise
    except OSError as error:
        raise LedgerError(
            f"{folder / WITNESS_FILE} can't be written ({type(error).__name__}).",
            "Check state.folder, the disk, and who may write there.",
        ) from error


def keep_witness_if_possible(book: Ledger, folder: Path) -> None:
    """``keep_witness`` at the end of a run, whose own outcome counts: the old one is no lie."""
    with contextlib.suppress(LedgerError, sa.exc.SQLAlchemyError):
        keep_witness(book, folder)


def _doubt(book: Ledger, seen: Witness | str) -> str:
    with book.reading() as connection:
        card = connection.execute(sa.select(ledger)).one()
        if isinstance(seen, str):
            return seen if card.adopted_at else ""
        if card.ledger_id != seen.ledger_id:
            return (
                f"{WITNESS_FILE} in state.folder is that of another ledger; this one was put in its"
                " place, or the folder is another partner's"
            )
        same_history = _hash_of_event(connection, seen.events) == seen.newest_event
        forgot = not same_history or _attempts(connection) < seen.attempts
    if forgot:
        return (
            "it was restored from a backup: what was written into it up to"
            f" {seen.written_at[:16].replace('T', ' ')} UTC is not in it"
        )
    if seen.inode is not None and _inode(book) != seen.inode:
        return "its file is a copy, or it was restored from a backup or moved to another disk"
    return ""


def _read(folder: Path) -> Witness | str:
    """The witness, or why there is none."""
    file = folder / WITNESS_FILE
    try:
        witness = Witness(**orjson.loads(file.read_bytes()))
    except FileNotFoundError:
        return (
            f"there is no {WITNESS_FILE} in {folder}, so it was moved or restored here, or another"
            " state.folder was used before"
        )
    except (OSError, ValueError, TypeError) as error:
        return f"{file} can't be read ({type(error).__name__})"
    if not (isinstance(witness.events, int) and isinstance(witness.attempts, int)):
        return f"{file} was changed by hand"
    return witness


def _hash_of_event(connection: Connection, event_id: int) -> str:
    e = event.c
    row = connection.execute(
        sa.select(e.at, e.action, e.submission_id, e.attempt_id, e.to_state, e.who, e.run_id).where(
            e.id == event_id
        )
    ).one_or_none()
    return "" if row is None else sha256(orjson.dumps(list(row))).hexdigest()


def _attempts(connection: Connection) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(attempt)).scalar_one()


def _inode(book: Ledger) -> int | None:
    if book.file is None:
        return None
    try:
        return book.file.stat().st_ino
    except OSError:
        return None
