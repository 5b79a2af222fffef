"""From a verdict to what the ledger records for an attempt and each of its rows. Pure."""

from collections.abc import Iterable, Sequence

import orjson

from kiva_pipeline.partner_api.wire import Problem
from kiva_pipeline.submission.attempts import RowOutcome, Settlement
from kiva_pipeline.submission.classify import Fate, Verdict
from kiva_pipeline.submission.conflicts import normalised_id
from kiva_pipeline.submission.queue import Group
from kiva_pipeline.submission.reason_json import reason
from kiva_pipeline.submission.states import SENTENCES, State


def settlement_of(verdict: Verdict, group: Group, attempt_id: str) -> Settlement:
    """What to record for the attempt that carried ``group`` and met ``verdict``."""
    state, code, reasons = _of_all(verdict, single=len(group.rows) == 1)
    return Settlement(
        attempt_id=attempt_id,
        verdict=verdict.fate.value,
        state=state,
        reason_code=code,
        reasons=reasons,
        http_status=verdict.http_status,
        cause=verdict.cause,
        remote_ref=verdict.reference,
        confirm_url=verdict.confirm_url,
        exceptions=_of_each(verdict.problems, group) if verdict.fate is Fate.ACCEPTED else (),
    )


def _of_all(verdict: Verdict, *, single: bool) -> tuple[State, str, str]:
    if verdict.fate is Fate.ACCEPTED:
        return State.ACCEPTED, "accepted", ""
    if verdict.fate is Fate.REFUSED and single:
        return (
            State.REJECTED,
            "rejected",
            _kivas_words([("rejected", verdict.cause, verdict.detail)]),
        )
    if verdict.fate is Fate.UNCERTAIN:
        code = "foreign_problem" if verdict.foreign else "outcome_unknown"
        return State.UNCERTAIN, code, reason(code, verdict.cause)
    return State.PLANNED, verdict.fate.value, ""


def _of_each(problems: Sequence[Problem], group: Group) -> list[RowOutcome]:
    """Rows that Kiva's answer names: an error refuses the row, a warning does not."""
    if not problems:
        return []
    by_loan: dict[str, list[Problem]] = {}
    for problem in problems:
        by_loan.setdefault(normalised_id(problem.loan_id), []).append(problem)
    outcomes = []
    for row in group.rows:
        named = by_loan.get(normalised_id(row.business_id), [])
        errors = [problem for problem in named if problem.severity != "warning"]
        if not named:
            continue
        code = "rejected" if errors else "accepted_with_warning"
        outcomes.append(
            RowOutcome(
                row.business_id,
                State.REJECTED if errors else State.ACCEPTED,
                code,
                _kivas_words([(code, p.code, p.details) for p in errors or named]),
            )
        )
    return outcomes


def _kivas_words(told: Iterable[tuple[str, str, str]]) -> str:
    return orjson.dumps(
        [
            {
                "code": code,
                "field": "",
                "value_class": kivas_code,
                "severity": "warn" if code == "accepted_with_warning" else "block",
                "sentence": SENTENCES[code],
                "detail": words,
            }
            for code, kivas_code, words in told
        ]
    ).decode()
