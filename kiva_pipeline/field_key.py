"""The key of the keyed hashes by which the ledger can name a changed field without keeping it.

A name has few bits: without a key its hash could be guessed. The key is the environment's, or a
file beside the ledger. With another key the ledger still knows *that* a loan changed (that hash
needs no key), only not in which field.
"""

import os
import secrets
from pathlib import Path

from kiva_pipeline.settings import FIELD_KEY_VARIABLE

_BYTES = 32


def field_key(state_folder: Path) -> bytes:
    """The key from the environment, else from ``field.key`` in the state folder (made)."""
    if given := os.environ.get(FIELD_KEY_VARIABLE):
        return given.encode()
    file = state_folder / "field.key"
    try:
        return bytes.fromhex(file.read_text().strip())
    except FileNotFoundError:
        state_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(_BYTES))
        return bytes.fromhex(file.read_text().strip())
