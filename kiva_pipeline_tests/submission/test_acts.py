"""Acts of a person, against a real sandbox and a real ledger."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from kiva_pipeline.errors import NotAllowedNowError, PipelineError, SettingsError
from kiva_pipeline.periods import Month
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.acts import (
    Person,
    close_month,
    extend_month,
    pause,
    person,
    reopen_month,
    resume,
)
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.resolve import Answer, asked_about, doubts, resolve
from kiva_pipeline.submission.retry import retry
from kiva_pipeline_tests.between import AnswerLostError, Between, between, refusal, told
from kiva_pipeline_tests.submission.books import settings_for
from kiva_pipeline_tests.submission.sending import (
    DRAFTS,
    JOURNALS,
    REPAYMENTS,
    open_ledger,
    send,
    story,
)
from kiva_pipeline_tests.worlds import OPEN_MONTH, PRACTICE_DAY, RUNNING_MONTH, demo_world

ADA = Person("Ada", "looked in PA2")


@pytest.fixture
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Between]:
    with demo_world(tmp_path_factory, loans=60) as world, between(world) as way:
        yield way


@pytest.fixture
def settings(tmp_path) -> Settings:
    return settings_for(state={"folder": tmp_path})


@pytest.fixture
def ledger(settings) -> Iterator[Ledger]:
    """A ledger that was just born, for acts on no row."""
    book = open_ledger(settings)
    yield book
    book.close()


def doubtful(way: Between) -> list[str]:
    ledger = open_ledger(way.settings)
    with ledger.reading() as connection:
        found = [row.business_id for row in doubts(connection)]
    ledger.close()
    return found


def answer(way: Between, target: str, what: Answer, who: Person = ADA, **more) -> list:
    ledger = open_ledger(way.settings)
    try:
        return resolve(
            ledger, way.settings, target, what, who,
            **{"confirmed": True, "listed_at_kiva": lambda _ids: []} | more,
        )  # fmt: skip
    finally:
        ledger.close()


def lost_draft(way: Between, *, arrives: bool = True) -> str:
    """A draft whose answer was lost: one that is in PA2, or one that is not."""
    way.lose_answers = arrives
    if not arrives:

        def swallow(_asked):
            raise AnswerLostError

        way.on_post = swallow
    sent = send(way.settings, DRAFTS, RUNNING_MONTH, limit=1)
    way.lose_answers, way.on_post = False, lambda _asked: None
    (loan_id,) = sent.ids("uncertain")
    return loan_id


def events_by(way: Between, loan_id: str, name: str) -> list[dict]:
    return [e for e in story(way.settings, loan_id)["events"] if e["who"] == name]


def drafts_of(way: Between, loan_id: str) -> int:
    """How many drafts of this loan PA2 has."""
    import sqlite3

    with sqlite3.connect(way.world.sandbox) as sandbox:
        (found,) = sandbox.execute(
            "SELECT count(*) FROM draft WHERE business_key = ?", (loan_id,)
        ).fetchone()
    return int(found)


# --- who and why


@pytest.mark.parametrize(
    ("by", "why"), [(None, "a"), ("", "a"), (" \t", "a"), ("Ada", None), ("Ada", "\n ")]
)
def test_an_act_without_a_name_or_a_reason_is_refused(by, why):
    with pytest.raises(SettingsError):
        person(by, why)


def test_a_name_and_a_reason_are_kept_in_one_line():
    assert person("  Ada\tB ", "two\nlines ") == Person("Ada B", "two lines")


def test_a_reason_of_a_whole_page_is_refused():
    with pytest.raises(SettingsError, match="501 characters"):
        person("Ada", "x" * 501)


# --- resolve


def test_a_draft_that_a_person_found_counts_as_accepted_and_is_never_sent_again(way):
    loan_id = lost_draft(way)
    answer(way, loan_id, Answer.ARRIVED, reference=" 11111111-2222-3333-4444-555555555555 ")
    assert doubtful(way) == []
    again = send(way.settings, DRAFTS, RUNNING_MONTH)
    assert again.rows.loc[loan_id, "decision"] == "unchanged"
    assert drafts_of(way, loan_id) == 1
    (row,) = story(way.settings, loan_id)["submissions"]
    assert (row["state"], row["reason_code"]) == ("accepted", "resolved_arrived")
    assert row["remote_ref"] == "11111111-2222-3333-4444-555555555555"
    (event,) = events_by(way, loan_id, "Ada")
    assert (event["action"], event["from_state"], event["to_state"], event["why"]) == (
        "resolved", "uncertain", "accepted", "looked in PA2",
    )  # fmt: skip


def test_a_draft_that_is_not_there_goes_as_a_new_version_from_todays_source(way):
    loan_id = lost_draft(way, arrives=False)
    answer(way, loan_id, Answer.NOT_THERE)
    first = story(way.settings, loan_id)["submissions"][0]
    assert (first["state"], first["reason_code"]) == ("withdrawn", "resolved_not_there")
    planned = send(way.settings, DRAFTS, RUNNING_MONTH, dry_run=True)
    assert planned.reason(loan_id) == "not_there_before"
    send(way.settings, DRAFTS, RUNNING_MONTH)
    _, second = story(way.settings, loan_id)["submissions"]
    assert (second["version"], second["state"]) == (2, "accepted")
    assert second["attempt_id"] != first["attempt_id"]
    assert drafts_of(way, loan_id) == 1


def test_a_draft_that_kiva_lists_can_not_be_said_to_be_missing(way):
    loan_id = lost_draft(way)
    with pytest.raises(NotAllowedNowError, match="it arrived"):
        answer(way, loan_id, Answer.NOT_THERE, listed_at_kiva=list)
    assert doubtful(way) == [loan_id]
    assert events_by(way, loan_id, "Ada") == []


def test_nobody_says_that_a_draft_is_missing_without_having_been_told_the_danger(way):
    loan_id = lost_draft(way)
    with pytest.raises(NotAllowedNowError, match="makes a second one"):
        answer(way, loan_id, Answer.NOT_THERE, confirmed=False)
    assert doubtful(way) == [loan_id]


def test_that_kiva_was_not_asked_is_kept_with_the_reason(way):
    loan_id = lost_draft(way)
    answer(way, loan_id, Answer.NOT_THERE, listed_at_kiva=None)
    (event,) = events_by(way, loan_id, "Ada")
    assert event["why"] == "looked in PA2 (Kiva's list was not asked)"


def test_a_wrong_not_there_is_stopped_once_the_draft_is_published(way):
    loan_id = lost_draft(way)
    answer(way, loan_id, Answer.NOT_THERE)
    publish(way, loan_id)
    for _ in range(2):
        again = send(way.settings, DRAFTS, RUNNING_MONTH)
        assert again.rows.loc[loan_id, "decision"] == "already_at_kiva"
        assert again.reason(loan_id) == "not_there_but_listed"
    assert drafts_of(way, loan_id) == 1
    answer(way, loan_id, Answer.ARRIVED, Person("Bo", "it was there"))
    assert send(way.settings, DRAFTS, RUNNING_MONTH).rows.loc[loan_id, "decision"] == "unchanged"


def test_a_wrong_answer_is_given_anew_as_long_as_nothing_was_sent_since(way):
    loan_id = lost_draft(way)
    answer(way, loan_id, Answer.NOT_THERE)
    send(way.settings, DRAFTS, RUNNING_MONTH, limit=0)  # decided anew, and not sent
    answer(way, loan_id, Answer.ARRIVED, Person("Bo", "it was on page two"))
    again = send(way.settings, DRAFTS, RUNNING_MONTH)
    assert again.rows.loc[loan_id, "decision"] == "unchanged"
    assert drafts_of(way, loan_id) == 1
    assert [e["to_state"] for e in events_by(way, loan_id, "Bo")] == ["accepted"]


def test_an_arrived_that_was_wrong_is_taken_back_and_the_draft_goes(way):
    loan_id = lost_draft(way, arrives=False)
    answer(way, loan_id, Answer.ARRIVED)
    answer(way, loan_id, Answer.NOT_THERE, Person("Bo", "it was another client's"))
    send(way.settings, DRAFTS, RUNNING_MONTH)
    assert drafts_of(way, loan_id) == 1
    with pytest.raises(NotAllowedNowError, match="is not in doubt"):
        answer(way, loan_id, Answer.ARRIVED)


def test_the_same_answer_twice_is_refused(way):
    loan_id = lost_draft(way)
    answer(way, loan_id, Answer.ARRIVED)
    with pytest.raises(NotAllowedNowError, match="answered so already"):
        answer(way, loan_id, Answer.ARRIVED)


def test_what_kiva_accepted_or_refused_itself_is_no_question_for_a_person(way):
    way.on_post = lambda asked: None if len(way.posts) > 1 else refusal()
    send(way.settings, REPAYMENTS, OPEN_MONTH, limit=1)
    sent = send(way.settings, REPAYMENTS, OPEN_MONTH)
    for state in ("accepted", "rejected", "held"):
        with pytest.raises(NotAllowedNowError, match=f"is not in doubt: .* is {state}"):
            answer(way, sent.ids(state)[0], Answer.NOT_THERE)


def test_an_id_that_the_ledger_does_not_know_is_said_to_be_unknown(way):
    lost_draft(way)
    with pytest.raises(PipelineError, match="sent nothing of"):
        answer(way, "no-such-loan", Answer.ARRIVED)


def test_a_request_of_many_rows_is_settled_as_a_whole(way):
    way.lose_answers = True
    ids = send(way.settings, REPAYMENTS, OPEN_MONTH).ids("uncertain")
    way.lose_answers = False
    assert len(ids) > 3
    request_id = told_request_id(way)
    settled = answer(way, request_id, Answer.ARRIVED, reference="upload-7")
    assert sorted(row.business_id for row in settled) == ids
    again = send(way.settings, REPAYMENTS, OPEN_MONTH)
    assert set(ids) <= set(again.ids("unchanged"))
    assert len(way.posts) == 1


def test_a_report_that_is_not_there_is_made_again_from_the_ledgers_next_plan(way):
    way.lose_answers = True
    ids = send(way.settings, REPAYMENTS, OPEN_MONTH).ids("uncertain")
    way.lose_answers = False
    first = told(way.posts[0])["repayments"]
    answer(way, told_request_id(way), Answer.NOT_THERE, confirmed=False)
    send(way.settings, REPAYMENTS, OPEN_MONTH)
    resent = [row for post in way.posts[1:] for row in told(post)["repayments"]]
    assert {row["loan_id"] for row in first} == set(ids) <= {row["loan_id"] for row in resent}


def test_a_reference_that_fits_nothing_is_refused(way):
    loan_id = lost_draft(way)
    with pytest.raises(SettingsError, match="not the uuid"):
        answer(way, loan_id, Answer.ARRIVED, reference="draft 7")
    with pytest.raises(SettingsError, match="no reference there"):
        answer(way, loan_id, Answer.NOT_THERE, reference="11111111-2222-3333-4444-555555555555")
    assert doubtful(way) == [loan_id]


def test_rows_that_a_dead_sender_left_in_flight_can_be_resolved(way):
    loan_id = lost_draft(way)
    ledger = open_ledger(way.settings)
    with ledger.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE submission SET state = 'in_flight' WHERE state = 'uncertain'"
        )
    ledger.close()
    answer(way, loan_id, Answer.ARRIVED)
    assert doubtful(way) == []


def test_a_loan_with_a_draft_and_a_figure_in_doubt_needs_to_be_told_apart(way):
    way.lose_answers = True
    figure = send(way.settings, REPAYMENTS, OPEN_MONTH).ids("uncertain")[0]
    loan_id = lost_draft(way)
    ledger = open_ledger(way.settings)
    with ledger.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE submission SET business_id = ? WHERE business_id = ? AND kind = 'repayment'",
            (loan_id, figure),
        )
    ledger.close()
    with pytest.raises(NotAllowedNowError, match="More than one thing"):
        answer(way, loan_id, Answer.ARRIVED)
    (row,) = answer(way, loan_id, Answer.ARRIVED, kind="loan_draft")
    assert row.kind == "loan_draft"
    assert doubtful(way).count(loan_id) == 1


def test_a_resolve_waits_for_a_sender_that_is_at_work(way):
    from kiva_pipeline.errors import SenderBusyError
    from kiva_pipeline.submission.lock import sender_lock

    loan_id = lost_draft(way)
    ledger = open_ledger(way.settings)
    with (
        sender_lock(ledger, run_id="run-7", wait_seconds=0),
        pytest.raises(SenderBusyError, match="run-7"),
    ):
        answer(way, loan_id, Answer.ARRIVED)
    ledger.close()


def test_a_lost_journal_is_settled_by_its_loan_and_note(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=150) as world, between(world) as way:
        way.lose_answers = True
        (note,) = send(way.settings, JOURNALS, OPEN_MONTH).ids("uncertain")
        way.lose_answers = False
        ledger = open_ledger(way.settings)
        with ledger.reading() as connection:
            assert [row.business_id for row in asked_about(connection, note)] == [note]
        ledger.close()
        answer(way, note, Answer.ARRIVED, reference="archive-3")
        assert send(way.settings, JOURNALS, OPEN_MONTH).rows.loc[note, "decision"] == "unchanged"


# --- retry


def refused_draft(way: Between) -> str:
    way.on_post = lambda _asked: refusal()
    (loan_id,) = send(way.settings, DRAFTS, RUNNING_MONTH, limit=1).ids("rejected")
    way.on_post = lambda _asked: None
    return loan_id


def ask_again(way: Between, *ids: str, **more) -> list[str]:
    ledger = open_ledger(way.settings)
    try:
        rows = retry(ledger, way.settings, Person("Ada", "the limit was raised"), ids=ids, **more)
        return [row.business_id for row in rows]
    finally:
        ledger.close()


def test_a_refused_draft_waits_until_a_person_asks_and_then_goes_once(way):
    loan_id = refused_draft(way)
    assert send(way.settings, DRAFTS, RUNNING_MONTH).reason(loan_id) == "refused_before"
    assert ask_again(way, loan_id) == [loan_id]
    planned = send(way.settings, DRAFTS, RUNNING_MONTH, dry_run=True)
    assert (planned.rows.loc[loan_id, "decision"], planned.reason(loan_id)) == (
        "planned",
        "retried",
    )
    assert send(way.settings, DRAFTS, RUNNING_MONTH).rows.loc[loan_id, "decision"] == "accepted"
    assert drafts_of(way, loan_id) == 1
    (event,) = events_by(way, loan_id, "Ada")
    assert (event["action"], event["why"]) == ("retry asked", "the limit was raised")


def test_a_draft_that_is_refused_again_waits_again(way):
    loan_id = refused_draft(way)
    send(way.settings, DRAFTS, RUNNING_MONTH)
    ask_again(way, loan_id)
    way.on_post = lambda _asked: refusal()
    before = len(way.posts)
    assert send(way.settings, DRAFTS, RUNNING_MONTH).rows.loc[loan_id, "decision"] == "rejected"
    assert send(way.settings, DRAFTS, RUNNING_MONTH).reason(loan_id) == "refused_before"
    assert len(way.posts) == before + 1
    assert ask_again(way, loan_id) == [loan_id]


def test_what_was_asked_for_already_or_was_not_refused_can_not_be_retried(way):
    loan_id = refused_draft(way)
    accepted = send(way.settings, DRAFTS, RUNNING_MONTH).ids("accepted")[0]
    with pytest.raises(NotAllowedNowError, match="was not refused: it is accepted"):
        ask_again(way, loan_id, accepted)
    assert send(way.settings, DRAFTS, RUNNING_MONTH).reason(loan_id) == "refused_before"
    ask_again(way, loan_id)
    with pytest.raises(NotAllowedNowError, match="asked for already"):
        ask_again(way, loan_id)
    with pytest.raises(PipelineError, match="knows no nowhere"):
        ask_again(way, "nowhere")


def test_all_refusals_of_a_month_are_asked_for_at_once(way):
    way.on_post = lambda _asked: refusal()
    refused = send(way.settings, DRAFTS, RUNNING_MONTH).ids("rejected")
    way.on_post = lambda _asked: None
    assert sorted(ask_again(way, month=str(RUNNING_MONTH))) == refused
    with pytest.raises(NotAllowedNowError, match="Nothing of"):
        ask_again(way, month=str(RUNNING_MONTH))
    assert send(way.settings, DRAFTS, RUNNING_MONTH).ids("accepted") == refused


def test_a_refused_figure_may_go_again_on_the_same_day_when_a_person_asks(way):
    way.on_post = lambda _asked: refusal()
    (refused,) = send(way.settings, REPAYMENTS, OPEN_MONTH, limit=1).ids("rejected")
    way.on_post = lambda _asked: None
    assert send(way.settings, REPAYMENTS, OPEN_MONTH).reason(refused) == "refused_today"
    before = len(way.posts)
    ask_again(way, refused)
    send(way.settings, REPAYMENTS, OPEN_MONTH)
    assert [row["loan_id"] for post in way.posts[before:] for row in told(post)["repayments"]] == [
        refused
    ]


# --- pause and resume


def test_a_pause_stops_a_sender_that_is_at_work_before_its_next_request(tmp_path_factory):
    with (
        demo_world(tmp_path_factory, loans=150) as world,
        between(world, api={"max_in_flight": 1}) as way,
    ):

        def pause_now(_asked):
            ledger = open_ledger(way.settings)  # another process would open it just so
            if not ledger.card().paused_by:
                pause(ledger, way.settings, Person("Ada", "wrong amounts"))
            ledger.close()

        way.on_post = pause_now
        sent = send(way.settings, DRAFTS, RUNNING_MONTH)
        assert len(sent.ids("accepted")) == len(way.posts) == 1
        assert "Ada" in sent.result.summary.stopped
        assert "wrong amounts" in sent.result.summary.stopped
        with pytest.raises(NotAllowedNowError, match="paused by Ada: wrong amounts"):
            send(way.settings, DRAFTS, RUNNING_MONTH)

        way.on_post = lambda _asked: None
        ledger = open_ledger(way.settings)
        assert resume(ledger, way.settings, Person("Bo", "corrected")) == ("Ada", "wrong amounts")
        ledger.close()
        rest = send(way.settings, DRAFTS, RUNNING_MONTH)
        assert sorted([*sent.ids("accepted"), *rest.ids("accepted")]) == sorted(
            [*sent.ids("accepted"), *sent.ids("deferred")]
        )


def test_what_is_paused_is_not_paused_again_and_what_is_not_is_not_resumed(ledger, settings):
    with pytest.raises(NotAllowedNowError, match="not paused"):
        resume(ledger, settings, ADA)
    pause(ledger, settings, ADA)
    with pytest.raises(NotAllowedNowError, match="paused already, by Ada"):
        pause(ledger, settings, Person("Bo", "me too"))


# --- close and extend


def test_a_month_that_a_person_closed_lists_what_kiva_has_no_figure_of(way):
    settings = way.settings
    sent = send(settings, REPAYMENTS, OPEN_MONTH)
    ledger = open_ledger(settings)
    left = close_month(ledger, settings, OPEN_MONTH, ADA)
    assert sorted(row.business_id for row in left) == sorted(
        sent.ids("held") + sent.ids("missing") + sent.ids("rejected") + sent.ids("needs_person")
    )
    with pytest.raises(NotAllowedNowError, match=r"closed already.*by Ada"):
        close_month(ledger, settings, OPEN_MONTH, ADA)
    with pytest.raises(NotAllowedNowError, match=r"is closed since.*by Ada"):
        extend_month(ledger, settings, OPEN_MONTH, date(2026, 10, 20), ADA)
    reopen_month(ledger, settings, OPEN_MONTH, ADA)
    with pytest.raises(NotAllowedNowError, match="was not closed"):
        reopen_month(ledger, settings, OPEN_MONTH, ADA)
    ledger.close()


def test_a_month_that_is_not_over_is_neither_closed_nor_extended(ledger, settings):
    with pytest.raises(NotAllowedNowError, match="is not over"):
        close_month(ledger, settings, RUNNING_MONTH, ADA)
    with pytest.raises(NotAllowedNowError, match="is not over"):
        extend_month(ledger, settings, RUNNING_MONTH, date(2026, 11, 20), ADA)


@pytest.mark.parametrize(
    ("month", "until", "words"),
    [
        (OPEN_MONTH, PRACTICE_DAY - timedelta(days=1), "is in the past"),
        (OPEN_MONTH, date(2026, 10, 15), "open until 2026-10-15 anyway"),
        (OPEN_MONTH, date(2026, 11, 15), "that of 2026-10, which waits"),
        (Month(2026, 8), date(2026, 10, 7), "was over before that of 2026-09 opened on 2026-10-02"),
        (OPEN_MONTH, date(2046, 11, 2), "that of 2026-10, which waits"),
    ],
)  # fmt: skip
def test_a_day_that_makes_no_sense_does_not_extend_a_month(ledger, settings, month, until, words):
    with pytest.raises(NotAllowedNowError, match=words):
        extend_month(ledger, settings, month, until, ADA)


def test_an_extension_may_last_as_long_as_the_next_month_can_still_be_reported(ledger, settings):
    extend_month(ledger, settings, OPEN_MONTH, date(2026, 11, 14), ADA)
    extend_month(ledger, settings, OPEN_MONTH, date(2026, 10, 20), ADA)
    with ledger.reading() as connection:
        (row,) = connection.exec_driver_sql(
            "SELECT month, closed_at, extended_until FROM report_month"
        ).all()
        whys = connection.exec_driver_sql(
            "SELECT who, why FROM event WHERE action = 'extended 2026-09'"
        ).all()
    assert tuple(row) == ("2026-09", None, "2026-10-20")
    assert [tuple(why) for why in whys] == [
        ("Ada", "looked in PA2 (until 2026-11-14)"), ("Ada", "looked in PA2 (until 2026-10-20)"),
    ]  # fmt: skip


def told_request_id(way: Between) -> str:
    return str(way.posts[0].headers["X-Request-ID"])


def publish(way: Between, loan_id: str) -> None:
    """What a Coordinator does in PA2 with the draft of a loan."""
    import sqlite3

    import httpx

    with sqlite3.connect(way.world.sandbox) as sandbox:
        (uuid,) = sandbox.execute(
            "SELECT uuid FROM draft WHERE business_key = ?", (loan_id,)
        ).fetchone()
    assert httpx.post(f"{way.world.url}/_sandbox/publish/{uuid}").status_code == 200
