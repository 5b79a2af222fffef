"""A Kiva on loopback that a test tells how to answer, and clients of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import stamina

from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.settings import Secrets, Settings
from kiva_pipeline_tests.partner_api.servers import HttpServer

WIRE = Path(__file__).parent.parent / "wire"
SECRETS = Secrets("canary-client-id", "canary-client-secret/ü&=")

# The public half of a key that nobody kept. Reading the machine's certificates for every client
# would take longer than most tests.
FEW_CERTIFICATES = Path(__file__).with_name("one_certificate.pem")

Client = Callable[..., PartnerApi]


def settings_for(base_url: str, *, auth_url: str | None = None, **changes: Any) -> Settings:
    """Settings for a Kiva on loopback; ``changes`` are keys of the section ``api``, or ``journals``."""
    journals = changes.pop("journals", {})
    api = {
        "base_url": base_url,
        "auth_url": auth_url or f"{base_url}/oauth/token",
        "audience": "https://partner-api.example",
        "connect_timeout_seconds": 5,
        "read_timeout_seconds": 5,
        "ca_bundle": FEW_CERTIFICATES,
    }
    return Settings.model_validate(
        {
            "version": 1,
            "environment": "sandbox",
            "partner": {"id": changes.pop("partner_id", "145")},
            "api": api | changes,
            "calendar": {"timezone": "Africa/Kigali", "first_month": "2026-01"},
            "source": {"kind": "demo", "path": "mis.sqlite"},
            "repayments": {"amount": "principal_repaid", "column_format": "two_column"},
            "journals": {"mark": {"kind": "prefix", "value": "KIVA:"}} | journals,
        }
    )


@pytest.fixture(autouse=True)
def _no_waiting_between_tries() -> Iterator[None]:
    stamina.set_testing(True, attempts=99, cap=True)
    yield
    stamina.set_testing(False)


@pytest.fixture
def kiva() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


@pytest.fixture
def client(kiva: HttpServer) -> Iterator[Client]:
    """Makes clients of ``kiva``, or of ``base_url`` with ``kiva``'s tokens; closes them after."""
    stack = ExitStack()

    def made(base_url: str | None = None, *, tries: int = 5, **changes: Any) -> PartnerApi:
        changes.setdefault("auth_url", f"{kiva.url}/oauth/token")
        settings = settings_for(base_url or kiva.url, **changes)
        return stack.enter_context(PartnerApi.open(settings, SECRETS, tries=tries))

    with stack:
        yield made


@pytest.fixture
def api(client: Client) -> PartnerApi:
    return client()
