"""One sender per partner, on both engines: who waits, who is told of, and what ends it."""

import getpass
import os
import shutil
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from kiva_pipeline.errors import LedgerError, SenderBusyError
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.lock import sender_lock
from kiva_pipeline_tests.live.ledgers import holder, ledger_at
from kiva_pipeline_tests.submission import books

ON_SQLITE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
ON_POSTGRES = pytest.mark.parametrize(
    "ledger_url", [pytest.param("postgres", marks=pytest.mark.live)], indirect=True
)


def test_a_second_sender_is_told_who_is_at_work(ledger_url):
    with ledger_at(ledger_url) as book, holder(ledger_url, "run-7") as other:
        with pytest.raises(SenderBusyError) as busy, sender_lock(book, run_id="x", wait_seconds=0):
            pytest.fail("two senders")
        assert (
            f"run run-7 (process {other.pid} of {getpass.getuser()} on {os.uname().nodename}"
            in str(busy.value)
        )
        assert "since 20" in str(busy.value)


def test_a_second_sender_waits_for_the_first_one(ledger_url):
    with ledger_at(ledger_url) as book, holder(ledger_url) as other:
        taken = threading.Event()

        def wait_for_it() -> None:
            with sender_lock(book, run_id="x", wait_seconds=60):
                taken.set()

        waiting = threading.Thread(target=wait_for_it)
        waiting.start()
        assert not taken.is_set()
        other.communicate("end\n")
        waiting.join(60)
        assert taken.is_set()


def test_the_lock_of_a_killed_sender_is_free(ledger_url):
    with ledger_at(ledger_url) as book, holder(ledger_url) as other:
        other.kill()
        other.wait()
        with sender_lock(book, run_id="x", wait_seconds=60):
            pass


def test_a_lock_can_be_taken_again_and_again_by_one_ledger(ledger_url):
    with ledger_at(ledger_url) as book:
        for _ in range(8):  # more often than a pool has connections
            with sender_lock(book, run_id="x", wait_seconds=0), book.writing():
                pass


def test_what_a_sender_wrote_before_it_failed_stands_and_the_rest_does_not(ledger_url):
    def fail(book: Ledger) -> None:
        with sender_lock(book, run_id="x", wait_seconds=0):
            books.mark(book, paused_by="Amina")
            with book.writing() as connection:
                connection.execute(text("UPDATE ledger SET paused_by = 'Bola'"))
                raise ZeroDivisionError

    with ledger_at(ledger_url) as book:
        with pytest.raises(ZeroDivisionError):
            fail(book)
        assert book.card().paused_by == "Amina"


def test_a_person_may_write_while_a_sender_is_at_work(ledger_url):
    with (
        ledger_at(ledger_url) as sending,
        ledger_at(ledger_url) as person,
        sender_lock(sending, run_id="x", wait_seconds=0),
    ):
        books.mark(person, paused_by="Amina")
        books.mark(sending, paused_why="holiday")
        assert (sending.card().paused_by, person.card().paused_why) == ("Amina", "holiday")


# -- SQLite: the lock is one with the ledger as long as both files are those that were there


@ON_SQLITE
@pytest.mark.parametrize("act", ["replaced", "deleted", "moved", "lock deleted", "lock replaced"])
def test_a_sender_whose_ledger_was_touched_commits_no_intent(ledger_url, act):
    file = Path(str(make_url(ledger_url).database))
    lock = file.with_name(file.name + ".sender.lock")
    with ledger_at(ledger_url) as book, sender_lock(book, run_id="x", wait_seconds=0):
        shutil.copy(file, file.with_name("copy"))
        if act == "replaced":
            file.with_name("copy").replace(file)
        elif act == "deleted":
            file.unlink()
        elif act == "moved":
            file.rename(file.with_name("elsewhere"))
        else:
            lock.unlink()
            if act == "lock replaced":
                lock.touch()
        refused = no_intent(book)
    assert "moved, replaced or deleted" in refused.message
    assert "restore a backup" in refused.fix


@ON_SQLITE
def test_what_was_committed_while_the_file_was_replaced_is_not_sent(ledger_url):
    file = Path(str(make_url(ledger_url).database))

    def commit(book: Ledger) -> None:
        with book.writing():
            file.with_name("copy").replace(file)

    with ledger_at(ledger_url) as book, sender_lock(book, run_id="x", wait_seconds=0):
        shutil.copy(file, file.with_name("copy"))
        with pytest.raises(LedgerError, match="moved, replaced or deleted"):
            commit(book)


# -- PostgreSQL: the lock is the session's that commits the intents


@ON_POSTGRES
def test_when_the_session_ends_so_does_the_ability_to_commit_an_intent(ledger_url, postgres):
    with ledger_at(ledger_url) as book, sender_lock(book, run_id="x", wait_seconds=0):
        end_senders(postgres, ledger_url)
        assert "the connection broke" in no_intent(book).message
        assert book.card()  # everyone else's connections are as good as ever
        again = no_intent(book)  # and nothing came back in silence
    assert "not the one that holds the sender lock" in again.message
    assert "Run again" in again.fix


@ON_POSTGRES
@pytest.mark.parametrize("act", ["SELECT pg_advisory_unlock_all()", "SET synchronous_commit = off"])
def test_a_session_that_lost_its_lock_or_its_durability_commits_no_intent(ledger_url, act):
    with ledger_at(ledger_url) as book, sender_lock(book, run_id="x", wait_seconds=0):
        with book.writing() as connection:
            connection.execute(text(act))
        assert "not the one that holds the sender lock" in no_intent(book).message


@ON_POSTGRES
def test_an_answer_is_kept_also_when_the_senders_session_is_lost(ledger_url, postgres):
    with ledger_at(ledger_url) as book, sender_lock(book, run_id="x", wait_seconds=0):
        end_senders(postgres, ledger_url)
        with book.settling() as connection:
            connection.execute(text("UPDATE ledger SET paused_why = 'an answer'"))
        assert book.card().paused_why == "an answer"


@ON_POSTGRES
def test_partners_and_environments_do_not_wait_for_each_other(ledger_url, postgres):
    with ledger_at(ledger_url) as book, sender_lock(book, run_id="x", wait_seconds=0):
        for owner in ({"partner_id": "146"}, {"environment": "staging"}):
            with (
                postgres.database() as name,
                ledger_at(postgres.address_of(name), **owner) as other,
                sender_lock(other, run_id="y", wait_seconds=0),
            ):
                pass


@ON_POSTGRES
def test_no_session_keeps_a_lock_once_the_sender_is_done(ledger_url, postgres):
    with ledger_at(ledger_url) as book:
        with sender_lock(book, run_id="x", wait_seconds=0):
            assert locks(postgres, ledger_url) == 1
        assert locks(postgres, ledger_url) == 0


def no_intent(book):
    """The refusal of a transaction that would write an intent."""
    with pytest.raises(LedgerError) as refused, book.writing():
        pytest.fail("an intent could be written")
    return refused.value


def end_senders(postgres, ledger_url):
    """As an administrator does: end the session that holds an advisory lock."""
    ended = postgres.do(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory'"
        f" AND database = (SELECT oid FROM pg_database WHERE datname = '{name_of(ledger_url)}')"
    )
    assert ended == [(True,)]


def locks(postgres, ledger_url):
    found = postgres.do(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        f" AND database = (SELECT oid FROM pg_database WHERE datname = '{name_of(ledger_url)}')"
    )
    return found[0][0]


def name_of(ledger_url):
    return make_url(ledger_url).database
