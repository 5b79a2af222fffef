"""What a person does next about a row: where to look in PA2, and the very command to type.

The command line, Dagster's jobs and the worklist say the same. What must not break: no text of the
MIS goes into a command but an id, and that is quoted as a shell needs it.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from kiva_pipeline.money import to_digits
from kiva_pipeline.submission.states import (
    LIFTED_BY_APPROVAL,
    NOT_THERE,
    RESENT,
    RETRY_ASKED,
    State,
)

# What `--stream` calls each kind of effect.
STREAM_OPTIONS = {"loan_draft": "drafts", "repayment": "repayments", "journal": "journals"}
_SIGNED = '--by NAME --why "REASON"'


def look_for(row: Mapping[str, Any]) -> str:
    """What to look for in PA2, to learn whether a row arrived.

    Args:
        row: A row of ``submission`` with its attempt's ``started_at``.
    """
    loan, day = row["business_id"], (row["started_at"] or "")[:10]
    amount = money(row)
    if row["kind"] == "loan_draft":
        return (
            f"In PA2, look among the loan drafts for loan id {loan} of client {row['client_id']},"
            f" {amount}, disbursed on {row['effective_on']}."
        )
    if row["kind"] == "repayment":
        return (
            f"In PA2, open the repayment report of {row['month']}: does loan {loan} show {amount}"
            f" repaid, from an upload of {day}?"
        )
    loan_id, _, note = loan.partition("/")
    return f"In PA2, look among the journals of {day} for loan {loan_id} (note {note} of the MIS)."


def money(row: Mapping[str, Any]) -> str:
    """The row's amount with its currency, exactly; "" where there is none."""
    if row["amount"] is None or row["currency_digits"] is None:
        return ""
    return f"{row['currency']} {to_digits(row['amount'], row['currency_digits'])}"


def commands(row: Mapping[str, Any]) -> list[str]:
    """The commands of which a person types one next, complete but for name and reason.

    Args:
        row: A row of ``submission``.
    """
    state, code = State(row["state"]), row["reason_code"]
    target, stream = shlex.quote(row["business_id"]), STREAM_OPTIONS[row["kind"]]
    again = state is State.PLANNED and code == RESENT
    if state in {State.UNCERTAIN, State.IN_FLIGHT} or again:
        if row["kind"] == "repayment":  # an upload is there as a whole, or not at all
            target = row["attempt_id"] or target
        act = f"kiva-pipeline resolve {target} --stream {stream}"
        return [f"{act} --arrived {_SIGNED}", f"{act} --not-there {_SIGNED}"]
    if state is State.HELD and code in LIFTED_BY_APPROVAL:
        return [f"kiva-pipeline approve {target} --month {row['month']} {_SIGNED}"]
    if state in {State.HELD, State.MISSING}:
        return [f"kiva-pipeline held {row['month']}"]
    if state is State.REJECTED and code != RETRY_ASKED:
        return [f"kiva-pipeline retry {target} --stream {stream} {_SIGNED}"]
    if state in {State.PLANNED, State.DEFERRED, State.REJECTED} or code == NOT_THERE:
        return [f"kiva-pipeline run {row['month']} --stream {stream}"]
    return []


def command_of_state(kind: str, month: str, state: str) -> str:
    """The command that shows the rows of a state, or sends them; "" where nobody has to act."""
    stream = STREAM_OPTIONS[kind]
    if not month:  # what was adopted: Kiva had it before there were months here
        return ""
    if state in {State.UNCERTAIN, State.IN_FLIGHT}:
        return f"kiva-pipeline doubts {month}"
    if state in {State.HELD, State.MISSING}:
        return f"kiva-pipeline held {month}"
    if state in {State.REJECTED, State.BLOCKED, State.NEEDS_PERSON} or (
        state == State.ACCEPTED and kind != "repayment"
    ):
        return f"kiva-pipeline worklist {month}"
    if state in {State.PLANNED, State.DEFERRED}:
        return f"kiva-pipeline run {month} --stream {stream}"
    return ""
