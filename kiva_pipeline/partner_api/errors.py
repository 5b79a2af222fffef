"""What can go wrong with Kiva's API outside of a POST's own outcome (see ``exchange.py``).

None of these carries a secret, a token, a body or a person's name.

    PartnerApiError            exit 4
    ├── ApiUnreachableError    no connection, time-out, 5xx after all tries
    ├── CredentialsRejectedError   the token endpoint says no, or 401/403 with a fresh token
    ├── ScopeMissingError      granted scopes do not cover what is needed
    ├── WrongPartnerError      the token is of another partner than the settings
    ├── UnreadableAnswerError  a 2xx that is not what the API documents
    └── ShortListError         fewer unique loans than total_records: never report on it
"""

from collections.abc import Iterable

from kiva_pipeline.errors import PipelineError


class PartnerApiError(PipelineError):
    """Base of what Kiva's API can answer or fail to."""

    exit_code = 4


class ApiUnreachableError(PartnerApiError):
    """No usable answer after all tries of a GET or of the token request."""


class CredentialsRejectedError(PartnerApiError):
    """The credentials, or a fresh token made with them, are refused."""


class ScopeMissingError(PartnerApiError):
    """The credentials work but may not do what is needed."""

    def __init__(self, missing: Iterable[str]) -> None:
        self.missing = tuple(sorted(missing))
        names = ", ".join(self.missing)
        super().__init__(
            f"The credentials are valid but lack the scope {names}.",
            "Ask your Kiva contact to grant it to this client, or leave out the jobs that need it.",
        )

    def __reduce__(self) -> tuple[type["ScopeMissingError"], tuple[tuple[str, ...]]]:
        return type(self), (self.missing,)


class WrongPartnerError(PartnerApiError):
    """The token was given for another partner id than the settings name."""


class UnreadableAnswerError(PartnerApiError):
    """The answer is not what the API documents."""


class ShortListError(PartnerApiError):
    """``GET /loans`` gave fewer loans than it says there are: a report would miss loans."""
