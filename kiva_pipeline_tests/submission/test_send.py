"""What the sender makes of each answer, and of none: real client, real ledger, a Kiva that fails."""

import json
import threading
from typing import Any

import pytest

from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.partner_api.errors import CredentialsRejectedError
from kiva_pipeline_tests.partner_api.servers import Reply, closed_port
from kiva_pipeline_tests.submission.books import (
    DRAFT,
    JOURNAL,
    REPAYMENT,
    ROW_OF,
    SECRETS,
    attempts,
    codes,
    counted,
    decided,
    draft_row,
    journal_row,
    reason_codes,
    report_row,
    states,
    story,
    versions,
)
from kiva_pipeline_tests.submission.desk import Desk, TwoDoors
from kiva_pipeline_tests.submission.kiva import (
    CLOSED,
    RESET,
    SILENCE,
    LoopbackKiva,
    Post,
    accept,
    applied_but,
    by_id,
    by_number,
    problem,
    problems,
    receipt,
    sending,
    status,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
SOON = {"read_timeout_seconds": 0.4}
LOST: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "time-out": (DRAFT, SILENCE, SOON),
    "time-out in the answer": (REPAYMENT, lambda k, p: Reply(instead=half_then_silence), SOON),
    "reset": (JOURNAL, RESET, {}),
    "closed without an answer": (REPAYMENT, CLOSED, {}),
    "closed in the answer": (DRAFT, sending(HEAD + b'{"loan_draft_uuid"'), {}),
    "no HTTP": (JOURNAL, sending(b"\x15\x03\x01\x00\x02\x02\x16 nonsense\r\n\r\n"), {}),
    "2xx that is not JSON": (REPAYMENT, status(200, b"<html>ok</html>"), {}),
    "2xx with nothing": (DRAFT, status(204, b""), {}),
    "2xx without a reference": (JOURNAL, status(200, {"code": "api.success"}), {}),
    "302": (REPAYMENT, status(302, b"", Location="http://127.0.0.1:9/login"), {}),
    "408": (DRAFT, status(408), {}),
    "409": (JOURNAL, status(409), {}),
    "425": (DRAFT, status(425), {}),
    "500": (REPAYMENT, status(500), {}),
    "502 with a page": (DRAFT, status(502, b"<html>Bad gateway</html>"), {}),
    "503 with Retry-After": (JOURNAL, status(503, b"", Retry_After="1"), {}),
    "504": (REPAYMENT, status(504, b""), {}),
}


def half_then_silence(connection: Any) -> None:
    connection.sendall(HEAD + b'{"upload_id":')
    connection.recv(1)


@pytest.mark.parametrize(("kind", "lost", "api"), LOST.values(), ids=LOST)
def test_a_lost_answer_is_in_doubt_whether_it_was_applied_or_not_and_never_goes_again(
    desk: Desk, kind: Any, lost: Any, api: Any
) -> None:
    desk = desk.having(api=api, repayments={"batch_size": 1})
    rows = [ROW_OF[kind](loan_id) for loan_id in ("after", "before", "fine")]
    desk.kiva.behave = by_id(before=lost, after=applied_but(lost))
    decisions = decided(desk.run(kind, rows))
    keys = [row["business_id"] for row in rows]
    assert decisions == dict(zip(keys, ["uncertain", "uncertain", "accepted"], strict=True))
    assert set(codes(desk.book).values()) == {"outcome_unknown", "accepted"}
    assert [attempt["verdict"] for attempt in attempts(desk.book)].count("uncertain") == 2

    desk.kiva.behave = accept
    again = decided(desk.run(kind, rows))
    assert len(desk.kiva.posts) == 3
    assert again == dict(zip(keys, ["uncertain", "uncertain", "unchanged"], strict=True))
    assert sum(desk.kiva.applied.values()) == 2


# -- not sent: the one failure that may go again -----------------------------------------------


def nowhere(kind: str, kiva: LoopbackKiva) -> str:
    return {
        "refused": f"http://127.0.0.1:{closed_port()}",
        "no such host": "http://no-such-host.invalid",
        "no TLS": kiva.url.replace("http:", "https:"),
        "no such protocol": kiva.url.replace("http:", "gopher:"),
    }[kind]


@pytest.mark.parametrize("failure", ["refused", "no such host", "no TLS", "no such protocol"])
def test_what_never_left_goes_again_after_a_wait_and_the_run_gives_up_in_the_end(
    desk: Desk, failure: str
) -> None:
    rows = [journal_row("L1"), journal_row("L2")]
    elsewhere = desk.settings.api.model_copy(update={"base_url": nowhere(failure, desk.kiva)})
    with (
        PartnerApi.open(desk.settings, SECRETS) as asks,
        PartnerApi.open(desk.settings.model_copy(update={"api": elsewhere}), SECRETS) as posts,
    ):
        result = desk.run(JOURNAL, rows, api=TwoDoors(asks, posts))
    assert result.summary.stopped == "Kiva can't be reached"
    assert desk.pauses == [1.0, 2.0, 4.0]
    assert set(decided(result).values()) == {"deferred"}
    assert {attempt["verdict"] for attempt in attempts(desk.book)} == {"not_sent"}
    assert desk.kiva.posts == []
    assert set(decided(desk.run(JOURNAL, rows)).values()) == {"accepted"}
    assert len(desk.kiva.posts) == 2


def test_a_connection_that_is_there_again_after_a_wait_goes_on_as_if_nothing_was(
    desk: Desk,
) -> None:
    rows = [draft_row(f"L{n}") for n in range(3)]
    away = desk.settings.api.model_copy(update={"base_url": nowhere("refused", desk.kiva)})
    with (
        PartnerApi.open(desk.settings, SECRETS) as asks,
        PartnerApi.open(desk.settings.model_copy(update={"api": away}), SECRETS) as posts,
    ):
        doors = TwoDoors(asks, posts)
        desk.on_pause = lambda: setattr(doors, "posts", asks)
        result = desk.run(DRAFT, rows, api=doors)
    assert set(decided(result).values()) == {"accepted"}
    assert desk.pauses == [1.0]
    assert len(desk.kiva.posts) == 3
    assert story(desk.book, "L0") == [
        ("planned", "in_flight"), ("in_flight", "planned"),
        ("planned", "in_flight"), ("in_flight", "accepted"),
    ]  # fmt: skip


# -- 429 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("header", "waited"), [({"Retry_After": "7"}, 7.0), ({}, 10.0)])
def test_a_429_is_waited_out_once(desk: Desk, header: Any, waited: float) -> None:
    desk.kiva.behave = by_number(accept, status(429, b"", **header))
    result = desk.run(JOURNAL, [journal_row(f"L{n}") for n in range(3)])
    assert desk.pauses == [waited]
    assert set(decided(result).values()) == {"accepted"}
    assert len(desk.kiva.posts) == 4
    assert desk.kiva.duplicates == []


def test_a_second_429_in_a_row_ends_the_run_and_the_rest_goes_next_time(desk: Desk) -> None:
    rows = [journal_row(f"L{n}") for n in range(3)]
    desk.kiva.behave = by_number(accept, then=status(429, b"", Retry_After="7"))
    result = desk.run(JOURNAL, rows)
    assert result.summary.stopped == "Kiva asks to slow down"
    assert desk.pauses == [7.0]
    assert counted(decided(result)) == {"accepted": 1, "deferred": 2}
    desk.kiva.behave = accept
    assert counted(decided(desk.run(JOURNAL, rows))) == {"unchanged": 1, "accepted": 2}
    assert desk.kiva.duplicates == []


def test_a_429_that_asks_for_more_than_the_cap_ends_the_run_at_once(desk: Desk) -> None:
    desk.kiva.behave = status(429, b"", Retry_After="3600")
    result = desk.run(JOURNAL, [journal_row("L1")])
    assert (desk.pauses, len(desk.kiva.posts)) == ([], 1)
    assert decided(result) == {"L1/1": "deferred"}


# -- 401 and 403 -------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [401, 403])
def test_a_refused_token_is_renewed_once_and_the_same_row_goes_again(
    desk: Desk, refusal: int
) -> None:
    desk.kiva.behave = by_number(accept, status(refusal))
    result = desk.run(REPAYMENT, [report_row(f"L{n}") for n in range(3)])
    assert set(decided(result).values()) == {"accepted"}
    assert [post.token for post in desk.kiva.posts] == ["T1", "T1", "T2", "T2"]
    assert len({post.request_id for post in desk.kiva.posts}) == 4


@pytest.mark.parametrize("refusal", [401, 403])
def test_a_token_that_is_refused_for_ever_stops_the_run_and_the_scope_is_named(
    desk: Desk, refusal: int
) -> None:
    rows = [report_row(f"L{n}") for n in range(3)]
    desk.kiva.behave = status(refusal)
    result = desk.run(REPAYMENT, rows)
    assert isinstance(result.summary.error, CredentialsRejectedError)
    assert f"answers {refusal} to a fresh token" in str(result.summary.error)
    assert "create:repayment" in str(result.summary.error)
    assert [post.token for post in desk.kiva.posts] == ["T1", "T2"]
    assert set(decided(result).values()) == {"deferred"}
    desk.kiva.behave = accept
    assert set(decided(desk.run(REPAYMENT, rows)).values()) == {"accepted"}


def test_tokens_that_are_refused_to_several_requests_at_once_are_renewed_for_each(
    desk: Desk,
) -> None:
    desk = desk.having(api={"max_in_flight": 4})
    desk.kiva.behave = lambda k, p: (status(401) if p.token == "T1" else accept)(k, p)
    result = desk.run(DRAFT, [draft_row(f"L{n}") for n in range(9)])
    assert set(decided(result).values()) == {"accepted"}
    assert desk.kiva.duplicates == []


def test_a_token_that_can_not_be_had_in_mid_run_sends_nothing_and_loses_nothing(desk: Desk) -> None:
    rows = [draft_row(f"L{n}") for n in range(3)]
    desk.kiva.behave = by_number(accept, status(401))
    tokens = desk.kiva.server.token_answer
    desk.kiva.server.token_answer = lambda n: tokens(n) if n == 1 else Reply({}, 401)
    result = desk.run(DRAFT, rows)
    assert isinstance(result.summary.error, CredentialsRejectedError)
    assert len(desk.kiva.posts) == 2
    assert counted(decided(result)) == {"accepted": 1, "deferred": 2}
    desk.kiva.server.token_answer = tokens
    desk.kiva.behave = accept
    assert counted(decided(desk.run(DRAFT, rows))) == {"unchanged": 1, "accepted": 2}
    assert desk.kiva.duplicates == []


# -- refusals ----------------------------------------------------------------------------------


def test_a_refused_row_keeps_kivas_words_and_the_others_go(desk: Desk) -> None:
    desk.kiva.behave = by_id(L1=status(400, {"code": "api.x", "message": "No such activity."}))
    rows = [draft_row(f"L{n}") for n in range(3)]
    assert decided(desk.run(DRAFT, rows)) == {"L0": "accepted", "L1": "rejected", "L2": "accepted"}
    (refused,) = [v for v in versions(desk.book) if v["state"] == "rejected"]
    (reason,) = json.loads(refused["reasons"])
    assert (reason["value_class"], reason["detail"]) == ("api.x", "No such activity.")
    assert decided(desk.run(DRAFT, rows))["L1"] == "rejected"
    assert len(desk.kiva.posts) == 3


def test_one_bad_row_in_a_batch_of_200_is_found_by_halving_and_the_others_go(desk: Desk) -> None:
    desk = desk.having(repayments={"batch_size": 200})
    rows = [report_row(f"L{n:03}") for n in range(200)]
    desk.kiva.behave = by_id(L137=status(422))
    decisions = decided(desk.run(REPAYMENT, rows))
    assert counted(decisions) == {"accepted": 199, "rejected": 1}
    assert decisions["L137"] == "rejected"
    assert len(desk.kiva.posts) <= 2 * 8 + 1
    assert set(desk.kiva.applied.values()) == {1}
    assert len(desk.kiva.applied) == 199
    assert story(desk.book, "L000")[-1] == ("in_flight", "accepted")
    assert [step for step in story(desk.book, "L137") if step[1] != "in_flight"][-1] == (
        "in_flight",
        "rejected",
    )


def test_ten_refusals_in_a_row_end_the_run(desk: Desk) -> None:
    desk.kiva.behave = status(400)
    result = desk.run(JOURNAL, [journal_row(f"L{n:02}") for n in range(13)])
    assert result.summary.stopped == "10 refusals in a row"
    assert counted(decided(result)) == {"rejected": 10, "deferred": 3}


def test_refusals_that_are_not_in_a_row_do_not_end_the_run(desk: Desk) -> None:
    refused = [status(400)] * 9
    desk.kiva.behave = by_number(*refused, accept, *refused)
    result = desk.run(JOURNAL, [journal_row(f"L{n:02}") for n in range(20)])
    assert result.summary.stopped == ""
    assert counted(decided(result)) == {"rejected": 18, "accepted": 2}


# -- uncertain ---------------------------------------------------------------------------------


def test_three_lost_answers_end_the_run_also_when_others_came_between(desk: Desk) -> None:
    rows = [journal_row(f"L{n:02}") for n in range(8)]
    desk.kiva.behave = by_number(RESET, accept, RESET, accept, RESET)
    result = desk.run(JOURNAL, rows)
    assert result.summary.stopped == "3 answers were lost"
    assert counted(decided(result)) == {"uncertain": 3, "accepted": 2, "deferred": 3}
    assert len(desk.kiva.posts) == 5
    desk.kiva.behave = accept
    assert counted(decided(desk.run(JOURNAL, rows))) == {
        "uncertain": 3, "unchanged": 2, "accepted": 3,
    }  # fmt: skip


def test_with_many_in_flight_no_more_are_begun_once_the_run_has_to_stop(desk: Desk) -> None:
    desk = desk.having(api={"max_in_flight": 4})
    desk.kiva.behave = RESET
    result = desk.run(JOURNAL, [journal_row(f"L{n:02}") for n in range(30)])
    assert 3 <= len(desk.kiva.posts) <= 2 + 4
    assert counted(decided(result))["uncertain"] == len(desk.kiva.posts)


# -- problems ----------------------------------------------------------------------------------


def test_problems_are_read_for_each_loan(desk: Desk) -> None:
    desk = desk.having(repayments={"batch_size": 10})
    desk.kiva.behave = problems(problem("l1 "), problem("L2", "warning"), problem("L2", "WARNING"),
                                problem("L3", "warning"), problem("L3"))  # fmt: skip
    rows = [report_row(f"L{n}") for n in range(5)]
    result = desk.run(REPAYMENT, rows)
    assert decided(result) == {
        "L0": "accepted", "L1": "rejected", "L2": "accepted", "L3": "rejected", "L4": "accepted",
    }  # fmt: skip
    assert reason_codes(result)["L2"] == "accepted_with_warning"
    by_id_ = {v["business_id"]: json.loads(v["reasons"] or "[]") for v in versions(desk.book)}
    assert [r["detail"] for r in by_id_["L1"]] == ["Too much."]
    assert [r["severity"] for r in by_id_["L2"]] == ["warn", "warn"]
    assert [r["code"] for r in by_id_["L3"]] == ["rejected"]
    assert {v["remote_ref"] for v in versions(desk.book)} == {"ref-1"}
    again = decided(desk.run(REPAYMENT, rows))
    assert counted(again) == {"unchanged": 3, "rejected": 2}
    assert len(desk.kiva.posts) == 1


def test_one_problem_as_an_object_is_read_as_well(desk: Desk) -> None:
    desk.kiva.behave = lambda k, p: Reply(receipt(p, problems=problem(p.ids[0])))
    assert decided(desk.run(REPAYMENT, [report_row("L1")])) == {"L1": "rejected"}


def test_a_problem_of_a_loan_that_was_not_sent_puts_the_batch_in_doubt_and_stops(
    desk: Desk,
) -> None:
    desk = desk.having(repayments={"batch_size": 2})
    desk.kiva.behave = problems(problem("L0"), problem("STRANGER"))
    result = desk.run(REPAYMENT, [report_row(f"L{n}") for n in range(5)])
    assert result.summary.stopped == "an answer names a loan that was not sent"
    assert counted(decided(result)) == {"uncertain": 2, "deferred": 3}
    assert reason_codes(result)["L0"] == "foreign_problem"
    assert len(desk.kiva.posts) == 1


# -- many at once ------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_requests_are_under_way_than_the_settings_allow(desk: Desk, most: int) -> None:
    desk = desk.having(api={"max_in_flight": most})
    together = threading.Barrier(most)

    def behave(kiva: LoopbackKiva, post: Post) -> Reply:
        together.wait(20)  # as many as may be are under way, or this breaks
        return accept(kiva, post)

    desk.kiva.behave = behave
    result = desk.run(DRAFT, [draft_row(f"L{n}") for n in range(3 * most)])
    assert set(decided(result).values()) == {"accepted"}
    assert desk.kiva.most_at_once == most


def test_answers_that_come_in_another_order_settle_their_own_rows(desk: Desk) -> None:
    desk = desk.having(api={"max_in_flight": 3})
    others = threading.Semaphore(0)

    def behave(kiva: LoopbackKiva, post: Post) -> Reply:
        if post.ids == ["L0"]:
            others.acquire()
            others.acquire()
            return accept(kiva, post)
        reply = (status(400) if post.ids == ["L1"] else accept)(kiva, post)
        others.release()
        return reply

    desk.kiva.behave = behave
    decisions = decided(desk.run(DRAFT, [draft_row(f"L{n}") for n in range(5)]))
    assert decisions == {f"L{n}": "rejected" if n == 1 else "accepted" for n in range(5)}
    references = {v["business_id"]: v["remote_ref"] for v in versions(desk.book)}
    arrived = {post.ids[0]: f"ref-{post.number}" for post in desk.kiva.posts}
    assert {k: v for k, v in references.items() if k != "L1"} == {
        k: v for k, v in arrived.items() if k != "L1"
    }


def test_each_request_carries_the_id_of_its_attempt_and_no_two_share_one(desk: Desk) -> None:
    desk.kiva.behave = by_number(status(429, b"", Retry_After="0"), status(401))
    desk.run(JOURNAL, [journal_row(f"L{n}") for n in range(3)])
    sent = [post.request_id for post in desk.kiva.posts]
    assert sorted(sent) == sorted(attempt["id"] for attempt in attempts(desk.book))
    assert len(set(sent)) == len(sent) == 5


def test_a_fault_of_ours_says_nothing_about_the_server_and_loses_no_answer(desk: Desk) -> None:
    """A photo that can't be read in an unforeseen way ends the run, not what is under way."""
    desk = desk.having(api={"max_in_flight": 2})
    desk.photos.changed["photo-L3"] = RuntimeError("of ours")
    rows = [draft_row(f"L{n}") for n in range(5)]
    with pytest.raises(RuntimeError, match="of ours"):
        desk.run(DRAFT, rows)
    sent = {post.ids[0] for post in desk.kiva.posts}
    assert {key for key, state in states(desk.book).items() if state == "accepted"} == sent
    assert "in_flight" not in states(desk.book).values()
    desk.photos.changed.clear()
    decisions = decided(desk.run(DRAFT, rows))
    assert set(decisions.values()) <= {"accepted", "unchanged"}
    assert desk.kiva.duplicates == []
    assert len(desk.kiva.posts) == 5


def test_the_receipt_is_kept_for_the_person_who_publishes(desk: Desk) -> None:
    assert decided(desk.run(JOURNAL, [journal_row("L1")])) == {"L1/1": "accepted"}
    (kept,) = versions(desk.book)
    assert (kept["remote_ref"], kept["confirm_url"]) == ("ref-1", "http://pa2/1")
