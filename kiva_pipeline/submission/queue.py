"""The rows that are to be sent, taken from the plan in groups of one request each.

A new version enters the ledger only with the attempt that carries it, so that it is written once
before its request. What must not break: each planned row comes out once, in the order of the ids,
and what was not taken when the run ends is told by ``rest``.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import pandas as pd

from kiva_pipeline.frames import StoredFrame
from kiva_pipeline.submission.plan import INSERT
from kiva_pipeline.submission.states import State


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


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that go out in one request.

    Attributes:
        rows: Of one kind and month.
        written: All its rows are in the ledger, because a request was made for them before.
        refused_token: An earlier attempt of this group met a 401 or 403.
    """

    rows: Sequence[Any]
    written: bool = False
    refused_token: bool = False

    @property
    def new_rows(self) -> Sequence[Any]:
        """Those that the ledger does not have yet."""
        return [] if self.written else [row for row in self.rows if row.is_new]

    @property
    def known_rows(self) -> Sequence[Any]:
        """Those that are in the ledger."""
        return self.rows if self.written else [row for row in self.rows if not row.is_new]

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
        self._rows = _planned_rows(plan)

    def put_back(self, *groups: Group) -> None:
        """Groups that were not applied go out before all others."""
        self._ready.extendleft(reversed(groups))

    def take(self, groups: int) -> list[Group]:
        """The next groups, at most so many; fewer or none at the end."""
        taken = [self._ready.popleft() for _ in range(min(groups, len(self._ready)))]
        while len(taken) < groups:
            size = self._group_size if self._left is None else min(self._group_size, self._left)
            rows = list(islice(self._rows, size))
            if not rows:
                break
            if self._left is not None:
                self._left -= len(rows)
            taken.append(Group(rows))
        return taken

    def rest(self) -> Iterator[PlannedRow]:
        """New rows that no request was made for; the queue is empty after it."""
        while self._ready:
            yield from self._ready.popleft().new_rows
        yield from (row for row in self._rows if row.is_new)


def _planned_rows(plan: StoredFrame) -> Iterator[PlannedRow]:
    facts = PlannedRow._fields[:-1]
    for chunk in plan.chunks([*facts, "decision", "write"]):
        planned = chunk[chunk["decision"] == State.PLANNED.value]
        columns = [_plain(planned[name]) for name in facts]
        is_new = (planned["write"] == INSERT).tolist()
        yield from map(PlannedRow._make, zip(*columns, is_new, strict=True))


def _plain(column: "pd.Series[Any]") -> list[Any]:
    """Plain Python values, empty ones None."""
    values = column.astype(object).where(column.notna(), None) if column.hasnans else column
    return list(values.tolist())
