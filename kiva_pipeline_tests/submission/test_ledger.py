"""The ledger keeps its promises to whoever opens it: one partner, durable, one story a row."""

import stat
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
    REPAYMENT,
    Office,
    actor,
    attempts,
    draft_row,
    events,
    file_of,
    held,
    opened,
    put,
    report_row,
    states,
    story,
    version,
    versions,
)

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
