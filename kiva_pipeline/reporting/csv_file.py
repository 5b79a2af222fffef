"""CSV files for people and their spreadsheets.

What must not break: only their owner may read them, because they name loans; and no cell is a
formula, because a spreadsheet would run it with its reader's rights.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def write_csv(file: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Path:
    """Write rows with a header, mode 0600; spreadsheets find the UTF-8 mark. Returns the file.

    A text that a spreadsheet would take for a formula gets an apostrophe before it, which it takes
    as "a text follows". Numbers (int, Decimal) stay as they are.
    """
    file.touch(mode=0o600)
    file.chmod(0o600)
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.DictWriter(out, list(columns))
        writer.writeheader()
        writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return file


def _plain(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value
