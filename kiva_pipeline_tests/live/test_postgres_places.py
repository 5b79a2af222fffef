"""Where in PostgreSQL a ledger may live, what its sessions are like, and how each refusal reads."""

import os

import psycopg
import pytest
from sqlalchemy import text

from kiva_pipeline.errors import LedgerError, SenderBusyError
from kiva_pipeline.submission.ledger import ledger_exists
from kiva_pipeline.submission.lock import sender_lock
from kiva_pipeline.submission.store import Owner
from kiva_pipeline.submission.store_postgres import PASSWORD_VARIABLE, PostgresStore, lock_key
from kiva_pipeline_tests.live.ledgers import holder, ledger_at
from kiva_pipeline_tests.live.pgbouncer import pgbouncer
from kiva_pipeline_tests.live.postgres import free_port
from kiva_pipeline_tests.live.senders import BATCHES, Kiva, send

pytestmark = pytest.mark.live
PASSWORD = "hush-hush/ü&="


@pytest.fixture
def database(postgres):
    with postgres.database() as name:
        yield name


def refused(address, **owner):
    """Why a ledger can't be opened there."""
    with pytest.raises(LedgerError) as error, ledger_at(address, **owner):
        pass
    told = str(error.value)
    assert error.value.fix
    assert "hush" not in told
    assert error.value.__cause__ is None  # a driver's text may quote a row
    return told


# -- sessions


@pytest.mark.parametrize("kind", ["reading", "writing", "sending"])
def test_every_session_is_durable_in_utc_and_waits_but_not_for_ever(postgres, database, kind):
    for setting in ("synchronous_commit = off", "timezone = 'Asia/Dushanbe'", "lock_timeout = 0",
                    "statement_timeout = 0", "idle_session_timeout = '1s'"):  # fmt: skip
        postgres.do(f'ALTER DATABASE "{database}" SET {setting}')
    names = ["synchronous_commit", "TimeZone", "lock_timeout", "statement_timeout",
             "idle_session_timeout", "tcp_keepalives_idle", "application_name"]  # fmt: skip
    seen = text("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
    with ledger_at(postgres.address_of(database)) as book:
        if kind == "sending":
            with sender_lock(book, run_id="x", wait_seconds=1), book.writing() as connection:
                found = connection.execute(seen).one()
        else:
            with getattr(book, kind)() as connection:
                found = connection.execute(seen).one()
    assert found == ("on", "UTC", "30s", "2min", "0", "30", "kiva_pipeline")


def test_what_is_read_is_one_consistent_state(postgres, database):
    count = text("SELECT count(*) FROM report_month")
    with ledger_at(postgres.address_of(database)) as book, book.reading() as reading:
        before = reading.execute(count).scalar_one()
        with book.writing() as connection:
            connection.execute(text("INSERT INTO report_month (month) VALUES ('2026-09')"))
        assert reading.execute(count).scalar_one() == before
        with book.reading() as later:
            assert later.execute(count).scalar_one() == before + 1


def test_looking_makes_no_ledger(postgres, database):
    address = postgres.address_of(database)
    assert not ledger_exists(address)
    assert postgres.do("SELECT count(*) FROM pg_class WHERE relname = 'ledger'", database) == [(0,)]
    with ledger_at(address):
        assert ledger_exists(address)


def test_a_lock_has_the_same_number_in_every_version():
    assert lock_key("sender", Owner("production", "145")) == 4683545339939949412
    assert lock_key("sender", Owner("staging", "145")) != lock_key("sender", Owner("staging", "14"))


# -- poolers


@pytest.mark.parametrize("pool_mode", ["transaction", "statement"])
@pytest.mark.parametrize("pool_size", [2, 20])
def test_a_pooler_that_shares_sessions_is_refused(postgres, database, pool_mode, pool_size):
    with ledger_at(postgres.address_of(database)):
        pass
    with pgbouncer(postgres, pool_mode, default_pool_size=pool_size) as port:
        told = refused(postgres.address_of(database, port=port))
    assert "pooler" in told
    assert "session mode" in told


def test_a_pooler_that_other_clients_keep_busy_is_refused(postgres, database):
    with pgbouncer(postgres, "transaction") as port:
        address = postgres.address_of(database, port=port)
        client = address.replace("+psycopg", "")
        with psycopg.connect(client) as one, psycopg.connect(client) as two:
            for each in (one, two):  # each keeps a session of the server for its transaction
                each.execute("SELECT 1")
            assert "pooler" in refused(address)


def test_a_pooler_in_session_mode_is_as_good_as_the_server(postgres, database, tmp_path):
    with pgbouncer(postgres, "session") as port:
        address = postgres.address_of(database, port=port)
        with Kiva() as kiva, ledger_at(address) as book:
            send(book, kiva.url, tmp_path)
            assert len(kiva.posts) == BATCHES
            with (
                holder(postgres.address_of(database)),  # past the pooler, the same lock
                pytest.raises(SenderBusyError, match="Another sender is at work"),
            ):
                send(book, kiva.url, tmp_path)


def test_on_one_shared_session_a_second_sender_gets_no_lock(postgres, database, monkeypatch):
    """Where a pooler was not recognised: the server takes both senders for one and the same."""
    monkeypatch.setattr(PostgresStore, "refuse_unsafe", lambda _store: None)
    with pgbouncer(postgres, "transaction", default_pool_size=1) as port:
        address = postgres.address_of(database, port=port)
        with (
            ledger_at(address) as first,
            ledger_at(address) as second,
            sender_lock(first, run_id="x", wait_seconds=0),
            pytest.raises(LedgerError, match="pooler"),
            sender_lock(second, run_id="y", wait_seconds=0),
        ):
            pytest.fail("two senders")


# -- servers


def test_a_read_replica_is_refused(postgres, database):
    if not postgres.own:
        pytest.skip("the server is not ours")
    with postgres.as_standby():
        assert "read replica" in refused(postgres.address_of(database))


def test_a_server_that_forgets_is_refused(postgres, database):
    if not postgres.own:
        pytest.skip("the server is not ours")
    postgres.do("ALTER SYSTEM SET fsync = off")
    try:
        postgres.reload()
        assert "fsync=off" in refused(postgres.address_of(database))
    finally:
        postgres.do("ALTER SYSTEM RESET fsync")
        postgres.reload()


def test_a_database_that_cant_hold_every_script_is_refused(postgres):
    if not postgres.own:
        pytest.skip("the server is not ours")
    postgres.do("CREATE DATABASE kiva_latin ENCODING LATIN1 TEMPLATE template0 LC_COLLATE 'C'"
                " LC_CTYPE 'C'")  # fmt: skip
    assert "LATIN1" in refused(postgres.address_of("kiva_latin"))


def test_each_way_of_not_getting_in_is_told(postgres, database):
    address = postgres.address_of(database)
    assert "no such database" in refused(postgres.address_of("nowhere"))
    assert "does not answer" in refused(postgres.address_of(database, port=free_port()))
    assert "does not answer" in refused(postgres.address_of(database, host="db.invalid"))
    assert "the user or the password is wrong" in refused(
        postgres.address_of(database, username="nobody_here")
    )
    assert "holds a password" in refused(address.replace("@", ":hush-hush@"))
    assert "holds a password" in refused(f"{address}?password=hush-hush")


def test_a_user_without_rights_is_told_which(postgres, database):
    if not postgres.own:
        pytest.skip("the server is not ours")
    postgres.do("CREATE ROLE kiva_reader LOGIN")
    postgres.do("REVOKE CREATE ON SCHEMA public FROM PUBLIC", database)
    address = postgres.address_of(database, username="kiva_reader")
    told = refused(address)
    assert "a right is missing" in told
    assert "owner" in told


# -- the password


@pytest.fixture
def guarded(postgres, database, monkeypatch):
    """The address of a database that wants a password of its user."""
    if not postgres.own:
        pytest.skip("the server is not ours")
    for name in (PASSWORD_VARIABLE, "PGPASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)
    rules = postgres.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    postgres.do(f"CREATE ROLE kiva_guarded LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    rules.write_text(f"host all kiva_guarded 127.0.0.1/32 scram-sha-256\n{before}")
    postgres.reload()
    yield postgres.address_of(database, username="kiva_guarded")
    rules.write_text(before)
    postgres.reload()


def test_the_password_comes_from_the_environment_only(guarded, monkeypatch, tmp_path):
    assert "the user or the password is wrong" in refused(guarded)
    for name in (PASSWORD_VARIABLE, "PGPASSWORD"):
        monkeypatch.setenv(name, "hush-wrong")
        told = refused(guarded)
        assert "KIVA_PIPELINE_LEDGER_PASSWORD" in told
        monkeypatch.setenv(name, PASSWORD)
        with ledger_at(guarded) as book:
            assert PASSWORD not in repr(vars(book)) + repr(book._store.engine)
        monkeypatch.delenv(name)
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:*:*:kiva_guarded:{PASSWORD}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", os.fspath(file))
    with ledger_at(guarded):
        pass


def test_a_ledger_knows_its_partner_and_environment(postgres, database):
    address = postgres.address_of(database)
    with ledger_at(address):
        pass
    assert "belongs to partner 145 in sandbox" in refused(address, partner_id="146")
    assert "belongs to partner 145 in sandbox" in refused(address, environment="staging")
