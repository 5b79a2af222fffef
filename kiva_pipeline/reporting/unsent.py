"""The rows of a month that do not go to Kiva, and why, in words; without a borrower's name."""

import pandas as pd

from kiva_pipeline.reporting.words import reasons_in_words, urgency
from kiva_pipeline.submission.states import State

_WENT_OR_IS_THERE = [State.PLANNED.value, State.ACCEPTED.value, State.UNCHANGED.value]


def unsent_rows(decisions: pd.DataFrame) -> list[dict[str, str]]:
    """``DECISION_COLUMNS`` in, a line for each reason of each row that is not sent out.

    Returns:
        ``id, decision, code, field, sentence, detail``, the most urgent decisions first, by id.
    """
    unsent = decisions[~decisions["decision"].isin(_WENT_OR_IS_THERE)]
    unsent = (
        unsent.assign(urgency=unsent["decision"].map(urgency))
        .sort_values(["urgency", "decision", "business_id"], kind="stable")
    )  # fmt: skip
    columns = [unsent[c] for c in ("business_id", "decision", "reason_code", "reasons")]
    return [
        {"id": business_id, "decision": decision, **told}
        for business_id, decision, code, reasons in zip(*columns, strict=True)
        for told in reasons_in_words(code, reasons)
    ]
