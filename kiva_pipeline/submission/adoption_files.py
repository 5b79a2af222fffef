"""The CSV files that an adoption may be given, read and checked against Kiva and the MIS.

A wrong line here is a wrong figure or a second copy later, so every fault is told at once and
nothing is adopted while there is one.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from kiva_pipeline.errors import SettingsError
from kiva_pipeline.money import ISO_DIGITS, to_minor
from kiva_pipeline.periods import Month
from kiva_pipeline.submission.adopted_rows import Baseline

DRAFT_COLUMNS = ("loan_id",)
BASELINE_COLUMNS = ("loan_id", "month", "principal_repaid")
GROUP_COLUMNS = ("group_id", "loan_id")
_MOST_TOLD = 20


def read_rows(file: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Lines of a CSV with their numbers.

    Raises:
        SettingsError: It can't be read or lacks a column.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text)
            missing = [c for c in columns if c not in (reader.fieldnames or [])]
            if missing:
                raise SettingsError(
                    f"{file}: there is no column {', '.join(missing)}.",
                    f"The first line must name the columns: {','.join(columns)}.",
                )
            return [
                (reader.line_num, {c: (row[c] or "").strip() for c in columns}) for row in reader
            ]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{file} can't be read ({type(error).__name__}).", "It must be a UTF-8 CSV file."
        ) from error


def read_baselines(
    file: Path, kiva: Mapping[str, tuple[str, str]], digits_of: Mapping[str, int]
) -> list[Baseline]:
    """The last reported figures, each checked against Kiva's own row.

    Args:
        file: ``loan_id, month, principal_repaid`` (major units, as in the report).
        kiva: Kiva's ``loan_currency, loan_local_price`` by loan id.
        digits_of: Number of decimals by loan id, of the MIS; ISO's where it does not say.

    Raises:
        SettingsError: A line names an unknown loan or month, or a figure that can't be; all such
            lines are told at once.
    """
    found: dict[str, Baseline] = {}
    faults = []
    for line, row in read_rows(file, BASELINE_COLUMNS):
        loan_id = row["loan_id"]
        if loan_id not in kiva:
            faults.append(f"line {line}: Kiva lists no loan with the id “{loan_id}”")
            continue
        if loan_id in found:
            faults.append(f"line {line}: the loan “{loan_id}” stands here twice")
            continue
        currency, price_text = kiva[loan_id]
        digits = digits_of.get(loan_id, ISO_DIGITS.get(currency, 2))
        repaid, price = to_minor(row["principal_repaid"], digits), to_minor(price_text, digits)
        if repaid is None or repaid < 0:
            faults.append(f"line {line}: principal_repaid is not an amount of {currency}")
        elif price is not None and repaid > price:
            faults.append(
                f"line {line}: {row['principal_repaid']} is above the loan's principal {price_text}"
            )
        else:
            try:
                month = Month.parse(row["month"])
            except SettingsError:
                faults.append(f"line {line}: “{row['month']}” is not a month such as 2026-10")
                continue
            found[loan_id] = Baseline(loan_id, month, repaid, currency, digits)
    refuse(file, faults)
    return list(found.values())


def refuse(file: Path, faults: Sequence[str]) -> None:
    """Raise if there is a fault, telling the first twenty.

    Raises:
        SettingsError: There is one.
    """
    if faults:
        more = f"\n  … and {len(faults) - _MOST_TOLD} more" if len(faults) > _MOST_TOLD else ""
        raise SettingsError(
            f"{file}: {len(faults)} of its lines can't be adopted:\n  "
            + "\n  ".join(faults[:_MOST_TOLD])
            + more,
            "\nCorrect the file and adopt again; nothing was adopted.",
        )
