"""Connections to Kiva: one kept-alive connection for each thread, all made in the same way.

What must not break: certificates are always verified, no redirect is followed (it would carry the
token elsewhere), and a connection that idled for over two seconds is never used again, because the
other side may have closed it unseen and a POST on it would end in doubt for nothing.
"""

import importlib.metadata
import ssl
import threading
from collections import Counter

import httpx

from kiva_pipeline.errors import SettingsError
from kiva_pipeline.settings import Api

ENDPOINT = "endpoint"  # the request extension that exchanges are counted by
_KEEP_IDLE_SECONDS = 2.0
_USER_AGENT = f"kiva-pipeline/{importlib.metadata.version('kiva-pipeline')}"


class Connections:
    """The HTTP clients of one ``PartnerApi``.

    One client with one connection each is the cheapest way to post from several threads; a client
    that threads share scans its pool for every request.

    Args:
        api: Time-outs, proxy and CA bundle.

    Attributes:
        counts: Exchanges begun, by the ``endpoint`` extension of their requests.

    Raises:
        SettingsError: The proxy's address or the CA bundle is no use.
    """

    def __init__(self, api: Api) -> None:
        self.counts: Counter[str] = Counter()
        self._api = api
        self._tls = _tls(api)
        self._mine = threading.local()
        self._open: list[httpx.Client] = []
        self._lock = threading.Lock()
        try:
            self.fresh().close()
        except (ValueError, ImportError, httpx.InvalidURL):
            # The cause may show the password of the proxy.
            raise SettingsError(
                "api.proxy is not the address of a proxy that this program can use.",
                "Write it as http://host:port.",
            ) from None

    def of_this_thread(self) -> httpx.Client:
        """The calling thread's own client, kept until ``close``."""
        client: httpx.Client | None = getattr(self._mine, "client", None)
        if client is None or client.is_closed:
            client = self.fresh()
            self._mine.client = client
            with self._lock:
                self._open.append(client)
        return client

    def fresh(self) -> httpx.Client:
        """A client for one request, for the caller to close."""
        api = self._api
        return httpx.Client(
            verify=self._tls,
            proxy=api.proxy,
            trust_env=False,  # a proxy is a setting, not whatever a shell happens to export
            follow_redirects=False,
            timeout=httpx.Timeout(api.read_timeout_seconds, connect=api.connect_timeout_seconds),
            limits=httpx.Limits(max_connections=1, keepalive_expiry=_KEEP_IDLE_SECONDS),
            headers={"Accept": "application/json", "User-Agent": _USER_AGENT},
            event_hooks={"request": [self._count]},
        )

    def close(self) -> None:
        """Close every thread's connection."""
        with self._lock:
            while self._open:
                self._open.pop().close()

    def _count(self, request: httpx.Request) -> None:
        with self._lock:
            self.counts[request.extensions[ENDPOINT]] += 1


def _tls(api: Api) -> ssl.SSLContext:
    """One context for all clients: reading the certificates takes 30 ms each time."""
    try:
        return ssl.create_default_context(cafile=str(api.ca_bundle) if api.ca_bundle else None)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"api.ca_bundle: {api.ca_bundle} can't be read as certificates"
            f" ({type(error).__name__}).",
            "Give the path of a PEM file, or leave it out to use this machine's certificates.",
        ) from error
