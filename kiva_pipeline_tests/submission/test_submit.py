"""Whole runs through the public door: first, second, deferred, limited, paused, closed, busy."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import time_machine

from kiva_pipeline.errors import NotAllowedNowError, SourceError
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.sandbox.seed import seed
from kiva_pipeline.sandbox.seed_records import KivaLoanSeed
from kiva_pipeline.sandbox.server import RunningSandbox
from kiva_pipeline.submission.acts import Person, pause, resume
from kiva_pipeline_tests.partner_api.servers import Reply
from kiva_pipeline_tests.submission.books import (
    AUGUST,
    DRAFT,
    JOURNAL,
    OCTOBER,
    PARTNER,
    REPAYMENT,
    ROW_OF,
    SEPTEMBER,
    attempts,
    blocked,
    counted,
    decided,
    draft_row,
    events,
    held,
    journal_row,
    missing,
    put,
    reason_codes,
    report_row,
    settings_for,
    states,
    version,
    versions,
)
from kiva_pipeline_tests.submission.desk import Desk, another_program
from kiva_pipeline_tests.submission.kiva import (
    RESET,
    LoopbackKiva,
    Post,
    accept,
    by_number,
    status,
)

KINDS = pytest.mark.parametrize("kind", [DRAFT, REPAYMENT, JOURNAL], ids=str)
SOMEBODY = Person("A person", "to look")


# -- the same again ----------------------------------------------------------------------------


@KINDS
def test_a_second_run_sends_nothing_and_writes_nothing(desk: Desk, kind: PostKind) -> None:
    row_of = ROW_OF[kind]
    rows = [row_of("L1"), row_of("L2"), blocked(row_of("L3")), held(row_of("L4"))]
    first = desk.run(kind, rows)
    assert counted(decided(first)) == {"accepted": 2, "blocked": 1, "held": 1}
    told = versions(desk.book), attempts(desk.book), events(desk.book)
    second = desk.run(kind, rows)
    assert counted(decided(second)) == {"unchanged": 2, "blocked": 1, "held": 1}
    assert (versions(desk.book), attempts(desk.book), events(desk.book)) == told
    assert len(desk.kiva.posts) == 2
    assert second.summary.requests == 0


def test_a_correction_sends_the_difference_and_no_more(desk: Desk) -> None:
    desk = desk.having(repayments={"batch_size": 200})
    rows = [report_row(f"L{n}") for n in range(6)]
    desk.run(REPAYMENT, rows)
    rows[2:4] = [report_row("L2", 120_00), missing("L3")]
    assert counted(decided(desk.run(REPAYMENT, rows))) == {
        "unchanged": 4, "accepted": 1, "missing": 1,
    }  # fmt: skip
    assert [post.ids for post in desk.kiva.posts] == [[f"L{n}" for n in range(6)], ["L2"]]


def test_a_month_of_several_chunks_is_sent_whole_and_once(desk: Desk) -> None:
    desk = desk.having(repayments={"batch_size": 4})
    rows = [report_row(f"L{n:02}") for n in range(14)]
    assert counted(decided(desk.run(REPAYMENT, rows, chunk_rows=3))) == {"accepted": 14}
    assert counted(decided(desk.run(REPAYMENT, rows, chunk_rows=5))) == {"unchanged": 14}
    assert [len(post.ids) for post in desk.kiva.posts] == [4, 4, 4, 2]


@KINDS
def test_an_empty_month_is_a_month(desk: Desk, kind: PostKind) -> None:
    result = desk.run(kind, [])
    assert (decided(result), result.tally.total, desk.kiva.posts) == ({}, 0, [])


def test_an_uncertain_draft_is_settled_once_kiva_lists_it_and_compared_from_then_on(
    desk: Desk,
) -> None:
    desk.kiva.behave = RESET
    rows = [draft_row("L1"), draft_row("G", "M1", "M2")]
    assert set(decided(desk.run(DRAFT, rows)).values()) == {"uncertain"}
    desk.kiva.behave, desk.kiva.listed = accept, ["L1", "M1"]
    assert decided(desk.run(DRAFT, rows)) == {"G": "uncertain", "L1": "accepted"}
    assert decided(desk.run(DRAFT, rows)) == {"G": "uncertain", "L1": "unchanged"}
    changed = [rows[1], draft_row("L1", use="to buy a cow.")]
    assert decided(desk.run(DRAFT, changed)) == {"G": "uncertain", "L1": "needs_person"}
    assert len(desk.kiva.posts) == 2


def test_the_same_uncertain_figure_goes_again_once_the_partner_said_that_it_may(
    desk: Desk,
) -> None:
    desk.kiva.behave = RESET
    rows = [report_row("L1"), report_row("L2")]
    desk.run(REPAYMENT, rows)
    desk.kiva.behave = accept
    allowed = desk.having(repayments={"batch_size": 1, "repayments_replace": True})
    rows[1] = report_row("L2", 130_00)
    assert decided(allowed.run(REPAYMENT, rows)) == {"L1": "accepted", "L2": "uncertain"}
    bodies = [post.body for post in desk.kiva.posts]
    assert bodies[2] == bodies[0]


def test_a_figure_that_was_to_go_again_and_did_not_is_in_doubt_as_before(desk: Desk) -> None:
    rows = [report_row("L1"), report_row("L2")]
    desk.kiva.behave = RESET
    desk.run(REPAYMENT, rows)
    allowed = desk.having(repayments={"batch_size": 1, "repayments_replace": True})
    desk.kiva.behave = status(429, b"", Retry_After="9999")
    assert set(decided(allowed.run(REPAYMENT, rows)).values()) == {"uncertain"}


def test_a_figure_that_a_dead_sender_was_to_send_again_waits_when_it_is_over_the_limit(
    desk: Desk,
) -> None:
    """Its row is planned already: the limit must take that back, or it goes all the same."""
    rows = [report_row("L1"), report_row("L2")]
    put(desk.book, *(version(REPAYMENT, row, "planned", code="resend_same") for row in rows))
    limited = desk.having(
        repayments={"batch_size": 1, "repayments_replace": True},
        limits={"rows_per_run": {"repayments": 1}},
    )
    assert decided(limited.run(REPAYMENT, rows)) == {"L1": "accepted", "L2": "uncertain"}
    assert states(desk.book) == {"L1": "accepted", "L2": "uncertain"}
    assert len(desk.kiva.posts) == 1


# -- runs that end early -----------------------------------------------------------------------


@KINDS
def test_a_limit_leaves_the_rest_for_the_next_run(desk: Desk, kind: PostKind) -> None:
    desk = desk.having(repayments={"batch_size": 4})
    rows = [ROW_OF[kind](f"L{n}") for n in range(6)]
    first = desk.run(kind, rows, limit=2)
    assert counted(decided(first)) == {"accepted": 2, "deferred": 4}
    assert sum(len(post.ids) for post in desk.kiva.posts) == 2
    assert set(reason_codes(first).values()) == {"accepted", "limit_reached"}
    assert counted(decided(desk.run(kind, rows, limit=0))) == {"unchanged": 2, "deferred": 4}
    assert counted(decided(desk.run(kind, rows))) == {"unchanged": 2, "accepted": 4}
    assert set(desk.kiva.applied.values()) == {1}


def test_a_pause_in_mid_run_stops_before_the_next_request(desk: Desk) -> None:
    rows = [journal_row(f"L{n}") for n in range(4)]

    def pausing(kiva: LoopbackKiva, post: Post) -> Reply:
        if post.number == 2:
            with another_program(desk) as book:
                pause(book, desk.settings, SOMEBODY)
        return accept(kiva, post)

    desk.kiva.behave = pausing
    result = desk.run(JOURNAL, rows)
    assert "paused by A person: to look" in result.summary.stopped
    assert counted(decided(result)) == {"accepted": 2, "deferred": 2}
    with pytest.raises(NotAllowedNowError, match="paused by A person"):
        desk.run(JOURNAL, rows)
    resume(desk.book, desk.settings, SOMEBODY)
    desk.kiva.behave = accept
    assert counted(decided(desk.run(JOURNAL, rows))) == {"unchanged": 2, "accepted": 2}
    assert set(desk.kiva.applied.values()) == {1}


def test_a_month_that_closes_in_mid_run_is_not_reported_any_further(desk: Desk) -> None:
    """23:59 of the reporting day in Kigali (UTC+2); the second request goes a minute later."""
    desk = desk.having(calendar={"practice_today": None}, repayments={"batch_size": 1})
    rows = [report_row(f"L{n}") for n in range(4)]
    with time_machine.travel(datetime(2026, 10, 15, 21, 59, 30, tzinfo=UTC), tick=True) as clock:

        def midnight(kiva: LoopbackKiva, post: Post) -> Reply:
            if post.number == 2:
                clock.move_to(datetime(2026, 10, 15, 22, 0, 1, tzinfo=UTC))
            return accept(kiva, post)

        desk.kiva.behave = midnight
        result = desk.run(REPAYMENT, rows)
        assert result.summary.stopped == "the month's report is not open any more"
        assert counted(decided(result)) == {"accepted": 2, "deferred": 2}
        assert counted(decided(desk.run(REPAYMENT, rows))) == {
            "unchanged": 2, "carried_forward": 2,
        }  # fmt: skip
    assert len(desk.kiva.posts) == 2


@pytest.mark.parametrize(
    ("day", "month"),
    [(date(2026, 10, 1), SEPTEMBER), (date(2026, 10, 16), SEPTEMBER), (date(2026, 10, 6), AUGUST),
     (date(2026, 10, 6), OCTOBER)],
)  # fmt: skip
def test_a_month_that_is_not_open_is_never_posted(desk: Desk, day: date, month: Any) -> None:
    desk = desk.having(calendar={"practice_today": day})
    put(desk.book, version(REPAYMENT, report_row("L1"), "planned", month=month),
        version(REPAYMENT, report_row("L2"), "deferred", month=month))  # fmt: skip
    rows = [report_row(f"L{n}") for n in range(4)]
    result = desk.run(REPAYMENT, rows, month=month)
    assert desk.kiva.posts == []
    assert set(decided(result).values()) <= {"carried_forward", "deferred"}
    assert "planned" not in states(desk.book).values()


def test_a_photo_that_changed_meanwhile_is_not_sent_and_the_others_go(desk: Desk) -> None:
    rows = [draft_row(f"L{n}") for n in range(4)]
    desk.photos.changed = {"photo-L1": b"another photo", "photo-L2": SourceError("gone")}
    result = desk.run(DRAFT, rows)
    assert decided(result) == {
        "L0": "accepted", "L1": "deferred", "L2": "deferred", "L3": "accepted",
    }  # fmt: skip
    assert reason_codes(result)["L1"] == "photo_changed"
    desk.photos.changed.clear()
    assert counted(decided(desk.run(DRAFT, rows))) == {"unchanged": 2, "accepted": 2}
    assert set(desk.kiva.applied.values()) == {1}


# -- what is on the wire -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "digits"),
    [
        ("principal_repaid", {"JOD": "1234.567", "RWF": "90071992547409931", "TJS": "1000.10", "ZERO": "0.00"}),
        ("principal_outstanding",
         {"JOD": "0.001", "RWF": "7", "TJS": "2499.90", "ZERO": "3500.00"}),
    ],
)  # fmt: skip
def test_amounts_are_exact_digits_of_the_loans_own_currency(
    desk: Desk, mode: str, digits: dict[str, str]
) -> None:
    desk = desk.having(repayments={"batch_size": 200, "amount": mode})
    rows = [
        report_row("JOD", 1_234_567, currency="JOD", currency_digits=3, disbursed=1_234_568),
        report_row("RWF", 90_071_992_547_409_931, currency="RWF", currency_digits=0,
                   disbursed=90_071_992_547_409_938),
        report_row("TJS", 1000_10, disbursed=3500_00),
        report_row("ZERO", 0, disbursed=3500_00),
    ]  # fmt: skip
    assert set(decided(desk.run(REPAYMENT, rows)).values()) == {"accepted"}
    (post,) = desk.kiva.posts
    sent = re.findall(rb'\{"loan_id":"(\w+)","amount":([^,}]+)\}', post.body)
    assert {key.decode(): amount.decode() for key, amount in sent} == digits
    (made,) = attempts(desk.book)
    assert made["total"] == sum(row["amount"] for row in rows)


def test_three_columns_send_the_client_and_two_do_not(desk: Desk) -> None:
    desk.run(REPAYMENT, [report_row("L1")])
    desk.having(repayments={"column_format": "three_column"}).run(REPAYMENT, [report_row("L2")])
    assert [b"client_id" in post.body for post in desk.kiva.posts] == [False, True]


def test_a_draft_goes_out_with_the_photo_that_was_validated(desk: Desk) -> None:
    desk.run(DRAFT, [draft_row("L1"), draft_row("L2", photo=b"")])
    with_photo, without = desk.kiva.posts
    assert b'"image_encoded":"data:image/jpeg;base64,' in with_photo.body
    assert b"image" not in without.body


# -- with the real sandbox ---------------------------------------------------------------------

LOAN = KivaLoanSeed(
    internal_loan_id="", internal_client_id="", borrower_count=1, name="Азиз",
    location="Dushanbe: Tajikistan", currency="TJS", price="3500.00", status="payingBack",
    disbursed_on=date(2026, 3, 1), last_reported=None, activity="Retail",
)  # fmt: skip


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[RunningSandbox]:
    loans = [
        KivaLoanSeed(**{f: getattr(LOAN, f) for f in LOAN.__slots__} | {
            "internal_loan_id": f"L{n}", "internal_client_id": f"C-L{n}"})
        for n in range(12)
    ]  # fmt: skip
    seed(tmp_path / "sandbox.sqlite", partner_id=PARTNER, partner_name="Example", loans=loans,
         open_month=SEPTEMBER)  # fmt: skip
    with RunningSandbox(tmp_path / "sandbox.sqlite") as running:
        yield running


def test_the_real_sandbox_gets_everything_once_and_the_figures_to_the_digit(
    desk: Desk, sandbox: RunningSandbox
) -> None:
    desk.settings = settings_for(sandbox.url, state={"folder": desk.settings.state.folder})
    report = [report_row(f"L{n}", 100_10 + n) for n in range(12)]
    drafts = [draft_row(f"N{n}") for n in range(3)] + [draft_row("L0"), draft_row("L1", "X", "L2")]
    journals = [journal_row(f"L{n}") for n in range(3)]
    for _ in range(2):
        desk.run(REPAYMENT, report)
        desk.run(DRAFT, sorted(drafts, key=lambda row: row["business_id"]))
        desk.run(JOURNAL, journals)
    facts = httpx.get(f"{sandbox.url}/_sandbox/facts").json()
    assert facts["duplicate_effects"] == []
    assert (facts["drafts"], facts["journals"], facts["posts"]) == (3, 3, 1 + 3 + 3)
    kept = httpx.get(f"{sandbox.url}/_sandbox/repayments").json()["repayments"]
    assert {row["loan_id"]: row["amount"] for row in kept} == {
        f"L{n}": f"{100 + (10 + n) // 100}.{(10 + n) % 100:02}" for n in range(12)
    }
    found = {v["business_id"]: v["state"] for v in versions(desk.book) if v["kind"] == "loan_draft"}
    assert (found["L0"], found["L1"]) == ("already_at_kiva", "already_at_kiva")


def test_nothing_private_is_in_the_ledger_or_in_a_spooled_decision(desk: Desk) -> None:
    """No text, no photo and no token is kept: only hashes, ids, amounts and Kiva's own words."""
    desk.kiva.behave = by_number(status(400, {"code": "x", "message": "No."}))
    result = desk.run(DRAFT, [draft_row("L1", use="canary-use"), draft_row("L2", use="canary-use")])
    desk.run(JOURNAL, [journal_row("L1", body="canary-body")])
    assert desk.book.file is not None
    written = b"".join(path.read_bytes() for path in desk.book.file.parent.iterdir())
    written += result.decisions.read().to_csv().encode()
    for secret in (b"canary-use", b"canary-body", b"image_encoded", b"Bearer", b"/9j/4"):
        assert secret not in written
