"""What became of what a run planned, read back from the ledger; reads only.

Nearly all rows of a request end in the same way, and they stand side by side in the plan. So the
ledger is asked for the range of ids that each request covers, and row by row only for the rest.
What must not break: an answer that does not add up to the planned rows is not guessed at; then
every row is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from kiva_pipeline.submission.ledger_writes import pieces
from kiva_pipeline.submission.states import State
from kiva_pipeline.submission.tables import attempt, submission

_COLUMNS = ("decision", "reason_code", "reasons", "attempt_id")
_Outcome = tuple[str, ...]  # values of _COLUMNS
_ACCEPTED = "accepted"  # the reason code of a row about which Kiva said nothing of its own


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the planned rows of one run.

    Attributes:
        connection: From ``Ledger.reading``.
        kind: The kind of effect.
        period: The ledger's period.
        run_id: The run that planned them.
    """

    connection: Connection
    kind: str
    period: str
    run_id: str

    def of(
        self, ids: "pd.Series[str]", versions: "pd.Series[int]"
    ) -> dict[str, NDArray[np.object_]]:
        """Of each row ``decision, reason_code, reasons, attempt_id, remote_ref, confirm_url``.

        Args:
            ids: The planned rows' business ids, sorted and unique.
            versions: Their versions.
        """
        wanted, numbers = ids.tolist(), versions.tolist()
        table = self._by_request(wanted, numbers) or self._row_by_row(wanted, numbers)
        codes, rows = table
        told = {
            name: np.array([row[i] for row in rows], dtype=object)[codes]
            for i, name in enumerate(_COLUMNS)
        }
        references = self._references({row[3] for row in rows} - {""})
        for i, name in enumerate(("remote_ref", "confirm_url")):
            of_row = [references.get(row[3], ("", ""))[i] for row in rows]
            told[name] = np.array(of_row, dtype=object)[codes]
        return told

    def _by_request(
        self, ids: Sequence[str], versions: Sequence[int]
    ) -> tuple[NDArray[np.intp], list[_Outcome]] | None:
        """A few distinct outcomes, and which one each row has; None if that does not add up."""
        s = submission.c
        mine = sa.and_(
            s.kind == self.kind,
            s.period == self.period,
            s.business_id >= ids[0],
            s.business_id <= ids[-1],
            s.run_id == self.run_id,
        )
        plain = sa.and_(
            s.state == State.ACCEPTED.value, s.reason_code == _ACCEPTED, s.reasons == ""
        )
        requests = self.connection.execute(
            sa.select(
                s.attempt_id,
                sa.func.min(s.business_id),
                sa.func.max(s.business_id),
                sa.func.count(),
            )
            .where(mine, plain)
            .group_by(s.attempt_id)
        ).all()
        others = self.connection.execute(_ROWS.where(mine, sa.not_(plain))).all()
        places, codes = np.array(ids, dtype=object), np.full(len(ids), -1, dtype=np.intp)
        for code, (_, first, last, _) in enumerate(requests):
            begin, end = np.searchsorted(places, first), np.searchsorted(places, last, "right")
            codes[begin:end] = code
        rows: list[_Outcome] = [
            (State.ACCEPTED.value, _ACCEPTED, "", row[0] or "") for row in requests
        ]
        for business_id, version, *outcome in others:
            at = int(np.searchsorted(places, business_id))
            if ids[at] == business_id and versions[at] == version:
                codes[at] = len(rows)
                rows.append(tuple(outcome))
        counts = np.bincount(codes[codes >= 0], minlength=len(rows)).tolist()
        told = [row[3] for row in requests]
        if (codes < 0).any() or counts[: len(told)] != told:
            return None
        return codes, rows

    def _row_by_row(
        self, ids: Sequence[str], versions: Sequence[int]
    ) -> tuple[NDArray[np.intp], list[_Outcome]]:
        s = submission.c
        found = self.connection.execute(
            _ROWS.where(
                s.kind == self.kind,
                s.period == self.period,
                s.business_id >= ids[0],
                s.business_id <= ids[-1],
            )
        )
        rows: dict[tuple[str, int], _Outcome] = {
            (business_id, version): tuple(outcome) for business_id, version, *outcome in found
        }
        nothing = ("", "", "", "")
        told = [rows.get(key, nothing) for key in zip(ids, versions, strict=True)]
        return np.arange(len(told)), told

    def _references(self, attempt_ids: set[str]) -> dict[str, tuple[str, str]]:
        a = attempt.c
        query = sa.select(a.id, a.remote_ref, a.confirm_url)
        found: list[Any] = []
        for some in pieces(sorted(attempt_ids)):
            found += self.connection.execute(query.where(a.id.in_(some)))
        return {row.id: (row.remote_ref or "", row.confirm_url or "") for row in found}


_ROWS = sa.select(
    submission.c.business_id,
    submission.c.version,
    submission.c.state,
    submission.c.reason_code,
    submission.c.reasons,
    sa.func.coalesce(submission.c.attempt_id, ""),
)
