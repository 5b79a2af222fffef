"""The rows that are to be sent, taken from the plan in groups of one request each.

A new version enters the ledger only with the attempt that carries it, so that it is written once
before its request. What must not break: each planned row comes out once, in the order of the ids,
and what was not taken when the run ends is told by ``rest``.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import not_
from typing import Any

import pandas as pd

from kiva_pipeline.frames import StoredFrame
from kiva_pipeline.submission.plan import INSERT
from kiva_pipeline.submission.planned_rows import LEDGER_COLUMNS, PlannedRows
from kiva_pipeline.submission.states import State


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that go out in one request.

    Attributes:
        rows: Of one kind and month.
        written: All its rows are in the ledger, because a request was made for them before.
        refused_token: An earlier attempt of this group met a 401 or 403.
    """

    rows: PlannedRows
    written: bool = False
    refused_token: bool = False

    @property
    def new_rows(self) -> PlannedRows:
        """Those that the ledger does not have yet."""
        return self.rows[:0] if self.written else self.rows.where(bool, "is_new")

    @property
    def known_rows(self) -> PlannedRows:
        """Those that are in the ledger."""
        return self.rows if self.written else self.rows.where(not_, "is_new")

    def halves(self) -> tuple["Group", "Group"]:
        """The group as two, to find the row that makes the whole refused."""
        middle = len(self.rows) // 2
        return Group(self.rows[:middle], self.written), Group(self.rows[middle:], self.written)


class SendQueue:
    """Planned rows of one kind and month, in the order of their ids.

    Args:
        plan: ``PLAN_COLUMNS``, as it was applied to the ledger.
        group_size: Rows in a request.
        limit: At most so many rows in all; None for no limit.
    """

    def __init__(self, plan: StoredFrame, *, group_size: int, limit: int | None = None) -> None:
        self._group_size = group_size
        self._left = limit
        self._ready: deque[Group] = deque()
        self._chunks = _planned(plan)
        self._chunk = PlannedRows([[] for _ in (*LEDGER_COLUMNS, "is_new")])
        self._at = 0

    def put_back(self, *groups: Group) -> None:
        """Groups that were not applied go out before all others."""
        self._ready.extendleft(reversed(groups))

    def take(self, groups: int) -> list[Group]:
        """The next groups, at most so many; fewer or none at the end."""
        taken = [self._ready.popleft() for _ in range(min(groups, len(self._ready)))]
        while len(taken) < groups:
            size = self._group_size if self._left is None else min(self._group_size, self._left)
            rows = self._next(size)
            if not rows:
                break
            if self._left is not None:
                self._left -= len(rows)
            taken.append(Group(rows))
        return taken

    def rest(self) -> Iterator[PlannedRows]:
        """New rows that no request was made for; the queue is empty after it."""
        while self._ready:
            yield self._ready.popleft().new_rows
        left, self._at = self._chunk[self._at :], len(self._chunk)
        yield left.where(bool, "is_new")
        for chunk in self._chunks:
            yield chunk.where(bool, "is_new")

    def _next(self, size: int) -> PlannedRows:
        """So many rows, also across chunks; fewer or none at the end."""
        rows = self._chunk[self._at : self._at + size]
        self._at += len(rows)
        while len(rows) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            missing = size - len(rows)
            rows, self._chunk, self._at = rows.joined(chunk[:missing]), chunk, missing
        return rows


def _planned(plan: StoredFrame) -> Iterator[PlannedRows]:
    for chunk in plan.chunks([*LEDGER_COLUMNS, "decision", "write"]):
        planned = chunk[chunk["decision"] == State.PLANNED.value]
        columns = [_plain(planned[name]) for name in LEDGER_COLUMNS]
        yield PlannedRows([*columns, (planned["write"] == INSERT).tolist()])


def _plain(column: "pd.Series[Any]") -> Sequence[Any]:
    """Plain Python values, empty ones None."""
    values = column.astype(object).where(column.notna(), None) if column.hasnans else column
    return list(values.tolist())
