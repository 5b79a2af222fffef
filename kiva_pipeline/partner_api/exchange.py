"""One HTTP exchange of a POST, as the send path sees it: three outcomes, no httpx.

A read error happens both before and after a server applied the POST, so ``Unanswered`` says
nothing about whether it did. Only ``NotSent`` proves that the server never had the request.
"""

from dataclasses import dataclass
from enum import StrEnum


class PostKind(StrEnum):
    """What can be posted; also the kind of effect in the ledger."""

    LOAN_DRAFT = "loan_draft"
    REPAYMENT = "repayment"
    JOURNAL = "journal"

    @property
    def scope(self) -> str:
        """The OAuth scope that the POST needs."""
        return {"loan_draft": "create:loan_draft", "repayment": "create:repayment"}.get(
            self.value, "create:journal_update"
        )


@dataclass(frozen=True, slots=True)
class Answered:
    """The server answered in full.

    Attributes:
        status: The HTTP status.
        body: The parsed JSON; None when it was not JSON.
        is_json: Whether the body was JSON.
        retry_after_seconds: From ``Retry-After``, as seconds or as a date; None when absent or
            unreadable.
    """

    status: int
    body: object = None
    is_json: bool = True
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request never reached the server: DNS, connection, TLS, connect time-out, bad URL."""

    cause: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Whether the server applied the request can't be known: time-out, reset, half an answer."""

    cause: str


Exchange = Answered | NotSent | Unanswered
