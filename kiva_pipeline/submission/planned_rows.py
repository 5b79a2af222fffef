"""Rows that are to be sent, kept column by column: cheap to cut, to bind and to write as JSON."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, overload


class PlannedRow(NamedTuple):
    """One version that is to be sent: what the ledger keeps of it, and what its body is made of."""

    business_id: str
    version: int
    reason_code: str
    payload_hash: str
    field_hashes: str
    amount: int | None
    disbursed: int | None
    currency: str
    currency_digits: int | None
    effective_on: str
    client_id: str
    loan_ids: str
    client_ids: str
    is_new: bool  # not in the ledger yet, as of the plan


LEDGER_COLUMNS = PlannedRow._fields[:-1]
_PLACES = {name: i for i, name in enumerate(PlannedRow._fields)}


class PlannedRows(Sequence[PlannedRow]):
    """A sequence of ``PlannedRow`` that holds columns.

    Args:
        columns: The values of each field of ``PlannedRow``, in its order.
    """

    def __init__(self, columns: Sequence[Sequence[Any]]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns[0])

    @overload
    def __getitem__(self, at: int) -> PlannedRow: ...
    @overload
    def __getitem__(self, at: slice) -> "PlannedRows": ...
    def __getitem__(self, at: int | slice) -> "PlannedRow | PlannedRows":
        picked = [column[at] for column in self._columns]
        return PlannedRows(picked) if isinstance(at, slice) else PlannedRow._make(picked)

    def column(self, name: str) -> Sequence[Any]:
        """The values of one field."""
        return self._columns[_PLACES[name]]

    def columns(self, *without: str) -> dict[str, Sequence[Any]]:
        """What the ledger keeps of the rows, by column."""
        return {name: self.column(name) for name in LEDGER_COLUMNS if name not in without}

    def where(self, wanted: Callable[[Any], bool], name: str) -> "PlannedRows":
        """The rows whose field satisfies a condition; these very rows if all do."""
        keep = [wanted(value) for value in self.column(name)]
        if all(keep):
            return self
        return PlannedRows(
            [[v for v, kept in zip(column, keep, strict=True) if kept] for column in self._columns]
        )

    def joined(self, others: "PlannedRows") -> "PlannedRows":
        """These rows and those after them."""
        if not self:
            return others
        pairs = zip(self._columns, others._columns, strict=True)  # noqa: SLF001  our own kind
        return PlannedRows([[*ours, *theirs] for ours, theirs in pairs])


def column_of(rows: Sequence[Any], name: str) -> Sequence[Any]:
    """One field of some rows, whatever they are kept in."""
    if isinstance(rows, PlannedRows):
        return rows.column(name)
    return [getattr(row, name) for row in rows]
