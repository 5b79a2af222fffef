"""What all tests share: no test fails because the machine is busy, and both homes of a ledger."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from kiva_pipeline_tests.live.postgres import PostgresServer, postgres_server

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

SQLITE = "sqlite"
POSTGRES = "postgres"
BOTH_ENGINES = [SQLITE, pytest.param(POSTGRES, marks=pytest.mark.live)]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for this run of the tests; skips with a reason where none is to be had."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=BOTH_ENGINES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a ledger that is not born yet: a test that asks for it runs on both engines.

    ``@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)`` limits it to one.
    """
    if request.param == SQLITE:
        yield f"sqlite+pysqlite:///{tmp_path / 'ledger' / 'ledger.sqlite'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database() as name:
        yield server.address_of(name)
