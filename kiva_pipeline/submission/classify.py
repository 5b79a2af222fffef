"""One pure function from an HTTP exchange to what it means: the table of design §6.

What must not break: ``REJECTED`` and ``ACCEPTED`` need the server's own word. Everything that
leaves room for "it may have arrived" is ``UNCERTAIN``, because a POST can't be taken back.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from kiva_pipeline.partner_api import wire
from kiva_pipeline.partner_api.exchange import Answered, Exchange, NotSent, PostKind, Unanswered
from kiva_pipeline.submission.conflicts import normalised_id

# Statuses of the 4xx family after which the server may still have applied the request.
_UNCLEAR_4XX = frozenset({408, 409, 425})


class Fate(StrEnum):
    """What an exchange means for the request as a whole."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # not applied: the body is at fault
    UNCERTAIN = "uncertain"
    NOT_SENT = "not_sent"  # never reached the server: may be sent again
    THROTTLED = "throttled"  # 429: not applied, wait
    UNAUTHORISED = "unauthorised"  # 401, 403: not applied, renew the token once


@dataclass(frozen=True, slots=True)
class Verdict:
    """The meaning of one exchange.

    Attributes:
        fate: For the request as a whole.
        http_status: None when there was no answer.
        cause: Kiva's code, or the class of the failure.
        detail: Kiva's own words of a refusal, for the worklist; "" otherwise.
        reference: The draft's uuid, the upload's or the archive's id.
        confirm_url: Where a person publishes a journal.
        problems: Per loan, of an accepted repayment report.
        retry_after_seconds: Of a 429; None when Kiva gave none.
        foreign: An accepted answer names a loan that was not sent: the run must stop.
    """

    fate: Fate
    http_status: int | None = None
    cause: str = ""
    detail: str = ""
    reference: str = ""
    confirm_url: str = ""
    problems: tuple[wire.Problem, ...] = ()
    retry_after_seconds: float | None = None
    foreign: bool = False


def classify(  # noqa: PLR0911  one return a row of the table reads best
    kind: PostKind, exchange: Exchange, sent_loan_ids: Collection[str]
) -> Verdict:
    """Say what an exchange means.

    Args:
        kind: What was posted.
        exchange: How it went.
        sent_loan_ids: The loan ids in the body, as they were sent.
    """
    if isinstance(exchange, NotSent):
        return Verdict(Fate.NOT_SENT, cause=exchange.cause)
    if isinstance(exchange, Unanswered):
        return Verdict(Fate.UNCERTAIN, cause=exchange.cause)
    status = exchange.status
    if 200 <= status < 300:
        return _success(kind, exchange, sent_loan_ids)
    if status == 429:
        return Verdict(
            Fate.THROTTLED, status, "429", retry_after_seconds=exchange.retry_after_seconds
        )
    if status in {401, 403}:
        return Verdict(Fate.UNAUTHORISED, status, str(status))
    if 400 <= status < 500 and status not in _UNCLEAR_4XX:
        code, message = wire.error_text(exchange.body)
        return Verdict(Fate.REFUSED, status, code or str(status), detail=message)
    return Verdict(Fate.UNCERTAIN, status, f"status {status}")


def _success(kind: PostKind, answer: Answered, sent_loan_ids: Collection[str]) -> Verdict:
    if not answer.is_json:
        return Verdict(Fate.UNCERTAIN, answer.status, "2xx that is not JSON")
    receipt = wire.read_receipt(kind, answer.body)
    if receipt is None or not receipt.reference:
        return Verdict(Fate.UNCERTAIN, answer.status, "2xx without a reference")
    sent = {normalised_id(loan_id) for loan_id in sent_loan_ids} if receipt.problems else ()
    foreign = any(normalised_id(problem.loan_id) not in sent for problem in receipt.problems)
    return Verdict(
        Fate.UNCERTAIN if foreign else Fate.ACCEPTED,
        answer.status,
        "a problem names a loan that was not sent" if foreign else "",
        reference=receipt.reference,
        confirm_url=receipt.confirm_url,
        problems=receipt.problems,
        foreign=foreign,
    )
