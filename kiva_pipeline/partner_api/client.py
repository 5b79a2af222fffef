"""The client of Kiva's Partner API; with ``auth.py`` the only code that talks httpx.

GETs and the token request are tried again with back-off. What must not break: ``post`` makes
exactly one exchange, follows no redirect, and says of a failure only what is certain.
"""

import importlib.metadata
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any

import httpx
import orjson
import pandas as pd
import stamina

from kiva_pipeline.partner_api import listings
from kiva_pipeline.partner_api.auth import SCOPES, ClientCredentials, Grant
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
from kiva_pipeline.settings import Secrets, Settings

# A pooled connection that idled longer may have been closed by the other side unseen: a POST on it
# would end in doubt for nothing.
_KEEP_IDLE_SECONDS = 2.0

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


class PartnerApi:
    """One partner's view of Kiva; made by ``PartnerApi.open``, closed by its ``with`` block.

    Attributes:
        request_counts: Exchanges made, by ``"METHOD endpoint"``.
    """

    def __init__(self, settings: Settings, secrets: Secrets, *, tries: int = 5) -> None:
        self._settings = settings
        self._secrets = secrets
        self._tries = tries
        self._hosts = settings.hosts
        self._prefix = f"/v3/partner/{settings.partner.id}"
        self._tls = _tls(settings)
        self._threads = threading.local()
        self._clients: list[httpx.Client] = []
        self._lock = threading.Lock()
        self._auth = ClientCredentials(self._fetch_token)
        self.request_counts: Counter[str] = Counter()

    @classmethod
    def open(cls, settings: Settings, secrets: Secrets, *, tries: int = 5) -> "PartnerApi":
        """A client for these settings; nothing is requested yet.

        Args:
            settings: Hosts, time-outs, proxy, CA bundle.
            secrets: The client's credentials.
            tries: How often a GET is made before it fails for good.
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

    def close(self) -> None:
        """Close every thread's connection."""
        with self._lock:
            while self._clients:
                self._clients.pop().close()

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
            {
                name: self._get(f"config/{name}", {}, f"config/{name}")
                for name in ("activities", "themes", "locales", "locations")
            }
        )

    def loans(self) -> pd.DataFrame:
        """Every loan of the partner (``KIVA_LOAN_COLUMNS``), sorted by ``internal_loan_id``.

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
        page = self._get("loans", {"limit": 1, "offset": 0}, "loans")
        return listings.page_of_loans(page)[0]

    def post(self, kind: PostKind, body: bytes, attempt_id: str) -> Exchange:
        """Make exactly one POST.

        Args:
            kind: What is posted.
            body: The finished JSON.
            attempt_id: Sent as ``X-Request-ID``.

        Returns:
            What is known of how it went; a status or a broken connection never raises.

        Raises:
            PartnerApiError: There was no token to send it with: nothing was sent.
        """
        self._auth.grant()
        endpoint = _ENDPOINTS[kind]
        prefix = self._prefix
        if kind is PostKind.JOURNAL:
            prefix = prefix.replace("/v3/partner/", f"/v3/{self._settings.journals.path}/")
        headers = {"Content-Type": "application/json", "X-Request-ID": attempt_id}
        self._count(f"POST {endpoint}")
        try:
            response = self._client().post(
                f"{self._hosts.base_url}{prefix}/{endpoint}", content=body, headers=headers
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return exchange_of(error)
        try:
            parsed, is_json = orjson.loads(response.content), True
        except orjson.JSONDecodeError:
            parsed, is_json = None, False
        return Answered(response.status_code, parsed, is_json, _retry_after(response))

    def _loans_once(self) -> tuple[pd.DataFrame, int]:
        columns = listings.LoanColumns()
        offset, size, total = 0, self._settings.api.page_size, 1
        while offset < total:
            page = self._get("loans", {"limit": size, "offset": offset}, "loans")
            total, rows = listings.page_of_loans(page)
            columns.add(rows)
            if not rows:
                break
            offset += len(rows)
        return columns.frame(), total

    def _get(self, path: str, query: dict[str, int], endpoint: str) -> dict[str, Any]:
        url = f"{self._hosts.base_url}{self._prefix}/{path}"

        def once() -> dict[str, Any]:
            self._count(f"GET {endpoint}")
            response = self._client().get(url, params=query)
            if response.status_code in {401, 403}:
                raise CredentialsRejectedError(
                    f"Kiva answers {response.status_code} to GET {endpoint} with a fresh token.",
                    "Check the credentials and that they were granted read:loans.",
                )
            return _object(response, f"GET {endpoint}")

        return self._retried(once, f"GET {endpoint}")

    def _fetch_token(self) -> dict[str, object]:
        form = {
            "grant_type": "client_credentials",
            "scope": " ".join(SCOPES),
            "audience": self._hosts.audience,
            "client_id": self._secrets.client_id,
            "client_secret": self._secrets.client_secret,
        }

        def once() -> dict[str, Any]:
            self._count("POST token")
            # A client of its own: this may happen in the middle of a request of the thread's.
            with self._new_client(auth=None) as client:
                response = client.post(self._hosts.auth_url, data=form)
            if response.status_code in {400, 401, 403}:
                raise CredentialsRejectedError(
                    f"Kiva's token endpoint refuses the credentials ({response.status_code}).",
                    "Check KIVA_CLIENT_ID, KIVA_CLIENT_SECRET and api.audience.",
                )
            return _object(response, "the token request")

        return self._retried(once, "the token request")

    def _retried(self, once: Callable[[], dict[str, Any]], what: str) -> dict[str, Any]:
        """Try what changes nothing at Kiva again, with growing waits."""
        cap = self._settings.api.retry_after_cap_seconds

        def again(error: Exception) -> bool | float:
            if not isinstance(error, _TryAgain):
                return False
            if error.after is None:
                return True
            return max(error.after, 0.001) if error.after <= cap else False

        tries = stamina.retry_context(on=again, attempts=self._tries, timeout=None, wait_max=20)
        try:
            for attempt in tries:
                with attempt:
                    try:
                        return once()
                    except (httpx.HTTPError, httpx.InvalidURL) as error:
                        raise _TryAgain(_unreachable(self._hosts.base_url, what, error)) from None
        except _TryAgain as last:
            raise last.error from None
        raise AssertionError  # a retry context returns or raises

    def _client(self) -> httpx.Client:
        """This thread's client: one connection each is the cheapest way to have many."""
        client: httpx.Client | None = getattr(self._threads, "client", None)
        if client is None or client.is_closed:
            client = self._new_client(self._auth)
            self._threads.client = client
            with self._lock:
                self._clients.append(client)
        return client

    def _new_client(self, auth: httpx.Auth | None) -> httpx.Client:
        api = self._settings.api
        return httpx.Client(
            auth=auth,
            verify=self._tls,
            proxy=api.proxy,
            trust_env=False,  # a proxy is a setting, not whatever a shell happens to export
            follow_redirects=False,  # a redirect must not carry the token elsewhere
            timeout=httpx.Timeout(api.read_timeout_seconds, connect=api.connect_timeout_seconds),
            limits=httpx.Limits(max_connections=1, keepalive_expiry=_KEEP_IDLE_SECONDS),
            headers={"Accept": "application/json", "User-Agent": _USER_AGENT},
        )

    def _count(self, what: str) -> None:
        with self._lock:
            self.request_counts[what] += 1


def exchange_of(error: Exception) -> Exchange:
    """What a failure of httpx proves: ``NotSent`` only where nothing can have left."""
    cause = type(error).__name__
    return NotSent(cause) if isinstance(error, _NEVER_LEFT) else Unanswered(cause)


def _object(response: httpx.Response, what: str) -> dict[str, Any]:
    status = response.status_code
    if status == 429 or status >= 500:
        raise _TryAgain(
            ApiUnreachableError(f"Kiva answers {status} to {what}.", "Try again later."),
            _retry_after(response),
        )
    if not 200 <= status < 300:
        raise UnreadableAnswerError(
            f"Kiva answers {status} to {what}.",
            "Check partner.id, api.base_url and the environment.",
        )
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise UnreadableAnswerError(
            f"Kiva's answer to {what} is no JSON object.",
            "Check api.base_url: a proxy or a login page may have answered.",
        )
    return body


def _retry_after(response: httpx.Response) -> float | None:
    """``Retry-After`` in seconds from now, from either of its forms; None if it can't be read."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _tls(settings: Settings) -> ssl.SSLContext:
    """One context for all clients: building it reads a CA bundle, 30 ms each time."""
    bundle = settings.api.ca_bundle
    try:
        return ssl.create_default_context(cafile=str(bundle) if bundle else None)
    except (OSError, ssl.SSLError) as error:
        raise ApiUnreachableError(
            f"api.ca_bundle: {bundle} can't be read as certificates.", "Give a PEM file."
        ) from error


def _unreachable(base_url: str, what: str, error: Exception) -> ApiUnreachableError:
    return ApiUnreachableError(
        f"Kiva does not answer {what} at {_host(base_url)} ({type(error).__name__}).",
        "Check the network, api.proxy and api.base_url; then run again.",
    )


def _host(url: str) -> str:
    return url.split("://", 1)[-1].split("/", 1)[0]


_ENDPOINTS = {
    PostKind.LOAN_DRAFT: "loan_draft",
    PostKind.REPAYMENT: "repayments",
    PostKind.JOURNAL: "journals",
}
_USER_AGENT = f"kiva-pipeline/{importlib.metadata.version('kiva-pipeline')}"
