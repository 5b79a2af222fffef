"""What became of every row of a month: the table behind the pages, numbers and files."""

from collections import Counter

import pandas as pd
from sqlalchemy.engine import Connection

from kiva_pipeline.submission.ledger import known_outcomes
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
    planned = rows["decision"] == State.PLANNED.value
    if read_back and planned.any():
        ids = rows.loc[planned, "business_id"]
        outcomes = pd.DataFrame.from_records(
            [tuple(row) for row in known_outcomes(connection, kind, period, ids.min(), ids.max())],
            columns=["business_id", "version", *_OUTCOME],
        ).drop_duplicates("business_id", keep="last")
        found = rows.loc[planned, ["business_id"]].merge(
            outcomes.astype({"business_id": "str"}),
            on="business_id",
            how="left",
            validate="one_to_one",
        )
        for column, source in zip(
            ["decision", "reason_code", "reasons", "attempt_id", "remote_ref", "confirm_url"],
            _OUTCOME,
            strict=True,
        ):
            rows.loc[planned, column] = found[source].fillna("").astype("str").to_numpy()
    return rows[list(DECISION_COLUMNS)].astype(DECISION_COLUMNS)


_OUTCOME = ["state", "reason_code", "reasons", "attempt_id", "remote_ref", "confirm_url"]
