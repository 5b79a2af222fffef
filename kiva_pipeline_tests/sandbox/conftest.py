"""A sandbox on loopback with a few loans, and a client that holds a token for it."""

import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from kiva_pipeline.periods import Month
from kiva_pipeline.sandbox.seed import seed
from kiva_pipeline.sandbox.seed_records import KivaLoanSeed
from kiva_pipeline.sandbox.server import RunningSandbox

# Reading the machine's certificates takes longer than most tests; on loopback none is needed.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
SCOPES = "read:loans create:loan_draft create:repayment create:journal_update"
BASE = "/v3/partner/145"

PAYING = KivaLoanSeed(
    internal_loan_id="1042970",
    internal_client_id="184729",
    borrower_count=1,
    name="Азиз",
    location="Dushanbe: Tajikistan",
    currency="TJS",
    price="3500.00",
    status="payingBack",
    disbursed_on=date(2026, 3, 1),
    last_reported=None,
    activity="Retail",
)
LOANS = [
    PAYING,
    replace(PAYING, internal_loan_id="1043223", internal_client_id="481395", name="Ghulam"),
    replace(
        PAYING,
        internal_loan_id="G-40",
        internal_client_id="G",
        borrower_count=40,
        name="Twisungane",
        currency="RWF",
        price="12000000",
        status="defaulted",
        last_reported="9000000",
    ),
    replace(PAYING, internal_loan_id="ENDED", status="ended", last_reported="3500.00"),
    replace(PAYING, internal_loan_id="RAISING", status="fundRaising"),
    replace(
        PAYING, internal_loan_id="JOD-1", currency="JOD", price="1250.125", last_reported="250.025"
    ),
]


@dataclass(frozen=True)
class Practice:
    """A running sandbox and a client with every scope."""

    url: str
    path: Path
    client: httpx.Client

    def get(self, path: str, **options: Any) -> Any:
        answer = self.client.get(BASE + path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any) -> Any:
        answer = self.client.post(BASE + path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, path: str, body: Any, status: int = 400) -> dict[str, str]:
        answer = self.client.post(BASE + path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def control(self, path: str, method: str = "GET", **options: Any) -> Any:
        answer = self.client.request(method, f"/_sandbox/{path}", **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def report(self, *rows: tuple[Any, ...]) -> list[tuple[str, str, str]]:
        """Post rows of (loan id, amount[, client id]); the problems as (loan, code, severity)."""
        names = ("loan_id", "amount", "client_id")
        body = {"repayments": [dict(zip(names, row, strict=False)) for row in rows]}
        problems = self.post("/repayments", body)["problems"]
        return [(p["loan_id"], p["code"].removeprefix("sandbox."), p["severity"]) for p in problems]

    def counted(self, loan_id: str) -> dict[str, str]:
        """The value that counts for a loan, by period."""
        rows = self.control("repayments", params={"loan_id": loan_id})["repayments"]
        return {row["period"]: row["amount"] for row in rows}


def token_of(client: httpx.Client, **changes: str | None) -> httpx.Response:
    form = {
        "grant_type": "client_credentials",
        "client_id": "sandbox",
        "client_secret": "sandbox",
        "audience": "kiva-sandbox",
        "scope": SCOPES,
    } | changes
    return client.post("/oauth/token", data={k: v for k, v in form.items() if v is not None})


def with_token(url: str, **changes: str) -> httpx.Client:
    with httpx.Client(base_url=url, verify=NO_TLS) as asking:
        token = token_of(asking, **changes).json()["access_token"]
    return httpx.Client(
        base_url=url, verify=NO_TLS, timeout=20, headers={"Authorization": f"Bearer {token}"}
    )


@pytest.fixture(scope="session")
def in_background() -> Iterator[Executor]:
    """Stopping a server takes it a tick or two; no test waits for another one's."""
    with ThreadPoolExecutor() as executor:
        yield executor


@pytest.fixture
def start(tmp_path: Path, in_background: Executor) -> Iterator[Callable[..., Practice]]:
    """Starts a sandbox of a partner's own; keyword arguments go to ``seed``."""
    stack = ExitStack()

    def started(**options: Any) -> Practice:
        path = tmp_path / "sandbox.sqlite"
        partner = {"partner_id": "145", "partner_name": "Example MFI", "loans": LOANS}
        seed(path, **partner | {"open_month": Month(2026, 10)} | options)
        sandbox = stack.enter_context(RunningSandbox(path))
        return Practice(sandbox.url, path, stack.enter_context(with_token(sandbox.url)))

    yield started
    in_background.submit(stack.close)


@pytest.fixture
def practice(start: Callable[..., Practice]) -> Practice:
    return start()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    """One sandbox for tests that leave it as it is, or do not mind what others left."""
    path = tmp_path_factory.mktemp("shared") / "sandbox.sqlite"
    seed(path, partner_id="145", partner_name="Example MFI", loans=LOANS)
    with RunningSandbox(path) as sandbox, with_token(sandbox.url) as client:
        yield Practice(sandbox.url, path, client)
