"""The OAuth token, as an ``httpx.Auth``: fetched when needed, renewed before it runs out.

A GET that meets 401 or 403 is sent once more with a fresh token, because Kiva answers 403 to an
expired one. What must not break: a POST is never sent again from here. Its answer goes back to the
sender, who writes a new attempt ahead before it makes another exchange.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field

import httpx

from kiva_pipeline.partner_api.errors import CredentialsRejectedError, UnreadableAnswerError
from kiva_pipeline.partner_api.wire import snake_cased

SCOPES = ("read:loans", "create:loan_draft", "create:repayment", "create:journal_update")
_RENEW_BEFORE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows.

    Attributes:
        token: The secret itself; shown by no ``repr``.
        scopes: Granted, which may be fewer than asked for.
        partner_id: Whose token it is; "" when the answer does not say.
        expires_at: By the monotonic clock.
    """

    token: str = field(repr=False)
    scopes: frozenset[str]
    partner_id: str
    expires_at: float

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

    def grant(self) -> Grant:
        """A grant that is good for a while yet; one thread renews it and the others wait.

        Raises:
            PartnerApiError: No token can be had.
        """
        with self._lock:
            good_until = self._grant.expires_at - _RENEW_BEFORE_SECONDS if self._grant else 0.0
            if self._grant is None or self._monotonic() >= good_until:
                self._grant = _read(self._fetch(), self._monotonic())
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


def _read(answer: dict[str, object], now: float) -> Grant:
    fields = snake_cased(answer)
    token = fields.get("access_token")
    if not isinstance(token, str) or not token:
        raise UnreadableAnswerError("Kiva's token endpoint answered without an access_token.")
    if str(fields.get("token_type", "bearer")).casefold() != "bearer":
        raise CredentialsRejectedError("Kiva's token endpoint gave a token that is not a bearer's.")
    try:
        lifetime = float(str(fields.get("expires_in", 3600)))
    except ValueError:
        lifetime = 3600.0
    # A lifetime shorter than the margin must still be usable once.
    return Grant(
        token=token,
        scopes=frozenset(str(fields.get("scope") or "").split()),
        partner_id=str(fields.get("partner_id") or ""),
        expires_at=now + max(lifetime, _RENEW_BEFORE_SECONDS + 1.0),
    )
