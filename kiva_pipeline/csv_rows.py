"""CSV files that people write: read with the number of each line, or refused in words.

A spreadsheet in French or Spanish writes semicolons, another one tabs: the first line tells. What
must not break: a file in another encoding is refused, never read with wrong letters in an id.
"""

import csv
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from kiva_pipeline.errors import SettingsError

Line = tuple[int, dict[str, str]]
_DELIMITERS = (",", ";", "\t")


def read_rows(file: Path, columns: Sequence[str], *, optional: Sequence[str] = ()) -> list[Line]:
    """The lines of a CSV with their numbers; empty ones are left out, other columns ignored.

    Args:
        file: UTF-8, with or without a byte order mark.
        columns: Those that its first line must name.
        optional: Those that it may name; "" where it doesn't.

    Returns:
        The number of each line in the file, and its values: NFC, without blanks at the ends.

    Raises:
        SettingsError: It can't be read, is not UTF-8, or lacks a column.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            first = text.readline()
            text.seek(0)
            delimiter = max(_DELIMITERS, key=first.count)
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            names = [name.strip().casefold() for name in next(reader, [])]
            if missing := [name for name in columns if name not in names]:
                raise SettingsError(
                    f"{file}: there is no column {', '.join(missing)}.",
                    f"The first line must name the columns: {','.join(columns)}.",
                )
            at = {name: names.index(name) for name in (*columns, *optional) if name in names}
            return [
                (
                    reader.line_num,
                    {
                        name: _clean(row[at[name]]) if at.get(name, len(row)) < len(row) else ""
                        for name in (*columns, *optional)
                    },
                )
                for row in reader
                if any(cell.strip() for cell in row)
            ]
    except UnicodeDecodeError:
        raise SettingsError(
            f"{file} is not UTF-8: its letters can't be told for sure.",
            "Save it again as “CSV UTF-8” (in Excel: Save as, type CSV UTF-8).",
        ) from None
    except csv.Error as error:
        raise SettingsError(
            f"{file} is not a CSV file ({error}).", "Save it again as CSV."
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{file} can't be read ({type(error).__name__}).", "Check its name and who may read it."
        ) from error


def _clean(cell: str) -> str:
    text = cell.strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text)
