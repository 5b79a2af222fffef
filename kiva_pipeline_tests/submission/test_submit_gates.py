"""What keeps a run from beginning: a dry run, no token, a pause, no adoption, another sender."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from kiva_pipeline.errors import NotAllowedNowError, SenderBusyError
from kiva_pipeline.partner_api.errors import (
    ApiUnreachableError,
    CredentialsRejectedError,
    PartnerApiError,
    ScopeMissingError,
    WrongPartnerError,
)
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.settings import Environment
from kiva_pipeline.submission.acts import Person, pause
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline_tests.partner_api.servers import Reply, token
from kiva_pipeline_tests.submission.books import (
    DRAFT,
    JOURNAL,
    PARTNER,
    REPAYMENT,
    ROW_OF,
    attempts,
    decided,
    draft_row,
    held,
    journal_row,
    missing,
    put,
    report_row,
    states,
    version,
    versions,
)
from kiva_pipeline_tests.submission.desk import Desk, another_program
from kiva_pipeline_tests.submission.kiva import (
    LoopbackKiva,
    Post,
    accept,
)

KINDS = pytest.mark.parametrize("kind", [DRAFT, REPAYMENT, JOURNAL], ids=str)
SOMEBODY = Person("A person", "to look")


def nothing_happened(desk: Desk) -> bool:
    return versions(desk.book) == attempts(desk.book) == [] and desk.kiva.posts == []


def test_a_dry_run_asks_and_writes_nothing_and_promises_what_a_run_then_does(desk: Desk) -> None:
    rows = [report_row("L1"), held(report_row("L2")), missing("L3")]
    planned = desk.run(REPAYMENT, rows, dry_run=True)
    assert nothing_happened(desk)
    assert decided(planned) == {"L1": "planned", "L2": "held", "L3": "missing"}
    real = desk.run(REPAYMENT, rows)
    assert real.digest == planned.digest
    assert desk.run(REPAYMENT, rows, dry_run=True).digest != planned.digest
    assert len(desk.kiva.posts) == 1


def test_the_digest_of_a_plan_knows_no_chunks_and_each_change(desk: Desk) -> None:
    rows = [report_row(f"L{n}") for n in range(7)]
    digests = {desk.run(REPAYMENT, rows, dry_run=True, chunk_rows=n).digest for n in (1, 3, 7)}
    assert len(digests) == 1
    for changed in (
        rows[:-1],
        [*rows[:-1], report_row("L6", 101_00)],
        [*rows[:-1], held(rows[-1])],
    ):
        assert desk.run(REPAYMENT, changed, dry_run=True).digest not in digests


TOKENS: dict[str, tuple[Reply, type[PartnerApiError]]] = {
    "refused": (Reply({}, 401), CredentialsRejectedError),
    "of another partner": (Reply(token(partnerId="146")), WrongPartnerError),
    "without the scope": (Reply(token(scope="read:loans")), ScopeMissingError),
    "none": (Reply({}, 503), ApiUnreachableError),
}


@pytest.mark.parametrize(("answer", "error"), TOKENS.values(), ids=TOKENS)
def test_without_a_good_token_nothing_is_planned_or_sent(
    desk: Desk, answer: Reply, error: type[Exception]
) -> None:
    desk.kiva.server.token_answer = lambda _: answer
    with pytest.raises(error):
        desk.run(JOURNAL, [journal_row("L1")])
    assert nothing_happened(desk)


def test_a_kiva_that_does_not_answer_a_get_is_not_sent_to(desk: Desk) -> None:
    desk.kiva.listed = None  # type: ignore[assignment]  # its handler fails: no answer at all
    with pytest.raises(ApiUnreachableError):
        desk.run(JOURNAL, [journal_row("L1")])
    assert nothing_happened(desk)


def test_a_paused_ledger_asks_kiva_nothing(desk: Desk) -> None:
    pause(desk.book, desk.settings, SOMEBODY)
    with pytest.raises(NotAllowedNowError, match="paused by A person: to look"):
        desk.run(JOURNAL, [journal_row("L1")])
    assert (desk.kiva.server.asked, desk.kiva.server.tokens) == ([], [])


def test_outside_the_sandbox_a_ledger_that_was_not_adopted_sends_nothing(
    desk: Desk, new_ledger_url: Any
) -> None:
    desk.book = Ledger.open(new_ledger_url(), environment="staging", partner_id=PARTNER)
    desk.settings = desk.settings.model_copy(update={"environment": Environment.STAGING})
    with pytest.raises(NotAllowedNowError, match="adopt"):
        desk.run(DRAFT, [draft_row("L1")])
    assert nothing_happened(desk)
    assert desk.kiva.server.asked == []
    desk.book.close()


def test_a_second_sender_ends_as_busy_and_says_who_is_at_work(desk: Desk) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def holding(kiva: LoopbackKiva, post: Post) -> Reply:
        arrived.set()
        go_on.wait(20)
        return accept(kiva, post)

    desk.kiva.behave = holding
    with ThreadPoolExecutor(1) as pool, another_program(desk) as other_book:
        other = replace(desk, book=other_book, runs=10)
        first = pool.submit(desk.run, JOURNAL, [journal_row("L1")])
        assert arrived.wait(20)
        with pytest.raises(SenderBusyError, match="run run-1 "):
            other.run(JOURNAL, [journal_row("L2")])
        assert states(desk.book) == {"L1/1": "in_flight"}
        go_on.set()
        assert decided(first.result()) == {"L1/1": "accepted"}
        assert decided(other.run(JOURNAL, [journal_row("L1")])) == {"L1/1": "unchanged"}
    assert len(desk.kiva.posts) == 1


def test_a_second_sender_that_may_wait_goes_on_when_the_first_has_finished(desk: Desk) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def holding(kiva: LoopbackKiva, post: Post) -> Reply:
        if post.number == 1:
            arrived.set()
            go_on.wait(20)
        return accept(kiva, post)

    desk.kiva.behave = holding
    rows = [journal_row("L1"), journal_row("L2")]
    with ThreadPoolExecutor(2) as pool, another_program(desk) as other_book:
        patient = replace(desk, book=other_book, runs=10).having(
            state={"wait_for_lock_seconds": 30}
        )
        first = pool.submit(desk.run, JOURNAL, rows)
        assert arrived.wait(20)
        second = pool.submit(patient.run, JOURNAL, rows)
        go_on.set()
        assert set(decided(first.result()).values()) == {"accepted"}
        assert set(decided(second.result()).values()) == {"unchanged"}
    assert len(desk.kiva.posts) == 2


@KINDS
def test_what_a_dead_sender_left_is_in_doubt_and_counted(desk: Desk, kind: PostKind) -> None:
    row_of = ROW_OF[kind]
    put(desk.book, version(kind, row_of("L1"), "in_flight"),
        version(kind, row_of("L2"), "planned"), version(kind, row_of("L3"), "deferred"))  # fmt: skip
    result = desk.run(kind, [row_of(f"L{n}") for n in range(4)])
    assert result.recovered == 1
    assert list(decided(result).values()) == ["accepted", "uncertain", "accepted", "accepted"]
    assert [post.ids for post in desk.kiva.posts] == [["L0"], ["L2"], ["L3"]]
