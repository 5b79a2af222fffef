"""The client of Kiva's Partner API.

GETs and the token request are tried again with back-off; only this module, ``auth.py`` and
``connections.py`` know httpx. What must not break: ``post`` makes exactly one exchange, follows no
redirect, and says of a failure only what is certain.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import orjson
import pandas as pd
import stamina
import stamina.instrumentation

from kiva_pipeline.partner_api import listings
from kiva_pipeline.partner_api.auth import SCOPES, ClientCredentials, Grant
from kiva_pipeline.partner_api.connections import ENDPOINT, Connections
from kiva_pipeline.partner_api.errors import (
    ApiUnreachableError,
    CredentialsRejectedError,
    PartnerApiError,
    ScopeMissingError,
    ShortListError,
    UnreadableAnswerError,
    WrongPartnerError,
)
from kiva_pipeline.partner_api.exchange import Answered, Exchange, NotSent, PostKind, Unanswered
from kiva_pipeline.partner_api.retry_after import seconds_to_wait
from kiva_pipeline.settings import Secrets, Settings

_LOG = logging.getLogger(__name__)
_LONGEST_WAIT_SECONDS = 20.0  # between tries, where the server does not say

_ENDPOINTS = {
    PostKind.LOAN_DRAFT: "loan_draft",
    PostKind.REPAYMENT: "repayments",
    PostKind.JOURNAL: "journals",
}

# Raised before the first byte of the request can have left.
_NEVER_LEFT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)


class _TryAgain(Exception):  # noqa: N818  a signal for the retry loop, never shown
    def __init__(self, error: PartnerApiError, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after


def _log_retry(details: stamina.instrumentation.RetryDetails) -> None:
    failed = details.caused_by
    if isinstance(failed, _TryAgain):
        _LOG.warning("%s Trying again in %.1f s.", failed.error.message, details.wait_for)


# By itself stamina would write to standard output, which belongs to a command's answer.
stamina.instrumentation.set_on_retry_hooks([_log_retry])


class PartnerApi:
    """One partner's view of Kiva; made by ``PartnerApi.open``, closed by its ``with`` block."""

    def __init__(self, settings: Settings, secrets: Secrets, *, tries: int = 5) -> None:
        self._settings = settings
        self._secrets = secrets
        self._tries = tries
        self._partner = quote(settings.partner.id, safe="")
        self._connections = Connections(settings.api)
        self._auth = ClientCredentials(self._fetch_token)

    @classmethod
    def open(cls, settings: Settings, secrets: Secrets, *, tries: int = 5) -> "PartnerApi":
        """A client for these settings; nothing is requested yet.

        Args:
            settings: Hosts, time-outs, proxy, CA bundle.
            secrets: The client's credentials.
            tries: How often a GET is made before it fails for good.

        Raises:
            SettingsError: ``api.proxy`` or ``api.ca_bundle`` is no use.
        """
        return cls(settings, secrets, tries=tries)

    def __enter__(self) -> "PartnerApi":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def request_counts(self) -> Counter[str]:
        """Exchanges begun so far, by ``"METHOD endpoint"``."""
        return self._connections.counts.copy()

    def close(self) -> None:
        """Close every thread's connection."""
        self._connections.close()

    def check_grant(self, needed_scopes: Iterable[str]) -> Grant:
        """See that the credentials work, are this partner's, and may do what is needed.

        Raises:
            CredentialsRejectedError: They are refused.
            WrongPartnerError: They are another partner's.
            ScopeMissingError: A needed scope is not granted; it is named.
            ApiUnreachableError: The token endpoint does not answer.
        """
        grant = self._auth.grant()
        wanted = self._settings.partner.id
        if grant.partner_id and grant.partner_id != wanted:
            raise WrongPartnerError(
                f"The credentials belong to partner {grant.partner_id}, the settings say {wanted}.",
                "Correct partner.id, or use that partner's KIVA_CLIENT_ID and KIVA_CLIENT_SECRET.",
            )
        if missing := grant.missing(needed_scopes):
            raise ScopeMissingError(missing)
        return grant

    def lists(self) -> pd.DataFrame:
        """Kiva's activities, themes, languages and locations (``KIVA_LIST_COLUMNS``).

        Raises:
            PartnerApiError: Kiva does not answer, or not as documented.
        """
        self.check_grant([])
        return listings.lists_frame(
            {name: self._get(f"config/{name}", {}) for name in listings.LISTS}
        )

    def loans(self) -> pd.DataFrame:
        """Every loan of the partner (``KIVA_LOAN_COLUMNS``), in whatever status.

        The list may move while it is paged through, so a short one is read once more.

        Raises:
            ShortListError: Twice in a row fewer unique loans than Kiva says there are.
            PartnerApiError: Kiva does not answer, or not as documented.
        """
        self.check_grant(["read:loans"])
        frame, total = self._loans_once()
        if len(frame) < total:
            frame, total = self._loans_once()
        if len(frame) < total:
            raise ShortListError(
                f"GET /loans gave {len(frame):,} different loans of {total:,}, twice.",
                "Nothing was reported: a loan left out is invoiced as if it had paid. Try later;"
                " if it stays so, tell your Kiva contact.",
            )
        return frame

    def loans_total(self) -> int:
        """How many loans Kiva lists: one small GET, to see that it answers."""
        page = self._get("loans", {"limit": 1, "offset": 0})
        return listings.page_of_loans(page)[0]

    def post(self, kind: PostKind, body: bytes, attempt_id: str) -> Exchange:
        """Make exactly one POST.

        Args:
            kind: What is posted.
            body: The finished JSON.
            attempt_id: Sent as ``X-Request-ID``.

        Returns:
            What is known of how it went; a status or a broken connection never raises. After a 401
            or 403 the token is dropped, so that the next attempt has a fresh one.

        Raises:
            PartnerApiError: There was no token to send it with: nothing was sent.
        """
        endpoint = _ENDPOINTS[kind]
        path = self._settings.journals.path if kind is PostKind.JOURNAL else "partner"
        try:
            response = self._connections.of_this_thread().post(
                self._url(endpoint, path),
                content=body,
                headers={"Content-Type": "application/json", "X-Request-ID": attempt_id},
                auth=self._auth,
                extensions={ENDPOINT: f"POST {endpoint}"},
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return exchange_of(error)
        retry_after = _retry_after(response)
        try:
            return Answered(
                response.status_code,
                orjson.loads(response.content),
                retry_after_seconds=retry_after,
            )
        except orjson.JSONDecodeError:
            return Answered(response.status_code, is_json=False, retry_after_seconds=retry_after)

    def _loans_once(self) -> tuple[pd.DataFrame, int]:
        columns = listings.LoanColumns()
        offset, size, total = 0, self._settings.api.page_size, 1
        while offset < total:
            page = self._get("loans", {"limit": size, "offset": offset})
            total, rows = listings.page_of_loans(page)
            columns.add(rows)
            if not rows:
                break
            offset += len(rows)
        return columns.frame(), total

    def _url(self, endpoint: str, path: str = "partner") -> str:
        base = self._settings.hosts.base_url.rstrip("/")
        return f"{base}/v3/{path}/{self._partner}/{endpoint}"

    def _get(self, endpoint: str, query: dict[str, int]) -> dict[str, Any]:
        def once(request_id: str, what: str) -> dict[str, Any]:
            response = self._connections.of_this_thread().get(
                self._url(endpoint),
                params=query,
                headers={"X-Request-ID": request_id},
                auth=self._auth,
                extensions={ENDPOINT: f"GET {endpoint}"},
            )
            if response.status_code in {401, 403}:
                raise CredentialsRejectedError(
                    f"Kiva answers {response.status_code} to a fresh token ({what}).",
                    "Check the credentials and that they were granted read:loans.",
                )
            return _object(response, what)

        return self._retried(once, f"GET {endpoint}", self._settings.hosts.base_url)

    def _fetch_token(self) -> dict[str, object]:
        hosts = self._settings.hosts
        form = {
            "grant_type": "client_credentials",
            "scope": " ".join(SCOPES),
            "audience": hosts.audience,
            "client_id": self._secrets.client_id,
            "client_secret": self._secrets.client_secret,
        }

        def once(request_id: str, what: str) -> dict[str, Any]:
            # A client of its own: this may happen in the middle of a request of the thread's.
            with self._connections.fresh() as client:
                response = client.post(
                    hosts.auth_url,
                    data=form,
                    headers={"X-Request-ID": request_id},
                    extensions={ENDPOINT: "POST token"},
                )
            if response.status_code in {400, 401, 403}:
                raise CredentialsRejectedError(
                    f"Kiva refuses the credentials with {response.status_code} ({what}).",
                    "Check KIVA_CLIENT_ID, KIVA_CLIENT_SECRET and api.audience.",
                )
            return _object(response, what)

        return self._retried(once, "the token request", hosts.auth_url)

    def _retried(
        self, once: Callable[[str, str], dict[str, Any]], request: str, url: str
    ) -> dict[str, Any]:
        """Try what changes nothing at Kiva again, with growing waits.

        ``once`` is given its own X-Request-ID and the words by which an error names the request.
        """
        cap = self._settings.api.retry_after_cap_seconds

        def again(error: Exception) -> bool | float:
            if not isinstance(error, _TryAgain):
                return False
            return True if error.after is None else error.after <= cap and error.after

        tries = stamina.retry_context(
            on=again, attempts=self._tries, timeout=None, wait_max=_LONGEST_WAIT_SECONDS
        )
        try:
            for attempt in tries:
                with attempt:
                    request_id = str(uuid.uuid4())
                    what = f"{request} at {_host(url)}, X-Request-ID {request_id}"
                    try:
                        return once(request_id, what)
                    except (httpx.HTTPError, httpx.InvalidURL) as error:
                        raise _TryAgain(_unreachable(what, error)) from None
        except _TryAgain as last:
            raise last.error from None
        raise AssertionError  # a retry context returns or raises


def exchange_of(error: Exception) -> Exchange:
    """What a failure of httpx proves: ``NotSent`` only where nothing can have left."""
    cause = type(error).__name__
    return NotSent(cause) if isinstance(error, _NEVER_LEFT) else Unanswered(cause)


def _object(response: httpx.Response, what: str) -> dict[str, Any]:
    status = response.status_code
    if status == 429 or status >= 500:
        raise _TryAgain(
            ApiUnreachableError(f"Kiva answers {status} ({what}).", "Try again later."),
            _retry_after(response),
        )
    if not 200 <= status < 300:
        raise UnreadableAnswerError(
            f"Kiva answers {status} ({what}).",
            "Check partner.id, the addresses under api: and the environment.",
        )
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise UnreadableAnswerError(
            f"Kiva's answer is no JSON object ({what}).",
            "Check the addresses under api:; a proxy or a login page may have answered.",
        )
    return body


def _retry_after(response: httpx.Response) -> float | None:
    return seconds_to_wait(response.headers.get("Retry-After", ""), datetime.now(UTC))


def _unreachable(what: str, error: Exception) -> ApiUnreachableError:
    return ApiUnreachableError(
        f"Kiva does not answer: {type(error).__name__} ({what}).",
        "Check the network, api.proxy and the addresses under api:; then run again.",
    )


def _host(url: str) -> str:
    """Where a request goes, without a user or a password that an address may carry."""
    return urlsplit(url).netloc.rpartition("@")[2]
