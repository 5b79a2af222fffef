"""Ids that a migration of the MIS changed: Kiva knows a loan by the id it was posted under.

``id_aliases.csv`` has two columns: ``kiva_id``, the id as it was sent to Kiva, and ``mis_id``, what
the MIS calls it today. Everything downstream of the source speaks Kiva's id only, so no loan is
taken for a new one. What must not break: one id has one alias, in both directions.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType

import pandas as pd

from kiva_pipeline.errors import SettingsError
from kiva_pipeline.mis.source import Source, SourceCounts
from kiva_pipeline.periods import Month

_COLUMNS = ["kiva_id", "mis_id"]
_IDS = ("loan_id", "group_id")


@dataclass(frozen=True, slots=True)
class IdAliases:
    """The two directions of one alias file.

    Attributes:
        to_kiva: MIS id → Kiva's id.
        to_mis: Kiva's id → MIS id.
    """

    to_kiva: Mapping[str, str]
    to_mis: Mapping[str, str]


def load_aliases(file: Path) -> IdAliases:
    """Read and check an alias file.

    Raises:
        SettingsError: It can't be read, has other columns, or an id points in a circle, along a
            chain, or twice; the message names the line.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text)
            if reader.fieldnames != _COLUMNS:
                raise SettingsError(
                    f"{file}: expected the columns {', '.join(_COLUMNS)}.",
                    "First line: kiva_id,mis_id. One line for each loan whose id was changed.",
                )
            rows = [
                (reader.line_num, (row["kiva_id"] or "").strip(), (row["mis_id"] or "").strip())
                for row in reader
            ]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{file} can't be read ({type(error).__name__}).", "It must be a UTF-8 CSV file."
        ) from error
    to_kiva: dict[str, str] = {}
    to_mis: dict[str, str] = {}
    for line, kiva_id, mis_id in rows:
        if not kiva_id or not mis_id or kiva_id == mis_id:
            raise SettingsError(
                f"{file}, line {line}: an alias needs two different ids.", "Correct or remove it."
            )
        if kiva_id in to_mis or mis_id in to_kiva:
            raise SettingsError(
                f"{file}, line {line}: an id has an alias already.",
                "Each id may stand once in each column.",
            )
        to_kiva[mis_id], to_mis[kiva_id] = kiva_id, mis_id
    for line, kiva_id, mis_id in rows:
        if kiva_id in to_kiva or mis_id in to_mis:
            raise SettingsError(
                f"{file}, line {line}: the alias leads on to another one, in a chain or a circle.",
                "Write the id that Kiva knows beside the one that the MIS has today, in one line.",
            )
    return IdAliases(to_kiva, to_mis)


class AliasedSource:
    """A source whose ids are Kiva's, whatever the MIS calls the loans today."""

    def __init__(self, source: Source, aliases: IdAliases) -> None:
        self._source = source
        self._aliases = aliases

    def __enter__(self) -> "AliasedSource":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def counts(self, month: Month) -> SourceCounts:
        """As the source counts."""
        return self._source.counts(month)

    def loans(self, month: Month) -> pd.DataFrame:
        """As the source gives them, under Kiva's ids."""
        return self._named(self._source.loans(month))

    def instalments(self, month: Month) -> pd.DataFrame:
        """As the source gives them, under Kiva's ids."""
        return self._named(self._source.instalments(month))

    def notes(self, month: Month) -> pd.DataFrame:
        """As the source gives them, under Kiva's ids."""
        return self._named(self._source.notes(month))

    def balances(self, loan_ids: Sequence[str], as_of: date) -> Iterator[pd.DataFrame]:
        """Asked by Kiva's ids, looked up by the MIS's, answered under Kiva's; sorted again."""
        asked = sorted(self._aliases.to_mis.get(loan_id, loan_id) for loan_id in loan_ids)
        chunks = [self._named(chunk) for chunk in self._source.balances(asked, as_of)]
        if chunks:
            yield pd.concat(chunks, ignore_index=True).sort_values("loan_id", ignore_index=True)

    def group_members(self, group_ids: Sequence[str]) -> pd.DataFrame:
        """Asked and answered under Kiva's ids."""
        asked = [self._aliases.to_mis.get(group_id, group_id) for group_id in group_ids]
        return self._named(self._source.group_members(asked))

    def photo(self, photo_ref: str) -> bytes:
        """As the source gives it."""
        return self._source.photo(photo_ref)

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _named(self, frame: pd.DataFrame) -> pd.DataFrame:
        renamed = {
            column: frame[column].replace(dict(self._aliases.to_kiva))
            for column in _IDS
            if column in frame
        }
        return frame.assign(**renamed)
