"""The ledger keeps its promises to whoever opens it: one partner, durable, one story a row."""

import multiprocessing
import sqlite3
import stat
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kiva_pipeline.errors import LedgerError
from kiva_pipeline.submission.attempts import (
    Intent,
    RowOutcome,
    Settlement,
    recover_orphans,
    settle,
    write_intents,
)
from kiva_pipeline.submission.ledger import (
    Ledger,
    draft_members,
    history,
    ledger_exists,
    now_text,
    rows_in_states,
    state_counts,
)
from kiva_pipeline.submission.planned_rows import PlannedRow, PlannedRows
from kiva_pipeline.submission.queue import Group
from kiva_pipeline.submission.states import OPEN, SETTLED, State
from kiva_pipeline.submission.tables import submission
from kiva_pipeline_tests.submission.books import (
    DRAFT,
    PARTNER,
    REPAYMENT,
    Office,
    actor,
    attempts,
    draft_row,
    events,
    held,
    put,
    report_row,
    states,
    story,
    version,
    versions,
)
from kiva_pipeline_tests.submission.conftest import NewUrl

FAR_FUTURE = "9999"


def opened(url: str, partner: str = PARTNER, environment: str = "sandbox") -> Ledger:
    return Ledger.open(url, environment=environment, partner_id=partner)


def file_of(url: str) -> Path:
    return Path(sa.make_url(url).database or "")


def raw(url: str) -> sqlite3.Connection:
    return sqlite3.connect(file_of(url))


def scalar(book: Ledger, question: str) -> Any:
    with book.reading() as connection:
        return connection.exec_driver_sql(question).scalar()


# -- birth -------------------------------------------------------------------------------------


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


# -- durable and private -----------------------------------------------------------------------


def test_a_commit_is_on_disk_before_it_is_told(book: Ledger) -> None:
    """WAL lets readers read meanwhile; FULL syncs at each commit (2), which NORMAL does not."""
    with book.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    with book.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_every_threads_connection_is_durable(book: Ledger) -> None:
    together = threading.Barrier(4)

    def synchronous(_: int) -> Any:
        with book.reading() as connection:
            together.wait()
            return connection.exec_driver_sql("PRAGMA synchronous").scalar()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(synchronous, range(4))) == [2] * 4


def test_nobody_else_may_read_the_files(book: Ledger, ledger_url: str) -> None:
    put(book, version(DRAFT, draft_row("L1"), "accepted"))
    folder = file_of(ledger_url).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"} <= set(files)
    assert set(files.values()) == {0o600}


def test_an_address_never_shows_its_password() -> None:
    with pytest.raises(LedgerError) as failed:
        opened("postgresql+nodriver://user:canary-password@127.0.0.1/x")
    assert "canary" not in str(failed.value)


# -- one open version --------------------------------------------------------------------------


@pytest.mark.parametrize("first", OPEN)
def test_an_identity_has_one_open_version_at_the_most(book: Ledger, first: State) -> None:
    put(book, version(DRAFT, draft_row("L1"), first.value))
    for second in OPEN:
        with pytest.raises(LedgerError):
            put(book, version(DRAFT, draft_row("L1"), second.value, number=2))
    for number, closed in enumerate(sorted(SETTLED), start=2):
        put(book, version(DRAFT, draft_row("L1"), closed.value, number=number))
    assert len(versions(book)) == 1 + len(SETTLED)


def test_the_same_version_can_not_be_there_twice(book: Ledger) -> None:
    put(book, version(DRAFT, draft_row("L1"), "accepted"))
    with pytest.raises(LedgerError):
        put(book, version(DRAFT, draft_row("L1"), "accepted"))


# -- a change and its event are one ------------------------------------------------------------


def in_flight(
    book: Ledger, *rows: Any, kind: Any = REPAYMENT, attempt_id: str = "a-1"
) -> list[str]:
    """Rows on their way in one attempt; their business ids."""
    put(book, *(version(kind, row, "planned") for row in rows))
    ids = [row["business_id"] for row in rows]
    with book.writing() as connection:
        write_intents(connection, [intent(ids, kind=kind, attempt_id=attempt_id)], actor())
    return ids


def intent(
    ids: Sequence[str], *, kind: Any = REPAYMENT, attempt_id: str = "a-1", new: bool = False
) -> Intent:
    """For rows that are in the ledger, or for new ones that enter it."""
    values = {
        "business_id": list(ids), "version": [1] * len(ids), "amount": [100_00] * len(ids),
        "disbursed": [3500_00] * len(ids), "currency_digits": [2] * len(ids),
        "is_new": [new] * len(ids),
    }  # fmt: skip
    columns = [values.get(name, [""] * len(ids)) for name in PlannedRow._fields]
    group = Group(PlannedRows(columns))
    period = "2026-09" if kind is REPAYMENT else ""
    return Intent(attempt_id, kind.value, period, "2026-09", group, 300_00, "0" * 64)


def ended(state: State, attempt_id: str = "a-1", **more: Any) -> Settlement:
    return Settlement(attempt_id, "verdict", state, "because", **more)


CHANGES: dict[str, Any] = {
    "an intent": lambda c, ids: write_intents(c, [intent(ids[:1], attempt_id="a-2")], actor()),
    "an acceptance": lambda c, _: settle(c, ended(State.ACCEPTED), actor()),
    "a row given back": lambda c, _: settle(c, ended(State.PLANNED), actor()),
    "an exception": lambda c, ids: settle(
        c,
        ended(State.ACCEPTED, exceptions=[RowOutcome(ids[1], State.REJECTED, "no", "")]),
        actor(),
    ),
    "a recovery": lambda c, _: recover_orphans(c, actor()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("broken", ["INSERT ON event", "UPDATE ON submission", "UPDATE ON attempt"])
def test_a_fault_in_the_middle_leaves_neither_the_change_nor_its_event(
    book: Ledger, change: Any, broken: str
) -> None:
    put(book, version(REPAYMENT, report_row("L0"), "planned"))
    ids = ["L0", *in_flight(book, report_row("L1"), report_row("L2"))]
    if change is not CHANGES["an intent"]:
        ids = ids[1:]
    before = versions(book), attempts(book), events(book)
    with book.writing() as connection:
        connection.exec_driver_sql(
            f"CREATE TRIGGER fault BEFORE {broken} BEGIN SELECT RAISE(ABORT, 'disk'); END"
        )
    if (change, broken) == (CHANGES["an intent"], "UPDATE ON attempt"):
        return  # an intent updates no attempt
    with pytest.raises(LedgerError), book.writing() as connection:
        change(connection, ids)
    assert (versions(book), attempts(book), events(book)) == before


@pytest.mark.parametrize("broken", ["event", "submission"])
def test_a_plan_and_its_events_are_one(office: Office, broken: str) -> None:
    what = {"event": "INSERT ON event", "submission": "UPDATE ON submission"}[broken]
    put(office.book, version(REPAYMENT, report_row("L1"), "held"))
    before = versions(office.book), events(office.book)
    with office.book.writing() as connection:
        connection.exec_driver_sql(
            f"CREATE TRIGGER fault BEFORE {what} BEGIN SELECT RAISE(ABORT, 'disk'); END"
        )
    with pytest.raises(LedgerError):
        office.apply(REPAYMENT, [held(report_row("L0")), report_row("L1", 200_00)])
    assert (versions(office.book), events(office.book)) == before


def test_an_intent_for_a_row_that_is_not_planned_any_more_leaves_nothing(book: Ledger) -> None:
    put(book, version(REPAYMENT, report_row("L1"), "planned"),
        version(REPAYMENT, report_row("L2"), "held"))  # fmt: skip
    with pytest.raises(RuntimeError, match="not planned any more"), book.writing() as connection:
        write_intents(connection, [intent(["L1", "L2"])], actor())
    assert attempts(book) == events(book) == []
    assert states(book) == {"L1": "planned", "L2": "held"}


def test_a_new_row_enters_the_ledger_with_its_intent_and_only_once(book: Ledger) -> None:
    with book.writing() as connection:
        write_intents(connection, [intent(["L1", "L2"], new=True)], actor())
    assert states(book) == {"L1": "in_flight", "L2": "in_flight"}
    assert story(book, "L1") == [("planned", "in_flight")]
    before = versions(book), attempts(book), events(book)
    again = [intent(["L3"], new=True, attempt_id="a-2"), intent(["L2"], new=True, attempt_id="a-3")]
    with pytest.raises(RuntimeError, match="not planned any more"), book.writing() as connection:
        write_intents(connection, again, actor())
    assert (versions(book), attempts(book), events(book)) == before


# -- each row's story --------------------------------------------------------------------------


def test_each_row_of_a_batch_has_its_own_story(office: Office) -> None:
    book = office.book
    put(book, version(REPAYMENT, report_row("L1"), "held"))
    office.apply(REPAYMENT, [report_row("L1"), report_row("L2"), report_row("L3")])
    with book.writing() as connection:
        write_intents(connection, [intent(["L1", "L2", "L3"])], actor())
    settlement = ended(
        State.ACCEPTED, exceptions=[RowOutcome("L2", State.REJECTED, "rejected", "words")]
    )
    with book.writing() as connection:
        settle(connection, settlement, actor())
    sent = [("planned", "in_flight"), ("in_flight", "accepted")]
    assert story(book, "L1") == [("held", "planned"), *sent]
    assert story(book, "L2") == [("planned", "in_flight"), ("in_flight", "rejected")]
    assert story(book, "L3") == sent
    assert states(book) == {"L1": "accepted", "L2": "rejected", "L3": "accepted"}


def test_the_story_of_a_row_that_was_given_back_names_both_its_attempts(book: Ledger) -> None:
    ids = in_flight(book, report_row("L1"), report_row("L2"))
    with book.writing() as connection:
        settle(connection, ended(State.PLANNED), actor())
    with book.writing() as connection:
        write_intents(connection, [intent(ids[:1], attempt_id="a-2")], actor())
        settle(connection, ended(State.UNCERTAIN, "a-2"), actor())
    there, back = ("planned", "in_flight"), ("in_flight", "planned")
    assert story(book, "L1") == [there, back, there, ("in_flight", "uncertain")]
    assert story(book, "L2") == [there, back]
    with book.reading() as connection:
        told = history(connection, "L1")
    assert [a["id"] for a in told["attempts"]] == ["a-1", "a-2"]


def test_the_story_of_an_orphan_is_told_with_who_found_it(book: Ledger) -> None:
    in_flight(book, report_row("L1"), report_row("L2"))
    with book.writing() as connection:
        assert recover_orphans(connection, actor("run-2")) == 2
    assert story(book, "L2") == [("planned", "in_flight"), ("in_flight", "uncertain")]
    last = events(book)[-1]
    assert (last["action"], last["why"], last["run_id"]) == ("recovered", "crashed", "run-2")
    (made,) = attempts(book)
    assert (made["verdict"], made["cause"]) == ("uncertain", "crashed")
    with book.writing() as connection:
        assert recover_orphans(connection, actor("run-3")) == 0
    assert events(book)[-1] == last


def test_a_late_answer_settles_its_own_attempt_and_nothing_else(book: Ledger) -> None:
    first = in_flight(book, report_row("L1"), report_row("L2"))
    with book.writing() as connection:
        recover_orphans(connection, actor())
        # A person has settled L2 meanwhile.
        connection.execute(
            submission.update()
            .where(submission.c.business_id == first[1])
            .values(state="withdrawn")
        )
    in_flight(book, report_row("L3"), attempt_id="a-2")
    with book.writing() as connection:
        settle(connection, ended(State.ACCEPTED, remote_ref="u-1"), actor())
    assert states(book) == {"L1": "accepted", "L2": "withdrawn", "L3": "in_flight"}
    assert story(book, "L1")[-2:] == [("in_flight", "uncertain"), ("uncertain", "accepted")]
    assert ("uncertain", "accepted") not in story(book, "L2")
    assert {a["id"]: a["verdict"] for a in attempts(book)} == {"a-1": "verdict", "a-2": None}


def test_history_finds_a_loan_by_its_group_its_journals_and_itself_and_no_other(
    office: Office,
) -> None:
    put(
        office.book,
        version(DRAFT, draft_row("G%", "L1", "L2"), "accepted"),
        version(DRAFT, draft_row("L10"), "accepted"),
        version(REPAYMENT, report_row("L1"), "accepted"),
        version(REPAYMENT, report_row("L1_"), "accepted"),
    )
    with office.book.reading() as connection:
        found = {
            asked: [row["business_id"] for row in history(connection, asked)["submissions"]]
            for asked in ("L1", "L2", "L10", "G%", "%", "L_", "nobody")
        }
    assert found == {
        "L1": ["G%", "L1"], "L2": ["G%"], "L10": ["L10"], "G%": ["G%"],
        "%": [], "L_": [], "nobody": [],
    }  # fmt: skip


def test_counts_and_doubts_are_of_the_newest_versions(book: Ledger) -> None:
    put(
        book,
        version(REPAYMENT, report_row("L1"), "rejected"),
        version(REPAYMENT, report_row("L1"), "uncertain", number=2),
        version(DRAFT, draft_row("L2"), "accepted"),
    )
    with book.reading() as connection:
        assert [tuple(row) for row in state_counts(connection)] == [
            ("loan_draft", "2026-10", "accepted", 1),
            ("repayment", "2026-09", "uncertain", 1),
        ]
        assert [tuple(row)[3] for row in state_counts(connection, "2026-10")] == [1]
        doubts = rows_in_states(connection, [State.UNCERTAIN])
        assert [(row.business_id, row.version) for row in doubts] == [("L1", 2)]
        assert [row.business_id for row in draft_members(connection)] == ["L2"]


# -- many at once ------------------------------------------------------------------------------


def test_a_reader_sees_one_state_while_a_writer_is_at_work(book: Ledger) -> None:
    put(book, version(REPAYMENT, report_row("L1"), "planned"))
    with book.reading() as reading:
        assert len(reading.execute(sa.select(submission.c.id)).all()) == 1
        with book.writing() as writing:
            writing.execute(submission.insert(), [version(REPAYMENT, report_row("L2"), "planned")])
            assert len(reading.execute(sa.select(submission.c.id)).all()) == 1
        assert len(reading.execute(sa.select(submission.c.id)).all()) == 1
    assert len(versions(book)) == 2


def test_readers_and_writers_of_many_threads_and_programs_do_not_disturb_each_other(
    book: Ledger, ledger_url: str
) -> None:
    other = opened(ledger_url)
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            rows = versions(other)
            assert len(rows) % 2 == 0  # a writer adds two at a time
            seen.append(len(rows))

    def write(name: str, to: Ledger) -> None:
        for n in range(15):
            pair = [report_row(f"{name}-{n}-{i}") for i in range(2)]
            put(to, *(version(REPAYMENT, row, "planned") for row in pair))

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        writers = [pool.submit(write, "a", book), pool.submit(write, "b", other)]
        for writer in writers:
            writer.result()
        done.set()
        for reader in readers:
            reader.result()
    assert len(versions(book)) == 60
    assert seen
    other.close()


def test_an_unfinished_transaction_leaves_nothing(book: Ledger) -> None:
    def interrupted() -> None:
        with book.writing() as connection:
            put_one = version(REPAYMENT, report_row("L1"), "planned")
            connection.execute(submission.insert(), [put_one])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert versions(book) == []


def test_instants_are_written_so_that_their_order_as_text_is_their_order() -> None:
    first, second = now_text(), now_text()
    assert first <= second
    assert len(first) == len("2026-10-06T08:00:00.000000Z")
    assert first.endswith("Z")
