"""What became of every row of a month: the table behind the pages, numbers and files."""

from collections import Counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from kiva_pipeline.submission.ledger import attempt_references, known_outcomes
from kiva_pipeline.submission.states import State

DECISION_COLUMNS = {
    "business_id": "str",
    "decision": "str",
    "reason_code": "str",
    "reasons": "str",
    "mis_rows": "int64",
    "amount": "Int64",
    "currency": "str",
    "currency_digits": "Int64",
    "effective_on": "str",
    "loan_ids": "str",
    "version": "int64",
    "attempt_id": "str",
    "remote_ref": "str",
    "confirm_url": "str",
}


class Tally:
    """Rows and money by decision, added up chunk by chunk.

    Attributes:
        rows: Rows by decision.
        mis_rows: MIS rows that all decisions together answer for.
        money: Minor units by decision and currency (with its number of decimals).
        reasons: Rows by reason code.
    """

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.mis_rows = 0
        self.money: Counter[tuple[str, str, int]] = Counter()
        self.reasons: Counter[tuple[str, str]] = Counter()

    def add(self, decisions: pd.DataFrame) -> None:
        """Add a chunk of ``DECISION_COLUMNS``."""
        self.rows.update(decisions["decision"].value_counts().to_dict())
        self.mis_rows += int(decisions["mis_rows"].sum())
        self.reasons.update(decisions.groupby(["decision", "reason_code"]).size().to_dict())
        paid = decisions.dropna(subset=["amount", "currency_digits"])
        sums = paid.groupby(["decision", "currency", "currency_digits"])["amount"].sum()
        self.money.update({key: int(total) for key, total in sums.items()})

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.rows.values())


def final_decisions(
    connection: Connection, plan: pd.DataFrame, kind: str, period: str, *, read_back: bool
) -> pd.DataFrame:
    """A chunk of ``PLAN_COLUMNS`` in, ``DECISION_COLUMNS`` out.

    Args:
        connection: From ``Ledger.reading``.
        plan: Sorted by ``business_id``.
        kind: The kind of effect.
        period: The ledger's period.
        read_back: Take the state of what was planned from the ledger, now that it was sent. In a
            dry run it stays ``planned``.
    """
    rows = plan.assign(attempt_id="", remote_ref="", confirm_url="")
    planned = (rows["decision"] == State.PLANNED.value).to_numpy(dtype=bool)
    if read_back and planned.any():
        ids = rows.loc[planned, "business_id"]
        found = _outcomes(connection, kind, period, ids)
        for column, values in found.items():
            if planned.all():
                rows[column] = values
            else:
                told = rows[column].to_numpy(dtype=object, copy=True)
                told[planned] = values
                rows[column] = told
    return rows[list(DECISION_COLUMNS)].astype(DECISION_COLUMNS)


def _outcomes(
    connection: Connection, kind: str, period: str, ids: "pd.Series[str]"
) -> dict[str, "NDArray[np.object_]"]:
    """The columns of what became of each of these ids; "" where the ledger has none."""
    wanted = tuple(ids.tolist())
    outcomes = known_outcomes(connection, kind, period, wanted[0], wanted[-1])
    of_id, *columns = list(zip(*outcomes, strict=True)) or [()] * (len(_OUTCOME) + 1)
    told = {
        name: np.array([*column, ""], dtype=object)
        for name, column in zip(_OUTCOME, columns, strict=True)
    }
    if of_id == wanted:
        told = {name: column[:-1] for name, column in told.items()}
    else:  # sorted by id and version: the last one of an id is the newest
        places = dict(zip(of_id, range(len(of_id)), strict=True))
        at = [places.get(each, -1) for each in wanted]
        told = {name: column[at] for name, column in told.items()}
    codes, attempts = pd.factorize(told["attempt_id"])
    references = attempt_references(connection, attempts.tolist())
    for i, name in enumerate(("remote_ref", "confirm_url")):
        of_attempt = [references.get(each, _NO_REFS)[i] for each in attempts.tolist()]
        told[name] = np.array(of_attempt, dtype=object)[codes]
    return told


_OUTCOME = ["decision", "reason_code", "reasons", "attempt_id"]
_NO_REFS = ("", "")
