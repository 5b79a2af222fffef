"""CSV files for people and their spreadsheets.

What must not break: only their owner may read them, because they name loans.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def write_csv(file: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Path:
    """Write rows with a header, mode 0600; spreadsheets find the UTF-8 mark. Returns the file."""
    file.touch(mode=0o600)
    file.chmod(0o600)
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.DictWriter(out, list(columns))
        writer.writeheader()
        writer.writerows(rows)
    return file
