"""A person's acts say and do the same on both engines."""

from datetime import date

import pytest

from kiva_pipeline.errors import NotAllowedNowError
from kiva_pipeline.periods import Month
from kiva_pipeline.submission import acts
from kiva_pipeline.submission.approve import approve, waiting
from kiva_pipeline.submission.ledger import history
from kiva_pipeline.submission.resolve import Answer, doubts, resolve
from kiva_pipeline.submission.retry import retry
from kiva_pipeline_tests.live.ledgers import ledger_at
from kiva_pipeline_tests.live.senders import LOANS, Kiva, send, states
from kiva_pipeline_tests.partner_api.servers import Reply
from kiva_pipeline_tests.submission import books

ADA = acts.Person("Ada", "looked in PA2")
SEPTEMBER = Month(2026, 9)


@pytest.fixture
def book(ledger_url):
    with ledger_at(ledger_url) as book:
        yield book


@pytest.fixture
def kiva():
    with Kiva() as kiva:
        yield kiva


@pytest.fixture
def settings(kiva, tmp_path):
    # A server needs a moment to see that the session of the act before has ended.
    return books.settings_for(kiva.url, state={"folder": tmp_path, "wait_for_lock_seconds": 30})


def run(book, kiva: Kiva, folder, **more):
    return send(book, kiva.url, folder, wait_seconds=30, **more)


def answering(kiva: Kiva, reply: Reply | None) -> None:
    """Each report is answered so from now on; None: as usual."""
    usual = kiva._answer
    kiva.answer = lambda asked: reply if reply and asked.method == "POST" else usual(asked)


def by(book, name: str, loan_id: str) -> list[tuple]:
    with book.reading() as connection:
        events = history(connection, loan_id)["events"]
    return [
        (e["action"], e["from_state"], e["to_state"], e["why"]) for e in events if e["who"] == name
    ]


def test_a_lost_report_is_settled_either_way(book, kiva, settings, tmp_path):
    answering(kiva, Reply(b"lost", status=500))
    run(book, kiva, tmp_path)
    with book.reading() as connection:
        lost = list(doubts(connection))
    first, second = lost[0].attempt_id, lost[-1].attempt_id
    here = {
        r.business_id
        for r in resolve(book, settings, first, Answer.ARRIVED, ADA, listed_at_kiva=None)
    }
    not_here = {
        r.business_id
        for r in resolve(book, settings, second, Answer.NOT_THERE, ADA, listed_at_kiva=None)
    }
    assert {states(book)[i] for i in here} == {"accepted"}
    assert {states(book)[i] for i in not_here} == {"withdrawn"}
    assert by(book, "Ada", min(here)) == [("resolved", "uncertain", "accepted", "looked in PA2")]
    answering(kiva, None)
    decided = books.decided(run(book, kiva, tmp_path, run_id="run-2"))
    assert {decided[i] for i in here} == {"unchanged"}
    assert {decided[i] for i in not_here} == {"accepted"}


def test_a_refused_figure_is_marked_once(book, kiva, settings, tmp_path):
    answering(kiva, Reply({"code": "api.refused", "message": "No."}, status=400))
    run(book, kiva, tmp_path, rows=[books.report_row(LOANS[0])])
    assert [row.business_id for row in retry(book, settings, ADA, ids=[LOANS[0]])] == [LOANS[0]]
    with pytest.raises(NotAllowedNowError, match="asked for already"):
        retry(book, settings, ADA, month="2026-09", ids=[LOANS[0]])
    with pytest.raises(NotAllowedNowError, match="Nothing of 2026-09"):
        retry(book, settings, ADA, month="2026-09")
    assert by(book, "Ada", LOANS[0])[0][0] == "retry asked"


def test_a_month_is_extended_closed_and_opened_again(book, settings):
    acts.extend_month(book, settings, SEPTEMBER, date(2026, 10, 20), ADA)
    acts.close_month(book, settings, SEPTEMBER, ADA)
    with pytest.raises(NotAllowedNowError, match="by Ada"):
        acts.close_month(book, settings, SEPTEMBER, ADA)
    acts.reopen_month(book, settings, SEPTEMBER, ADA)
    with book.reading() as connection:
        told = [act.action for act in acts.acts_of_persons(connection, newest=2)]
        of_month = [act.action for act in acts.acts_on_months(connection, ["2026-09"])]
    assert told == ["reopened 2026-09", "closed 2026-09"]
    assert of_month == ["extended 2026-09", "closed 2026-09", "reopened 2026-09"]


def test_sending_is_paused_and_resumed(book, kiva, settings, tmp_path):
    acts.pause(book, settings, ADA)
    with pytest.raises(NotAllowedNowError, match="paused by Ada"):
        run(book, kiva, tmp_path)
    assert acts.resume(book, settings, ADA) == ("Ada", "looked in PA2")
    run(book, kiva, tmp_path)
    assert set(states(book).values()) == {"accepted"}


def test_a_table_is_approved_as_it_was_shown(book, kiva, settings, tmp_path):
    rows = [books.report_row(loan, 100_00) for loan in LOANS]
    run(book, kiva, tmp_path, rows=rows)
    lower = [books.report_row(loan, 99_99 if loan == LOANS[0] else 100_00) for loan in LOANS]
    run(book, kiva, tmp_path, rows=lower, run_id="run-2")
    with book.reading() as connection:
        shown = waiting(connection, SEPTEMBER)
    assert list(shown.rows["loan_id"]) == [LOANS[0]]
    with pytest.raises(NotAllowedNowError, match="not the one that was shown"):
        approve(book, settings, SEPTEMBER, ADA, table="0" * 64)
    approve(book, settings, SEPTEMBER, ADA, table=shown.digest[:12])
    assert by(book, "Ada", LOANS[0]) == [("approved", "held", "held", "looked in PA2")]
    assert (
        books.decided(run(book, kiva, tmp_path, rows=lower, run_id="run-3"))[LOANS[0]] == "accepted"
    )
