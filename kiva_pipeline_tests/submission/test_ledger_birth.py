"""A ledger is born once, belongs to one partner for ever, and is refused in words."""

import multiprocessing
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kiva_pipeline.errors import LedgerError
from kiva_pipeline.submission.ledger import (
    ledger_exists,
    now_text,
)
from kiva_pipeline.submission.tables import submission
from kiva_pipeline_tests.submission.books import (
    DRAFT,
    PARTNER,
    draft_row,
    file_of,
    opened,
    states,
    version,
)
from kiva_pipeline_tests.submission.conftest import NewUrl

FAR_FUTURE = "9999"


def raw(url: str) -> sqlite3.Connection:
    return sqlite3.connect(file_of(url))


def test_a_ledger_is_born_on_its_own_with_an_identity(ledger_url: str) -> None:
    assert not ledger_exists(ledger_url)
    book = opened(ledger_url)
    assert ledger_exists(ledger_url)
    card = book.card()
    assert (card.environment, card.partner_id) == ("sandbox", PARTNER)
    assert card.born_at <= now_text()
    assert card.adopted_at is card.paused_by is None
    book.close()
    again = opened(ledger_url)
    assert again.card() == card
    again.close()


def test_two_ledgers_of_one_partner_can_be_told_apart(new_ledger_url: NewUrl) -> None:
    books = [opened(new_ledger_url()) for _ in range(2)]
    assert len({book.card().ledger_id for book in books}) == 2
    for book in books:
        book.close()


@pytest.mark.parametrize(("partner", "environment"), [("146", "sandbox"), (PARTNER, "production")])
def test_a_ledger_belongs_to_one_partner_for_ever(
    ledger_url: str, partner: str, environment: str
) -> None:
    opened(ledger_url).close()
    with pytest.raises(LedgerError, match=r"belongs to partner 145 in sandbox.*state\.folder"):
        opened(ledger_url, partner, environment)
    opened(ledger_url).close()


def test_a_ledger_of_a_newer_program_is_refused_and_left_as_it_is(ledger_url: str) -> None:
    opened(ledger_url).close()
    with raw(ledger_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (FAR_FUTURE,))
    connection.close()
    with pytest.raises(LedgerError, match=f"schema {FAR_FUTURE}.*newer kiva_pipeline"):
        opened(ledger_url)
    with raw(ledger_url) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [
            (FAR_FUTURE,)
        ]
    connection.close()


@pytest.mark.parametrize("content", [b"not a database, but long enough to be one" * 200])
def test_a_file_that_is_no_ledger_is_refused_in_words(ledger_url: str, content: bytes) -> None:
    path = file_of(ledger_url)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(LedgerError):
        opened(ledger_url)
    assert path.read_bytes() == content


@pytest.mark.parametrize("url", ["nonsense", "nosuch+driver:///x", "sqlite+nodriver:///x"])
def test_an_address_that_is_none_is_refused_in_words(url: str) -> None:
    with pytest.raises(LedgerError, match=r"state\.ledger_url"):
        opened(url)


def test_a_folder_in_the_files_place_is_refused_in_words(ledger_url: str) -> None:
    file_of(ledger_url).mkdir(parents=True)
    with pytest.raises(LedgerError):
        opened(ledger_url)


def _born(url: str, start: Any, answers: Any) -> None:
    start.wait()
    try:
        book = opened(url)
        answers.put(book.card().ledger_id)
        book.close()
    except Exception as error:  # noqa: BLE001  told to the test
        answers.put(f"{type(error).__name__}: {error}")


def test_programs_that_meet_at_its_birth_share_one_ledger(new_ledger_url: NewUrl) -> None:
    fork = multiprocessing.get_context("fork")
    for _ in range(3):
        url, start, answers = new_ledger_url(), fork.Event(), fork.Queue()
        programs = [fork.Process(target=_born, args=(url, start, answers)) for _ in range(6)]
        for program in programs:
            program.start()
        start.set()
        told = [answers.get(timeout=60) for _ in programs]
        for program in programs:
            program.join()
        assert len(set(told)) == 1, told
        assert len(told[0]) == 36, told


def test_threads_that_meet_at_its_birth_share_one_ledger(ledger_url: str) -> None:
    together = threading.Barrier(6)

    def born(_: int) -> str:
        together.wait()
        book = opened(ledger_url)
        ledger_id: str = book.card().ledger_id
        book.close()
        return ledger_id

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(born, range(6)))) == 1


def test_a_ledger_that_is_just_being_born_by_another_is_waited_for(ledger_url: str) -> None:
    """SQLite makes nobody wait who turns on the write-ahead log; that must be done by us."""
    file_of(ledger_url).parent.mkdir(parents=True)
    with ThreadPoolExecutor(1) as pool:
        other = sqlite3.connect(file_of(ledger_url), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = pool.submit(opened, ledger_url)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.2)
        other.execute("ROLLBACK")
        other.close()
        waiting.result().close()


def test_a_ledger_of_the_first_version_is_brought_up_to_date_with_its_rows(
    ledger_url: str, tmp_path: Path
) -> None:
    from alembic import command
    from alembic.config import Config

    path = file_of(ledger_url)
    path.parent.mkdir(parents=True)
    config = Config()
    import kiva_pipeline.submission.migrations as migrations

    (folder,) = migrations.__path__
    config.set_main_option("script_location", folder)
    engine = sa.create_engine(ledger_url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(
            "INSERT INTO ledger (id, environment, partner_id, born_at)"
            " VALUES (1, 'sandbox', '145', '2026-01-01T00:00:00.000000Z')"
        )
        connection.execute(submission.insert(), [version(DRAFT, draft_row("L1"), "accepted")])
    engine.dispose()
    book = opened(ledger_url)
    assert states(book) == {"L1": "accepted"}
    assert len(book.card().ledger_id) == 36
    book.close()
