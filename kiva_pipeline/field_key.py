"""The key of the keyed hashes by which the ledger can name a changed field without keeping it.

A name has few bits: without a key its hash could be guessed. The key is the environment's, or a
file beside the ledger. With another key the ledger still knows *that* a loan changed (that hash
needs no key), only not in which field.
"""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from kiva_pipeline.errors import LedgerError
from kiva_pipeline.frames import private_folder
from kiva_pipeline.settings import FIELD_KEY_VARIABLE

_BYTES = 32


def field_key(state_folder: Path) -> bytes:
    """The key from the environment, else of ``field.key`` in the state folder (made if absent).

    Raises:
        LedgerError: The file is no key of ours.
    """
    if given := os.environ.get(FIELD_KEY_VARIABLE):
        return given.encode()
    file = _file(state_folder)
    if not file.exists():
        _make(file)
    return _read(file)


def field_key_for_looking(state_folder: Path) -> bytes:
    """The same, but no file is made: where there is none yet, a key for this once.

    Raises:
        LedgerError: The file is no key of ours.
    """
    if os.environ.get(FIELD_KEY_VARIABLE) or _file(state_folder).exists():
        return field_key(state_folder)
    return secrets.token_bytes(_BYTES)


def _file(state_folder: Path) -> Path:
    return state_folder / "field.key"


def _read(file: Path) -> bytes:
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii"))
    except ValueError:
        key = b""
    if len(key) != _BYTES:
        raise LedgerError(
            f"{file} is damaged: it does not hold a key.",
            "Put back its copy, or delete it: then changed fields of what was sent before can't be"
            " named, nothing else.",
        )
    return key


def _make(file: Path) -> None:
    """The file appears whole, readable by its owner only; of two makers at once the first wins."""
    private_folder(file.parent)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=".field-key-") as aside:
        aside.write(secrets.token_hex(_BYTES))
        aside.flush()
        with contextlib.suppress(FileExistsError):
            os.link(aside.name, file)
