"""The rows that wait to be sent, taken from the ledger in groups of one request each."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.states import State
from kiva_pipeline.submission.tables import OPEN_CLAUSE, submission

_BLOCK_OF_GROUPS = 16


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that go out in one request.

    Attributes:
        rows: ``id, business_id, client_id, loan_ids, amount, disbursed, currency_digits``.
        refused_token: An earlier attempt of this group met a 401 or 403.
    """

    rows: Sequence[Any]
    refused_token: bool = False

    def halves(self) -> tuple["Group", "Group"]:
        """The group as two, to find the row that makes the whole refused."""
        middle = len(self.rows) // 2
        return Group(self.rows[:middle]), Group(self.rows[middle:])


class SendQueue:
    """Planned rows of one kind and month, in the order of their ids.

    Args:
        ledger: Read only; the caller holds the sender lock.
        kind: The kind of effect.
        month: The partition whose rows are sent.
        period: The ledger's period of these rows; empty for what is created once.
        group_size: Rows in a request.
        limit: At most so many rows in all; None for no limit.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        kind: str,
        month: str,
        period: str,
        group_size: int,
        limit: int | None = None,
    ) -> None:
        self._ledger = ledger
        self._group_size = group_size
        self._left = limit
        self._after = ""
        self._ready: deque[Group] = deque()
        s = submission.c
        self._query = (
            sa.select(
                s.id, s.business_id, s.client_id, s.loan_ids, s.amount, s.disbursed,
                s.currency_digits,
            )
            .where(
                sa.text(OPEN_CLAUSE),  # to the letter as in the partial index, so that it is used
                s.state == State.PLANNED.value,
                s.kind == kind,
                s.period == period,
                s.month == month,
                s.business_id > sa.bindparam("after"),
            )
            .order_by(s.business_id)
            .limit(sa.bindparam("rows"))
        )  # fmt: skip

    def put_back(self, *groups: Group) -> None:
        """Groups that were not applied go out before all others."""
        self._ready.extendleft(reversed(groups))

    def take(self, groups: int) -> list[Group]:
        """The next groups, at most so many; fewer or none at the end."""
        while len(self._ready) < groups and self._refill():
            pass
        return [self._ready.popleft() for _ in range(min(groups, len(self._ready)))]

    def _refill(self) -> bool:
        wanted = self._group_size * _BLOCK_OF_GROUPS
        if self._left is not None:
            wanted = min(wanted, self._left)
        if wanted == 0:
            return False
        with self._ledger.reading() as connection:
            rows = connection.execute(self._query, {"after": self._after, "rows": wanted}).all()
        if not rows:
            return False
        self._after = rows[-1].business_id
        if self._left is not None:
            self._left -= len(rows)
        size = self._group_size
        self._ready.extend(Group(rows[i : i + size]) for i in range(0, len(rows), size))
        return True
