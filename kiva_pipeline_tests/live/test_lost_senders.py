"""A sender that dies, or that loses its ledger, in the middle of a run: nothing goes out twice."""

import json
import threading
from collections import Counter

import pytest

from kiva_pipeline.errors import LedgerError
from kiva_pipeline_tests.live.ledgers import ledger_at, process
from kiva_pipeline_tests.live.senders import BATCHES, LOANS, Kiva, of_september, send, states
from kiva_pipeline_tests.live.test_sender_lock import ON_POSTGRES, end_senders


def arrived(kiva):
    """How often each loan's figure arrived at Kiva."""
    return Counter(
        row["loan_id"] for post in kiva.posts for row in json.loads(post.body)["repayments"]
    )


def test_a_killed_senders_rows_are_in_doubt_and_the_next_one_sends_the_rest(ledger_url, tmp_path):
    with Kiva(wait_at=2) as kiva, ledger_at(ledger_url) as book:
        with process("senders", ledger_url, kiva.url, tmp_path, "killed") as running:
            assert kiva.arrived.wait(60)
            running.kill()
            running.wait()
        kiva.go_on.set()
        result = send(book, kiva.url, tmp_path, wait_seconds=60)
        assert result.recovered == 2
        assert arrived(kiva) == dict.fromkeys(LOANS, 1)
        assert Counter(states(book).values()) == {"accepted": 6, "uncertain": 2}
        in_doubt = [row for row in of_september(book) if row["state"] == "uncertain"]
        assert {row["reason_code"] for row in in_doubt} == {"crashed"}


@ON_POSTGRES
@pytest.mark.parametrize("how", ["its session is ended", "the server is started anew"])
def test_a_sender_that_loses_its_session_sends_no_more_and_says_why(
    ledger_url, postgres, tmp_path, how
):
    if how == "the server is started anew" and not postgres.own:
        pytest.skip("the server is not ours")
    ended: list[object] = []

    def run() -> None:
        try:
            ended.append(send(book, kiva.url, tmp_path))
        except LedgerError as error:
            ended.append(error)

    with Kiva(wait_at=2) as kiva, ledger_at(ledger_url) as book:
        sending = threading.Thread(target=run)
        sending.start()
        assert kiva.arrived.wait(60)
        if how == "its session is ended":
            end_senders(postgres, ledger_url)
        else:
            postgres.restart()
        kiva.go_on.set()
        sending.join(60)
        assert isinstance(ended[0], LedgerError), ended
        assert "the connection broke" in ended[0].message
        assert len(kiva.posts) == 2
        # The answer was known when the session was found lost, and was not thrown away.
        assert Counter(states(book).values()) == {"accepted": 4}

        result = send(book, kiva.url, tmp_path, run_id="run-2")
        assert (result.recovered, len(kiva.posts)) == (0, BATCHES)
        assert arrived(kiva) == dict.fromkeys(LOANS, 1)
        assert set(states(book).values()) == {"accepted"}


@ON_POSTGRES
def test_an_answer_that_comes_late_settles_its_own_attempt_after_another_sender_took_over(
    ledger_url, postgres, tmp_path
):
    taken_over: list[int] = []

    def take_over() -> None:
        with ledger_at(ledger_url) as second:
            taken_over.append(send(second, kiva.url, tmp_path, run_id="run-2").recovered)

    with Kiva(wait_at=2) as kiva, ledger_at(ledger_url) as book:
        ended: list[BaseException] = []

        def run() -> None:
            try:
                send(book, kiva.url, tmp_path)
            except LedgerError as error:
                ended.append(error)

        sending = threading.Thread(target=run)
        sending.start()
        assert kiva.arrived.wait(60)
        end_senders(postgres, ledger_url)
        take_over()
        assert taken_over == [2]
        assert Counter(states(book).values()) == {"accepted": 6, "uncertain": 2}
        kiva.go_on.set()
        sending.join(60)
        assert ended
        assert arrived(kiva) == dict.fromkeys(LOANS, 1)
        assert set(states(book).values()) == {"accepted"}
