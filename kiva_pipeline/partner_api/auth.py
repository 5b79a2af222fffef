"""The OAuth token, as an ``httpx.Auth``: fetched when needed, renewed before it runs out.

A GET that meets 401 or 403 is sent once more with a fresh token, because Kiva answers 403 to an
expired one. What must not break: a POST is never sent again from here. Its answer goes back to the
sender, who writes a new attempt ahead before it makes another exchange.
"""

import math
import re
import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field

import httpx

from kiva_pipeline.partner_api.errors import (
    CredentialsRejectedError,
    PartnerApiError,
    UnreadableAnswerError,
)
from kiva_pipeline.partner_api.wire import snake_cased, text_of

SCOPES = ("read:loans", "create:loan_draft", "create:repayment", "create:journal_update")
_RENEW_BEFORE_SECONDS = 120.0
_USUAL_LIFETIME_SECONDS = 3600.0  # where the answer does not say


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows.

    Attributes:
        token: The secret itself; shown by no ``repr``.
        scopes: Granted, which may be fewer than asked for.
        partner_id: Whose token it is; "" when the answer does not say.
        renew_at: By the monotonic clock; from then on it is not used any more.
    """

    token: str = field(repr=False)
    scopes: frozenset[str]
    partner_id: str
    renew_at: float

    def missing(self, needed: Iterable[str]) -> frozenset[str]:
        """The scopes of ``needed`` that were not granted."""
        return frozenset(needed) - self.scopes


class ClientCredentials(httpx.Auth):
    """OAuth 2 client credentials (RFC 6749 §4.4), shared by all threads of a client.

    Args:
        fetch: Asks the token endpoint, with retries; returns its JSON object. Raises typed errors.
        monotonic: The clock that tokens run out by.
    """

    def __init__(
        self,
        fetch: Callable[[], dict[str, object]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._grant: Grant | None = None
        self._failure: PartnerApiError | None = None
        self._renewals = 0

    def grant(self) -> Grant:
        """A grant that is good for a while yet.

        One thread renews it; those that wait for it share its grant, or its failure.

        Raises:
            PartnerApiError: No token can be had.
        """
        renewals_seen, now = self._renewals, self._monotonic()
        with self._lock:
            if self._grant is not None and now < self._grant.renew_at:
                return self._grant
            if self._failure is not None and self._renewals > renewals_seen:
                raise self._failure
            self._grant = self._failure = None
            try:
                self._grant = read_grant(self._fetch(), self._monotonic())
            except PartnerApiError as error:
                self._failure = error
                raise
            finally:
                self._renewals += 1
            return self._grant

    def drop(self, token: str) -> None:
        """Forget a token that was refused, unless another thread has renewed it already."""
        with self._lock:
            if self._grant is not None and self._grant.token == token:
                self._grant = None

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token; on a refusal drop it, and send a GET, never a POST, once more."""
        token = self.grant().token
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code not in {401, 403}:
            return
        self.drop(token)
        if request.method == "GET":
            request.headers["Authorization"] = f"Bearer {self.grant().token}"
            yield request


def read_grant(answer: dict[str, object], now: float) -> Grant:
    """Read the token endpoint's answer.

    Args:
        answer: Its JSON object.
        now: By the monotonic clock.

    Raises:
        UnreadableAnswerError: There is no token in it that a header could carry.
        CredentialsRejectedError: The token is not a bearer's.
    """
    fields = snake_cased(answer)
    token = text_of(fields.get("access_token"))
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise UnreadableAnswerError("Kiva's token endpoint answered without a usable access_token.")
    if text_of(fields.get("token_type") or "bearer").casefold() != "bearer":
        raise CredentialsRejectedError("Kiva's token endpoint gave a token that is not a bearer's.")
    lifetime = _seconds(fields.get("expires_in"))
    scope = fields.get("scope")
    return Grant(
        token=token,
        # An answer without a scope grants what was asked for (RFC 6749 §5.1).
        scopes=frozenset(SCOPES if scope is None else text_of(scope).split()),
        partner_id=text_of(fields.get("partner_id")).strip(),
        # A lifetime shorter than the margin must still be usable.
        renew_at=now + lifetime - min(_RENEW_BEFORE_SECONDS, lifetime / 2),
    )


def _seconds(value: object) -> float:
    try:
        seconds = float(text_of(value))
    except ValueError:
        return _USUAL_LIFETIME_SECONDS
    return seconds if math.isfinite(seconds) and seconds > 0 else _USUAL_LIFETIME_SECONDS
