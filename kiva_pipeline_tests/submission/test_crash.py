"""Senders that are killed at every point: nothing twice, nothing lost, and then nothing to do."""

import random
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from kiva_pipeline.errors import SenderBusyError
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline_tests.partner_api.servers import RawServer, Reply
from kiva_pipeline_tests.submission.books import (
    DRAFT,
    JOURNAL,
    REPAYMENT,
    ROW_OF,
    Row,
    attempts,
    codes,
    counted,
    decided,
    draft_row,
    give_baselines,
    journal_row,
    states,
    story,
)
from kiva_pipeline_tests.submission.children import Child, Job
from kiva_pipeline_tests.submission.conftest import ON_BOTH_ENGINES
from kiva_pipeline_tests.submission.desk import Desk
from kiva_pipeline_tests.submission.kiva import Behaviour, LoopbackKiva, Post, accept, by_number

KINDS = pytest.mark.parametrize("kind", [DRAFT, REPAYMENT, JOURNAL], ids=str)
KILLED = -signal.SIGKILL


def job_of(desk: Desk, kind: PostKind, rows: list[Row], **more: Any) -> Job:
    give_baselines(desk.book, kind, rows)
    return Job(desk.kiva.ledger_url, desk.settings, kind, rows, desk.folder, **more)


def rows_of(kind: PostKind, number: int = 6) -> list[Row]:
    return [ROW_OF[kind](f"L{n:02}") for n in range(number)]


# Each kills the sender at the receipt of a POST, or while its answer is under way.


def before_applying(child: Child) -> Behaviour:
    def behave(_kiva: LoopbackKiva, _post: Post) -> Reply:
        child.kill()
        return Reply()

    return behave


def after_applying(child: Child) -> Behaviour:
    def behave(kiva: LoopbackKiva, post: Post) -> Reply:
        kiva.apply(post)
        child.kill()
        return Reply()

    return behave


def after_answering(child: Child) -> Behaviour:
    """The answer is in the sender's hands, but it never gets to write it down."""

    def behave(kiva: LoopbackKiva, post: Post) -> Reply:
        child.signal(signal.SIGSTOP)
        answer = accept(kiva, post).content
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer

        def answer_and_kill(connection: Any) -> None:
            connection.sendall(whole)
            child.kill()

        return Reply(instead=answer_and_kill)

    return behave


POINTS: dict[str, Callable[[Child], Behaviour]] = {
    "before applying": before_applying,
    "after applying": after_applying,
    "after answering": after_answering,
}


def nothing_is_lost_or_doubled(desk: Desk, rows: list[Row]) -> None:
    """Each row was applied once, or is in doubt and says so."""
    applied = {key[1] for key in desk.kiva.applied}
    assert desk.kiva.duplicates == []
    assert set(desk.kiva.applied.values()) <= {1}
    told = {key.split("/")[0]: state for key, state in states(desk.book).items()}
    for row in rows:
        loan_id = row["business_id"].split("/")[0]
        assert told[loan_id] in {"accepted", "uncertain"}, loan_id
        if told[loan_id] == "accepted":
            assert loan_id in applied


def the_next_runs_mend_it(desk: Desk, kind: PostKind, rows: list[Row], in_doubt: int) -> None:
    """Orphans are in doubt, the rest goes, what Kiva lists is settled, and then nothing is sent."""
    desk.kiva.behave = accept
    before = sum(desk.kiva.applied.values())
    result = desk.run(kind, rows)
    assert result.recovered == in_doubt
    assert counted(decided(result)).get("uncertain", 0) == in_doubt
    assert set(codes(desk.book).values()) <= {"accepted", "crashed", "same"}
    nothing_is_lost_or_doubled(desk, rows)
    assert sum(desk.kiva.applied.values()) >= before
    if kind is DRAFT:
        desk.kiva.listed = [key[1] for key in desk.kiva.applied]
        seen = counted(decided(desk.run(kind, rows)))
        arrived = len(desk.kiva.applied)
        assert seen.get("uncertain", 0) == len(rows) - arrived
    posts = len(desk.kiva.posts)
    again = counted(decided(desk.run(kind, rows)))
    assert len(desk.kiva.posts) == posts
    assert set(again) <= {"unchanged", "uncertain"}


@KINDS
@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_a_sender_that_dies_around_a_post_leaves_that_one_in_doubt_and_no_other(
    desk: Desk, kind: PostKind, point: Any
) -> None:
    desk = desk.having(repayments={"batch_size": 2})
    rows, child = rows_of(kind), Child()
    desk.kiva.behave = by_number(accept, point(child))
    assert child.start(job_of(desk, kind, rows)).ended() == KILLED
    batch = 2 if kind is REPAYMENT else 1
    assert (
        list(states(desk.book).values())[: 2 * batch]
        == ["accepted"] * batch + ["in_flight"] * batch
    )
    the_next_runs_mend_it(desk, kind, rows, in_doubt=batch)


@KINDS
def test_a_sender_that_dies_between_its_intent_and_its_post_leaves_it_in_doubt(
    desk: Desk, kind: PostKind
) -> None:
    """It connected, so the intent is committed; not a byte of the request was read."""
    rows, child = rows_of(kind, 3), Child()
    with RawServer(lambda _connection: child.kill()) as door:
        assert child.start(job_of(desk, kind, rows, posts_to=door.url)).ended() == KILLED
    (made,) = attempts(desk.book)
    assert made["verdict"] is None
    the_next_runs_mend_it(desk, kind, rows, in_doubt=1)


def test_a_sender_that_dies_before_its_intent_leaves_nothing_and_the_rows_go(desk: Desk) -> None:
    """It dies while it reads a photo for the body: a new row enters the ledger with its intent."""
    rows = rows_of(DRAFT, 3)
    child = Child().start(job_of(desk, DRAFT, rows, deadly_photo="photo-L00"))
    assert child.ended() == KILLED
    assert states(desk.book) == {}
    assert attempts(desk.book) == []
    the_next_runs_mend_it(desk, DRAFT, rows, in_doubt=0)
    assert len(desk.kiva.posts) == 3


@KINDS
def test_a_sender_that_dies_before_it_planned_leaves_nothing(desk: Desk, kind: PostKind) -> None:
    rows, child = rows_of(kind, 3), Child()
    answer = desk.kiva.server.token_answer

    def deadly(number: int) -> Reply:
        child.kill()
        return answer(number)

    desk.kiva.server.token_answer = deadly
    assert child.start(job_of(desk, kind, rows)).ended() == KILLED
    assert states(desk.book) == {}
    desk.kiva.server.token_answer = answer
    the_next_runs_mend_it(desk, kind, rows, in_doubt=0)


@KINDS
def test_a_sender_that_dies_with_many_in_flight_leaves_all_of_them_in_doubt(
    desk: Desk, kind: PostKind
) -> None:
    desk = desk.having(api={"max_in_flight": 4}, repayments={"batch_size": 2})
    rows, child = rows_of(kind, 16), Child()
    together = threading.Barrier(4)

    def behave(kiva: LoopbackKiva, post: Post) -> Reply:
        if post.number % 2:
            kiva.apply(post)
        together.wait(20)
        child.kill()
        return Reply()

    desk.kiva.behave = behave
    assert child.start(job_of(desk, kind, rows)).ended() == KILLED
    in_doubt = list(states(desk.book).values()).count("in_flight")
    assert in_doubt == (8 if kind is REPAYMENT else 4)
    the_next_runs_mend_it(desk, kind, rows, in_doubt=in_doubt)


@ON_BOTH_ENGINES
@KINDS
def test_a_storm_of_kills_doubles_nothing_and_loses_nothing(desk: Desk, kind: PostKind) -> None:
    desk = desk.having(api={"max_in_flight": 3}, repayments={"batch_size": 2})
    rows, chance = rows_of(kind, 30), random.Random(7)
    for _ in range(6):
        child, fatal = Child(), len(desk.kiva.posts) + chance.randint(1, 5)
        deadly = POINTS[chance.choice(list(POINTS))](child)

        def behave(
            kiva: LoopbackKiva, post: Post, fatal: int = fatal, deadly: Behaviour = deadly
        ) -> Reply:
            return (deadly if post.number == fatal else accept)(kiva, post)

        desk.kiva.behave = behave
        code = child.start(job_of(desk, kind, rows)).ended()
        assert code in {KILLED, 0}
        assert desk.kiva.duplicates == []
        assert set(desk.kiva.applied.values()) <= {1}
    orphans = list(states(desk.book).values()).count("in_flight")
    desk.kiva.behave = accept
    assert desk.run(kind, rows).recovered == orphans
    nothing_is_lost_or_doubled(desk, rows)
    posts = len(desk.kiva.posts)
    desk.run(kind, rows)
    assert len(desk.kiva.posts) == posts


# -- other ends --------------------------------------------------------------------------------


@ON_BOTH_ENGINES
def test_ctrl_c_waits_for_the_answer_that_is_under_way_and_writes_it_down(desk: Desk) -> None:
    rows, child = rows_of(JOURNAL, 4), Child()

    def interrupted(kiva: LoopbackKiva, post: Post) -> Reply:
        child.signal(signal.SIGINT)
        return accept(kiva, post)

    desk.kiva.behave = interrupted
    assert child.start(job_of(desk, JOURNAL, rows)).ended() == 1
    sent = {post.ids[0] for post in desk.kiva.posts}
    assert 1 <= len(sent) < 4
    told = states(desk.book)
    assert {key.split("/")[0] for key, state in told.items() if state == "accepted"} == sent
    assert set(told.values()) == {"accepted"}  # the others enter with a request of their own
    the_next_runs_mend_it(desk, JOURNAL, rows, in_doubt=0)


def test_sigterm_is_as_good_as_a_kill(desk: Desk) -> None:
    rows, child = rows_of(DRAFT, 4), Child()

    def terminated(kiva: LoopbackKiva, post: Post) -> Reply:
        child.signal(signal.SIGTERM)
        child.ended()
        return accept(kiva, post)

    desk.kiva.behave = by_number(accept, terminated)
    assert child.start(job_of(desk, DRAFT, rows)).ended() == -signal.SIGTERM
    the_next_runs_mend_it(desk, DRAFT, rows, in_doubt=1)


@ON_BOTH_ENGINES
def test_another_process_is_told_who_is_at_work_and_a_kill_frees_the_lock(desk: Desk) -> None:
    rows, child = [journal_row("L1")], Child()
    arrived, go_on = threading.Event(), threading.Event()

    def holding(kiva: LoopbackKiva, post: Post) -> Reply:
        arrived.set()
        go_on.wait(20)
        return accept(kiva, post)

    desk.kiva.behave = holding
    child.start(job_of(desk, JOURNAL, rows, run_id="the-other"))
    assert arrived.wait(30)
    with pytest.raises(SenderBusyError, match=rf"run the-other \(process {child.pid} "):
        desk.run(JOURNAL, rows)
    child.kill()
    assert child.ended() == KILLED
    go_on.set()
    the_next_runs_mend_it(desk, JOURNAL, rows, in_doubt=1)


def test_an_orphans_story_tells_the_crash_and_the_evidence(desk: Desk) -> None:
    rows, child = [draft_row("L1")], Child()
    desk.kiva.behave = after_applying(child)
    child.start(job_of(desk, DRAFT, rows)).ended()
    desk.kiva.listed = ["L1"]
    assert decided(desk.run(DRAFT, rows)) == {"L1": "accepted"}
    assert story(desk.book, "L1") == [
        ("planned", "in_flight"), ("in_flight", "uncertain"), ("uncertain", "accepted"),
    ]  # fmt: skip
    assert codes(desk.book) == {"L1": "seen_at_kiva"}
