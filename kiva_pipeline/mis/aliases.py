"""Ids that a migration of the MIS changed: Kiva knows a loan by the id it was posted under.

``id_aliases.csv`` has two columns: ``kiva_id``, the id as it was sent to Kiva, and ``mis_id``, what
the MIS calls it today. Everything downstream of the source speaks Kiva's id only, so no loan is
taken for a new one. What must not break: one id has one alias, in both directions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType

import pandas as pd

from kiva_pipeline.csv_rows import read_rows
from kiva_pipeline.errors import SettingsError
from kiva_pipeline.mis.source import Source, SourceCounts
from kiva_pipeline.periods import Month

_MOST_TOLD = 20
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
        SettingsError: It can't be read, lacks a column, or has lines where an id points in a
            circle, along a chain, or twice; all such lines are told.
    """
    rows = [
        (line, row["kiva_id"], row["mis_id"])
        for line, row in read_rows(file, ("kiva_id", "mis_id"))
    ]
    to_kiva = {mis_id: kiva_id for _, kiva_id, mis_id in rows}
    to_mis = {kiva_id: mis_id for _, kiva_id, mis_id in rows}
    faults, seen = [], (set[str](), set[str]())
    for line, *ids in rows:
        kiva_id, mis_id = ids
        if not kiva_id or not mis_id or kiva_id == mis_id:
            faults.append(f"line {line}: an alias needs two different ids")
        elif kiva_id in seen[0] or mis_id in seen[1]:
            faults.append(f"line {line}: one of its ids has an alias in a line above already")
        elif kiva_id in to_kiva or mis_id in to_mis:
            faults.append(f"line {line}: it leads on to another alias, in a chain or a circle")
        for known, text in zip(seen, ids, strict=True):
            known.add(text)
    if faults:
        shown = "\n  ".join(faults[:_MOST_TOLD])
        more = f"\n  … and {len(faults) - _MOST_TOLD} more" if len(faults) > _MOST_TOLD else ""
        raise SettingsError(
            f"{file}: {len(faults)} of its lines can't be used:\n  {shown}{more}",
            "\nWrite the id that Kiva knows beside the one that the MIS has today, once for each"
            " loan, in one line.",
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
        to_mis = self._aliases.to_mis
        asked = sorted({to_mis.get(loan_id, loan_id) for loan_id in loan_ids})
        chunks = [self._named(chunk) for chunk in self._source.balances(asked, as_of)]
        if chunks:
            every = pd.concat(chunks, ignore_index=True)
            yield every.sort_values("loan_id", kind="stable", ignore_index=True)

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
        kiva_id = self._aliases.to_kiva.get
        renamed = {
            column: pd.Series(
                [kiva_id(mis_id, mis_id) for mis_id in frame[column].tolist()],
                index=frame.index,
                dtype="object",
            )
            for column in _IDS
            if column in frame
        }
        return frame.assign(**renamed)
