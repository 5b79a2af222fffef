"""What became of every row of a month: the table behind the pages, numbers and files."""

from collections import Counter

import pandas as pd

from kiva_pipeline.submission.run_outcomes import Outcomes
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


def final_decisions(plan: pd.DataFrame, outcomes: "Outcomes | None") -> pd.DataFrame:
    """A chunk of ``PLAN_COLUMNS`` in, ``DECISION_COLUMNS`` out.

    Args:
        plan: Sorted by ``business_id``.
        outcomes: What the run made of what was planned; None in a dry run, where it stays
            ``planned``.
    """
    rows = plan.assign(attempt_id="", remote_ref="", confirm_url="")
    planned = (rows["decision"] == State.PLANNED.value).to_numpy(dtype=bool)
    if outcomes is not None and planned.any():
        found = outcomes.of(rows.loc[planned, "business_id"], rows.loc[planned, "version"])
        for column, values in found.items():
            if planned.all():
                rows[column] = values
            else:
                told = rows[column].to_numpy(dtype=object, copy=True)
                told[planned] = values
                rows[column] = told
    return rows[list(DECISION_COLUMNS)].astype(DECISION_COLUMNS)
