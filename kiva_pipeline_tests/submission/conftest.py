"""Ledgers to test with: each test has its own, where ``ledger_url`` says."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline_tests.conftest import BOTH_ENGINES, SQLITE
from kiva_pipeline_tests.live.postgres import PostgresServer
from kiva_pipeline_tests.submission.books import PARTNER, Office, settings_for
from kiva_pipeline_tests.submission.desk import Desk
from kiva_pipeline_tests.submission.kiva import LoopbackKiva

NewUrl = Callable[[], str]
ON_BOTH_ENGINES = pytest.mark.parametrize("engine", BOTH_ENGINES, indirect=True)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """Where ledgers live: SQLite, but for tests that are parametrised with ``ON_BOTH_ENGINES``."""
    chosen: str = getattr(request, "param", SQLITE)
    return chosen


@pytest.fixture
def new_ledger_url(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Iterator[NewUrl]:
    """Gives the address of a ledger that is not born yet, another one at each call."""
    numbers = count(1)
    if engine == SQLITE:
        yield lambda: f"sqlite+pysqlite:///{tmp_path}/state-{next(numbers)}/ledger.sqlite"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with ExitStack() as databases:
        yield lambda: server.address_of(databases.enter_context(server.database()))


@pytest.fixture
def ledger_url(new_ledger_url: NewUrl) -> str:
    """Where the ledger of this test is."""
    return new_ledger_url()


@pytest.fixture
def book(ledger_url: str) -> Iterator[Ledger]:
    """A new ledger of the practice partner."""
    opened = Ledger.open(ledger_url, environment="sandbox", partner_id=PARTNER)
    yield opened
    opened.close()


@pytest.fixture
def office(book: Ledger, tmp_path: Path) -> Office:
    """A new ledger, on a day on which the report of September is open."""
    return Office(book, settings_for(), tmp_path / "spool")


@pytest.fixture
def kiva(ledger_url: str) -> Iterator[LoopbackKiva]:
    """A Kiva that knows where the ledger is."""
    with LoopbackKiva(ledger_url) as server:
        yield server


@pytest.fixture
def desk(kiva: LoopbackKiva, book: Ledger, tmp_path: Path) -> Desk:
    """Sends months to ``kiva``; one request at a time, one report row a request."""
    first = Desk(kiva, book, settings_for(kiva.url), tmp_path / "spool")
    state = {"folder": tmp_path / "state", "wait_for_lock_seconds": 0}
    return first.having(state=state, repayments={"batch_size": 1})
