"""Decisions and reasons in words, as the ledger keeps them; without a borrower's name."""

import json
from collections.abc import Iterator

from kiva_pipeline.submission.states import SENTENCES, State

STREAMS = {"loan_draft": "loan drafts", "repayment": "repayments", "journal": "journals"}

# Decisions that leave something for a person to do.
WAITS_FOR_PERSON = frozenset(
    {State.UNCERTAIN, State.IN_FLIGHT, State.REJECTED, State.NEEDS_PERSON, State.HELD,
     State.MISSING, State.BLOCKED}
)  # fmt: skip

# In the order in which a person wants to know of them; what is not here comes last.
_URGENCY = [
    State.UNCERTAIN, State.IN_FLIGHT, State.REJECTED, State.NEEDS_PERSON, State.HELD,
    State.MISSING, State.BLOCKED,
]  # fmt: skip


def urgency(decision: str) -> int:
    """What a list for people is sorted by: the lower, the sooner it must be seen."""
    return _URGENCY.index(State(decision)) if decision in _URGENCY else len(_URGENCY)


def words(code: str) -> str:
    """A stable code as words: ``already_at_kiva`` gives ``already at kiva``."""
    return code.replace("_", " ")


def reasons_in_words(code: str, reasons: str) -> Iterator[dict[str, str]]:
    """``code, field, sentence, detail`` of each reason of a row.

    Args:
        code: The row's reason code, told where there is no more.
        reasons: The JSON list that the rules, the planner or the sender gave; empty for none.
    """
    told = json.loads(reasons) if reasons else []
    for reason in told:
        yield {
            "code": reason["code"],
            "field": reason["field"],
            "sentence": reason["sentence"],
            "detail": ": ".join(str(reason[k]) for k in ("value_class", "detail") if reason[k]),
        }
    if not told:
        yield {"code": code, "field": "", "sentence": SENTENCES.get(code, code), "detail": ""}
