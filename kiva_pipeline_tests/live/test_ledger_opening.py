"""Opening a ledger on both engines: new, old, newer, another's, half restored, in use."""

import contextlib
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from kiva_pipeline.errors import LedgerError
from kiva_pipeline.submission import schema, store_postgres, store_sqlite
from kiva_pipeline.submission.ledger import history, ledger_exists
from kiva_pipeline_tests.live import old_ledgers
from kiva_pipeline_tests.live.ledgers import ledger_at, process
from kiva_pipeline_tests.live.senders import LOANS, ROWS, Kiva, send
from kiva_pipeline_tests.live.test_sender_lock import ON_SQLITE
from kiva_pipeline_tests.submission import books


def refusal(url, **owner):
    """Why it is not opened, and what to do."""
    with pytest.raises(LedgerError) as error, ledger_at(url, **owner):
        pass
    assert error.value.fix
    return str(error.value)


def change(url, *statements):
    """Past the program, as a person with a database's own tools does."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


def file_of(ledger_url):
    return Path(str(make_url(ledger_url).database))


# -- new, and of an earlier version


def test_three_programs_that_open_a_new_ledger_at_once_open_the_same_one(ledger_url):
    assert not ledger_exists(ledger_url)
    with contextlib.ExitStack() as stack:
        programs = [stack.enter_context(process("opening", ledger_url)) for _ in range(3)]
        for program in programs:
            assert program.stdout.readline() == "ready\n"
        for program in programs:
            program.stdin.write("go\n")
            program.stdin.flush()
        opened = [program.communicate()[0] for program in programs]
    with ledger_at(ledger_url) as book:
        assert opened == [f"{book.card().ledger_id}\n"] * 3


EARLIER = [each.revision for each in schema._scripts().walk_revisions()][1:]


@pytest.mark.parametrize("version", EARLIER)
def test_a_ledger_of_an_earlier_version_keeps_all_it_knew_and_sends_the_difference(
    ledger_url, tmp_path, version
):
    file_of(ledger_url).parent.mkdir(exist_ok=True)
    old_ledgers.make(ledger_url, version, ROWS)
    with Kiva() as kiva, ledger_at(ledger_url) as book:
        assert book.card().born_at == old_ledgers.AT
        assert book.card().ledger_id
        assert books.states(book) == dict.fromkeys(LOANS, "accepted") | {"D-1": "uncertain"}
        assert [a["total"] for a in books.attempts(book)] == [4_000_000_000_00] * 2
        assert len(books.events(book)) == len(LOANS)
        with book.reading() as connection:
            told = history(connection, LOANS[0])
        assert [a["run_id"] for a in told["attempts"]] == [old_ledgers.RUN]

        result = send(book, kiva.url, tmp_path)
        assert books.decided(result) == dict.fromkeys(LOANS, "unchanged")
        assert kiva.posts == []
        more = books.report_row(LOANS[3], 200_00)
        send(book, kiva.url, tmp_path, rows=[*ROWS[:3], more, *ROWS[4:]])
        assert len(kiva.posts) == 1
        newest = [row for row in books.versions(book) if row["business_id"] == LOANS[3]][-1]
        assert (newest["state"], newest["version"], newest["amount"]) == ("accepted", 2, 200_00)
    with ledger_at(ledger_url) as again:
        assert len(books.versions(again)) == len(LOANS) + 2


def test_two_ledgers_of_the_first_version_get_ids_of_their_own(ledger_url, tmp_path):
    other = f"sqlite+pysqlite:///{tmp_path / 'other.sqlite'}"
    file_of(ledger_url).parent.mkdir(exist_ok=True)
    for url in (ledger_url, other):
        old_ledgers.make(url, "0001", ROWS[:1])
    with ledger_at(ledger_url) as one, ledger_at(other) as two:
        assert one.card().ledger_id != two.card().ledger_id


# -- newer, another's


def test_a_ledger_of_a_newer_version_is_left_alone(ledger_url):
    with ledger_at(ledger_url):
        pass
    change(ledger_url, "UPDATE alembic_version SET version_num = '0999'")
    told = refusal(ledger_url)
    assert "schema 0999" in told
    assert "install that version" in told


@pytest.mark.parametrize("owner", [{"partner_id": "146"}, {"environment": "staging"}])
def test_two_partners_settings_do_not_share_a_ledger(ledger_url, owner):
    with ledger_at(ledger_url):
        pass
    told = refusal(ledger_url, **owner)
    assert "belongs to partner 145 in sandbox" in told
    assert "its own state.folder" in told


# -- half restored


HALF = {
    "a table": (["DROP TABLE event"], "event"),
    "the index that forbids a second open version": (
        ["DROP INDEX submission_one_open"],
        "submission_one_open is missing",
    ),
    "the schema's version": (["DELETE FROM alembic_version"], "no schema version"),
    "one of two versions": (
        ["INSERT INTO alembic_version (version_num) VALUES ('0001')"],
        "2 schema versions",
    ),
    "the identity card": (["DELETE FROM ledger"], "lost its identity card"),
}


@pytest.mark.parametrize("lost", HALF)
def test_a_half_restored_ledger_is_refused_and_not_completed(ledger_url, lost):
    file_of(ledger_url).parent.mkdir(exist_ok=True)
    old_ledgers.make(ledger_url, "head", ROWS)
    statements, words = HALF[lost]
    change(ledger_url, *statements)
    for _ in range(2):  # refusing changed nothing
        told = refusal(ledger_url)
        assert words in told
        assert "half-restored backup" in told
        assert "never start with an empty ledger" in told


def test_another_programs_tables_are_not_taken_for_a_ledger(ledger_url):
    file_of(ledger_url).parent.mkdir(exist_ok=True)
    change(ledger_url, "CREATE TABLE event (id integer PRIMARY KEY)")
    told = refusal(ledger_url)
    assert "tables: event" in told
    assert "a database of its own" in told


@ON_SQLITE
def test_a_file_that_was_cut_off_is_refused(ledger_url):
    file_of(ledger_url).parent.mkdir(exist_ok=True)
    old_ledgers.make(ledger_url, "head", ROWS)
    whole = file_of(ledger_url).read_bytes()
    for size in (50, 4096, len(whole) // 2, len(whole) - 1):
        file_of(ledger_url).write_bytes(whole[:size])
        told = refusal(ledger_url)
        assert "cut off" in told
        assert "half-restored" in told
    file_of(ledger_url).write_bytes(whole)
    with ledger_at(ledger_url) as book:
        assert len(books.versions(book)) == len(ROWS) + 1


@ON_SQLITE
def test_a_file_of_another_kind_is_refused(ledger_url):
    file_of(ledger_url).parent.mkdir(exist_ok=True)
    file_of(ledger_url).write_text("loan_id,amount\n" * 100)
    assert "it is not an SQLite file" in refusal(ledger_url)


@ON_SQLITE
def test_a_ledger_on_a_network_drive_is_refused_and_nothing_is_made_there(
    ledger_url, tmp_path, monkeypatch
):
    table = tmp_path / "mountinfo"
    folder = file_of(ledger_url).parent
    table.write_text(
        "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
        f"90 27 0:44 / {folder.resolve()} rw - nfs4 10.0.0.5:/srv rw\n"
    )
    monkeypatch.setattr(store_sqlite, "MOUNT_TABLE", table)
    told = refusal(ledger_url)
    assert "shared drive (nfs4)" in told
    assert "PostgreSQL" in told
    assert not file_of(ledger_url).exists()


@ON_SQLITE
def test_a_ledger_that_nobody_may_write_is_told(ledger_url):
    file_of(ledger_url).parent.mkdir()
    file_of(ledger_url).mkdir()
    assert "can't be" in refusal(ledger_url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "in memory"),
        ("mysql+pymysql://db/ledger", "can't live in mysql+pymysql"),
        ("postgresql+asyncpg://db/ledger", "can't live in postgresql+asyncpg"),
        ("nonsense", "not an address"),
    ],
)
def test_an_address_that_no_ledger_can_have_is_refused(url, words):
    told = refusal(url)
    assert words in told
    assert "postgresql+psycopg://USER@HOST/DATABASE" in told


# -- in use


def test_a_ledger_is_opened_and_read_while_another_program_writes(ledger_url):
    with ledger_at(ledger_url) as book, book.writing() as connection:
        connection.execute(sa.text("UPDATE ledger SET paused_by = 'Amina'"))
        with ledger_at(ledger_url) as other:
            assert other.card().paused_by is None


def test_a_writer_waits_for_another_one_and_then_says_so(ledger_url, monkeypatch):
    monkeypatch.setattr(store_sqlite, "_BUSY_SECONDS", 0)
    monkeypatch.setitem(store_postgres._SESSION, "lock_timeout", "1ms")
    with ledger_at(ledger_url) as book, ledger_at(ledger_url) as other:
        with book.writing(), pytest.raises(LedgerError, match="is in use"), other.writing():
            pytest.fail("two writers")
        with other.writing():
            pass


def test_writers_come_one_after_the_other_and_lose_nothing(ledger_url):
    add = "SELECT count(*) FROM report_month"

    def count_up() -> None:
        with ledger_at(ledger_url) as mine:
            for _ in range(10):
                with mine.writing() as connection:  # read, then write what was read
                    number = connection.execute(sa.text(add)).scalar_one()
                    connection.execute(
                        sa.text("INSERT INTO report_month (month) VALUES (:month)"),
                        {"month": f"{number:04}"},
                    )

    with ledger_at(ledger_url) as book:
        writers = [threading.Thread(target=count_up) for _ in range(3)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(60)
        with book.reading() as connection:
            assert connection.execute(sa.text(add)).scalar_one() == 30
