"""Acts of a person on the command line, against a real sandbox and through real runs of Dagster."""

import contextlib
import io
import json
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from kiva_pipeline.cli.main import command_line
from kiva_pipeline_tests.between import AnswerLostError, Between, between, refusal
from kiva_pipeline_tests.partner_api.servers import closed_port
from kiva_pipeline_tests.submission.sending import DRAFTS, REPAYMENTS, send
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, demo_world

SIGNED = ("--by", "Ada", "--why", "looked in PA2")


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit code, and what it printed on one line each."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        return json.loads(self.out)

    @property
    def words(self) -> str:
        return " ".join((self.out + self.err).split())


class Terminal:
    """What the partner's people type, over the way between the partner and Kiva."""

    def __init__(self, way: Between) -> None:
        self.way = way

    def __call__(self, *arguments: object, answers: str | None = None, file: object = None) -> Done:
        out, err = io.StringIO(), io.StringIO()
        typed = io.StringIO(answers or "")
        typed_before, sys.stdin = sys.stdin, typed
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = command_line(
                    [*map(str, arguments), "--settings", str(file or self.way.settings_file)]
                )
        finally:
            sys.stdin = typed_before
        return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture
def way(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=60) as world, between(world) as way:
        yield way


@pytest.fixture
def kiva(way, monkeypatch):
    monkeypatch.delenv("KIVA_PIPELINE_BY", raising=False)
    return Terminal(way)


def lost_draft(way: Between, *, arrives: bool = True) -> str:
    """A draft whose answer was lost: one that is in PA2, or one that is not."""

    def swallow(_asked):
        raise AnswerLostError

    way.lose_answers, way.on_post = arrives, way.on_post if arrives else swallow
    (loan_id,) = send(way.settings, DRAFTS, RUNNING_MONTH, limit=1).ids("uncertain")
    way.lose_answers, way.on_post = False, lambda _asked: None
    return loan_id


def drafts_of(way: Between, loan_id: str) -> list[str]:
    """The uuids of this loan's drafts in PA2."""
    with sqlite3.connect(way.world.sandbox) as sandbox:
        rows = sandbox.execute("SELECT uuid FROM draft WHERE business_key = ?", (loan_id,))
        return [uuid for (uuid,) in rows]


# --- who and why


@pytest.mark.parametrize(
    "act",
    [
        ("resolve", "1", "--arrived"), ("retry", "1"), ("approve", "1", "--month", "2026-09"),
        ("pause",), ("resume",), ("close", "2026-09"),
        ("extend", "2026-09", "--until", "2026-10-20"),
    ],
    ids=lambda act: act[0],
)  # fmt: skip
@pytest.mark.parametrize("signed", [(), ("--by", " ", "--why", "x"), ("--by", "Ada", "--why", "")])
def test_no_act_is_done_without_a_name_and_a_reason(shared, act, signed):
    before = shared("status", "--json").told
    done = shared(*act, *signed)
    assert done.code == (1 if act[0] == "resolve" else 2)  # it looks for the rows first
    assert shared("status", "--json").told == before


@pytest.fixture
def shared(shared_way, monkeypatch):
    monkeypatch.delenv("KIVA_PIPELINE_BY", raising=False)
    return Terminal(shared_way)


def test_the_name_may_come_from_the_environment(kiva, monkeypatch):
    send(kiva.way.settings, DRAFTS, RUNNING_MONTH, limit=0)
    monkeypatch.setenv("KIVA_PIPELINE_BY", "Bo")
    assert kiva("pause", "--why", "lunch").code == 0
    assert "paused by Bo: lunch" in kiva("status").words


def test_without_a_ledger_there_is_nothing_to_act_on(kiva):
    for ledger in kiva.way.world.folder.glob("ledger.sqlite*"):
        ledger.unlink()
    done = kiva("pause", *SIGNED)
    assert (done.code, "no ledger yet" in done.words) == (5, True)
    assert not (kiva.way.world.folder / "ledger.sqlite").exists()


# --- resolve


def test_a_doubt_says_where_to_look_and_the_commands_that_settle_it(kiva):
    loan_id = lost_draft(kiva.way)
    asked = kiva("resolve", loan_id)
    assert asked.code == 10
    assert f"look among the loan drafts for loan id {loan_id} of client" in asked.words
    assert f"kiva-pipeline resolve {loan_id} --stream drafts --arrived" in asked.words
    assert (
        kiva("resolve", loan_id, "--json").told["rows"][0]["commands"]
        == (kiva("doubts", "--json").told["doubts"][0]["commands"])
    )
    settled = kiva("resolve", loan_id, "--arrived", *SIGNED, "--json")
    assert settled.code == 0
    assert [row["id"] for row in settled.told["rows"]] == [loan_id]
    assert kiva("doubts").code == 0
    assert "resolved: uncertain → accepted (looked in PA2; by Ada)" in kiva("trace", loan_id).words


def test_the_command_that_is_named_works_as_it_is_named(kiva):
    import shlex

    loan_id = lost_draft(kiva.way, arrives=False)
    _, not_there = kiva("doubts", "--json").told["doubts"][0]["commands"]
    words = shlex.split(not_there.replace("NAME", "Ada").replace("REASON", "not found"))
    assert kiva(*words[1:], answers="y\n").code == 0
    assert "resolved: uncertain → withdrawn (not found; by Ada)" in kiva("trace", loan_id).words


def test_that_a_draft_is_not_there_is_asked_once_more(kiva):
    loan_id = lost_draft(kiva.way)
    no = kiva("resolve", loan_id, "--not-there", *SIGNED, answers="n\n")
    assert (no.code, "makes a second one" in no.words) == (2, True)
    nobody = kiva("resolve", loan_id, "--not-there", *SIGNED)
    assert (nobody.code, "--yes" in nobody.words) == (2, True)
    assert [row["id"] for row in kiva("doubts", "--json").told["doubts"]] == [loan_id]


def test_a_published_draft_is_never_not_there(kiva):
    loan_id = lost_draft(kiva.way)
    (uuid,) = drafts_of(kiva.way, loan_id)
    assert httpx.post(f"{kiva.way.world.url}/_sandbox/publish/{uuid}").status_code == 200
    done = kiva("resolve", loan_id, "--not-there", "--yes", *SIGNED)
    assert (done.code, f"Kiva lists {loan_id}" in done.words) == (7, True)


def test_where_kiva_can_not_be_asked_a_person_must_say_to_go_on(kiva, monkeypatch):
    import stamina

    loan_id = lost_draft(kiva.way, arrives=False)
    url = f"http://127.0.0.1:{closed_port()}"
    file = kiva.way.world.settings_with(
        "offline.yaml", api={"base_url": url, "auth_url": f"{url}/oauth/token"}
    )
    stamina.set_testing(True, attempts=1)
    try:
        act = ("resolve", loan_id, "--not-there", "--yes", *SIGNED)
        assert kiva(*act, file=file).code == 4
        assert kiva(*act, "--offline", file=file).code == 0
    finally:
        stamina.set_testing(False)
    assert "Kiva's list was not asked" in kiva("trace", loan_id).words


def test_two_answers_are_no_answer(kiva):
    assert kiva("resolve", "1", "--arrived", "--not-there", *SIGNED).code == 2


def test_what_is_not_in_doubt_is_said_to_be_what_it_is(kiva):
    (first, *_) = send(kiva.way.settings, DRAFTS, RUNNING_MONTH).ids("accepted")
    done = kiva("resolve", first, "--arrived", *SIGNED)
    assert (done.code, "is not in doubt" in done.words, "is accepted" in done.words) == (
        7,
        True,
        True,
    )
    assert kiva("resolve", "nobody", "--arrived", *SIGNED).code == 1


# --- retry, close, extend, pause


def test_a_refusal_is_listed_with_its_command_and_goes_once_more(kiva):
    kiva.way.on_post = lambda _asked: refusal()
    (loan_id,) = send(kiva.way.settings, DRAFTS, RUNNING_MONTH, limit=1).ids("rejected")
    kiva.way.on_post = lambda _asked: None
    (line,) = [x for x in kiva("worklist", "--json").told["worklist"] if x["id"] == loan_id]
    assert line["command"].startswith(f"kiva-pipeline retry {loan_id} --stream drafts")
    assert kiva("retry", loan_id, *SIGNED).code == 0
    assert kiva("retry", loan_id, *SIGNED).code == 7
    send(kiva.way.settings, DRAFTS, RUNNING_MONTH)
    assert len(drafts_of(kiva.way, loan_id)) == 1
    # The refusal of before is nothing to do any more.
    states = {x["state"] for x in kiva("worklist", "--json").told["worklist"] if x["id"] == loan_id}
    assert states == {"accepted"}
    assert (
        "retry asked: rejected → rejected (looked in PA2; by Ada)" in kiva("trace", loan_id).words
    )


def test_a_closed_report_takes_nothing_more_and_its_loans_tell_who_closed_it(kiva):
    sent = send(kiva.way.settings, REPAYMENTS, OPEN_MONTH, limit=3)
    closed = kiva("close", OPEN_MONTH, *SIGNED, "--json")
    assert closed.code == 0
    left = {row["id"] for row in closed.told["without_figure"]}
    assert set(sent.ids("deferred")) <= left
    assert not left & set(sent.ids("accepted"))
    before = len(kiva.way.posts)
    again = send(kiva.way.settings, REPAYMENTS, OPEN_MONTH)
    assert len(kiva.way.posts) == before
    assert set(sent.ids("deferred")) <= set(again.ids("carried_forward"))
    assert "closed 2026-09 (looked in PA2; by Ada)" in kiva("trace", sent.ids("accepted")[0]).words
    assert "closed 2026-09 by Ada" in kiva("status").words
    assert kiva("close", OPEN_MONTH, *SIGNED).code == 7
    assert kiva("close", OPEN_MONTH, "--undo", *SIGNED).code == 0
    assert "Open for repayments: 2026-09" in kiva("status").words


def test_an_extended_report_is_open_until_that_day(kiva):
    send(kiva.way.settings, REPAYMENTS, OPEN_MONTH, limit=0)
    assert kiva("extend", OPEN_MONTH, "--until", "2026-10-20", *SIGNED).code == 0
    assert kiva("status", "--json").told["open_report_until"] == "2026-10-20"
    later = kiva.way.world.settings_with("later.yaml", calendar={"practice_today": "2026-10-19"})
    assert kiva("status", "--json", file=later).told["open_report"] == "2026-09"
    assert kiva("extend", OPEN_MONTH, "--until", "soon", *SIGNED).code == 2
    assert kiva("extend", OPEN_MONTH, "--until", "2026-10-01", *SIGNED).code == 7


def test_a_pause_in_the_middle_of_a_run_ends_it_before_its_next_request(tmp_path_factory):
    with (
        demo_world(tmp_path_factory, loans=150) as world,
        between(world, api={"max_in_flight": 1}) as way,
    ):
        kiva = Terminal(way)

        def pause_now(_asked):
            program = [sys.executable, "-c", "from kiva_pipeline.cli.main import main; main()"]
            if len(way.posts) == 1:  # in a process of its own, as at another terminal
                act = [*program, "pause", *SIGNED, "--settings", str(way.settings_file)]
                assert subprocess.run(act, capture_output=True, check=False).returncode == 0

        way.on_post = pause_now
        run = kiva("run", RUNNING_MONTH, "--stream", "drafts", "--json")
        assert run.code == 7
        assert len(way.posts) == 1
        assert "paused by Ada: looked in PA2" in run.told["runs"][0]["failures"][0]["message"]
        assert kiva("run", RUNNING_MONTH, "--stream", "drafts", "--json").code == 7
        assert kiva("resume", *SIGNED).code == 0
        assert kiva("run", RUNNING_MONTH, "--stream", "drafts", "--json").code == 10
        facts = world.facts()
        assert len(way.posts) == facts["posts"] > 1


# --- held and approve


@pytest.fixture
def fallen(kiva):
    """A world in which the figure of one loan fell since it was sent; the loan's id."""
    (loan_id, *_) = send(kiva.way.settings, REPAYMENTS, OPEN_MONTH, limit=1).ids("accepted")
    with sqlite3.connect(kiva.way.world.mis) as mis:
        mis.execute(
            "UPDATE transactions SET principal_minor = principal_minor - 1 WHERE id ="
            " (SELECT max(t.id) FROM transactions t JOIN loans l ON l.id = t.loan_pk"
            "  WHERE l.loan_id = ? AND t.principal_minor > 1 AND NOT t.is_reversed"
            "  AND t.type LIKE '%epayment%' AND t.transaction_date <= '2026-09-30')",
            (loan_id,),
        )
        assert mis.total_changes == 1
    held = send(kiva.way.settings, REPAYMENTS, OPEN_MONTH)
    assert held.reason(loan_id) == "lower_than_sent"
    return loan_id


def test_a_lower_figure_goes_once_a_named_person_approved_this_very_figure(kiva, fallen):
    shown = kiva("held", OPEN_MONTH, "--json")
    assert shown.code == 10
    (line,) = [row for row in shown.told["rows"] if row["id"] == fallen]
    assert line["guard"] == "lower_than_sent"
    assert line["goes_if_approved"]
    assert line["kiva_has"].endswith("(2026-09)")
    assert line["figure"] != line["kiva_has"].removesuffix(" (2026-09)")
    assert kiva("approve", fallen, "--month", OPEN_MONTH, *SIGNED).code == 0
    assert kiva("approve", fallen, "--month", OPEN_MONTH, *SIGNED).code == 7
    before = len(kiva.way.posts)
    sent = send(kiva.way.settings, REPAYMENTS, OPEN_MONTH)
    assert fallen in sent.ids("accepted")
    assert len(kiva.way.posts) == before + 1
    assert "approved: held → held (looked in PA2; by Ada)" in kiva("trace", fallen).words


def test_another_table_than_the_one_shown_is_not_approved(kiva, fallen):
    digest = kiva("held", OPEN_MONTH, "--json").told["table"]
    with sqlite3.connect(kiva.way.world.mis) as mis:
        mis.execute(
            "UPDATE transactions SET principal_minor = principal_minor - 1 WHERE id ="
            " (SELECT max(t.id) FROM transactions t JOIN loans l ON l.id = t.loan_pk"
            "  WHERE l.loan_id = ? AND t.principal_minor > 1 AND NOT t.is_reversed"
            "  AND t.type LIKE '%epayment%' AND t.transaction_date <= '2026-09-30')",
            (fallen,),
        )
    send(kiva.way.settings, REPAYMENTS, OPEN_MONTH)
    other = kiva("approve", "--month", OPEN_MONTH, "--table", digest[:12], *SIGNED)
    assert (other.code, "not the one that was shown" in other.words) == (7, True)
    now = kiva("held", OPEN_MONTH, "--json").told["table"]
    assert kiva("approve", "--month", OPEN_MONTH, "--table", now[:12], *SIGNED).code == 0
    assert fallen in send(kiva.way.settings, REPAYMENTS, OPEN_MONTH).ids("accepted")
    assert kiva("approve", "--month", OPEN_MONTH, "--table", now, *SIGNED).code == 7


def test_what_no_approval_may_lift_is_refused_with_the_reason(kiva):
    held = send(kiva.way.settings, REPAYMENTS, OPEN_MONTH)
    (loan_id,) = held.rows.index[held.rows["reason_code"] == "other_currency"]
    done = kiva("approve", loan_id, "--month", OPEN_MONTH, *SIGNED)
    assert (done.code, "another currency than Kiva" in done.words) == (7, True)
    assert kiva("approve", "nobody", "--month", OPEN_MONTH, *SIGNED).code == 1
    assert kiva("approve", "--month", OPEN_MONTH, *SIGNED).code == 2
    assert kiva("approve", "--month", OPEN_MONTH, "--table", "abc", *SIGNED).code == 2


# --- limits and digest, through Dagster


def test_a_run_within_limits_is_green_and_says_what_waits(kiva):
    file = kiva.way.world.settings_with("limits.yaml", limits={"rows_per_run": {"loan_drafts": 1}})
    planned = kiva("plan", RUNNING_MONTH, "--stream", "drafts", file=file)
    assert "limits.rows_per_run" in planned.words
    run = kiva("run", RUNNING_MONTH, file=file)
    assert run.code == 10  # for the blocked rows of the demo, and not for the limit
    assert "1 row wait" in run.words
    assert kiva.way.world.posts() >= 1
    with sqlite3.connect(kiva.way.world.sandbox) as sandbox:
        assert sandbox.execute("SELECT count(*) FROM draft").fetchone() == (1,)


def in_mis(way: Between, change: str) -> None:
    """A correction in the MIS."""
    with sqlite3.connect(way.world.mis) as mis:
        assert mis.execute(change).rowcount


def test_a_run_by_digest_sends_what_was_planned_and_nothing_else(kiva):
    plan = kiva("plan", RUNNING_MONTH, "--stream", "drafts", "--json").told
    digest = plan["digest"]
    in_mis(kiva.way, "UPDATE loans SET loan_use = loan_use || ' And more.'")
    run = ("run", RUNNING_MONTH, "--stream", "drafts", "--digest")
    moved = kiva(*run, digest)
    assert moved.code == 7
    assert "moved since" in moved.words
    assert kiva.way.posts == []
    assert kiva("run", RUNNING_MONTH, "--digest", digest).code == 2  # another set of streams
    assert kiva(*run, "nonsense").code == 2
    new = kiva("plan", RUNNING_MONTH, "--stream", "drafts", "--json").told["digest"]
    assert kiva(*run, new[:12]).code == 10
    assert len(kiva.way.posts) > 0
    assert kiva(*run, new[:12]).code == 7  # what was planned is done


def test_a_moved_plan_says_what_moved_in_counts(kiva):
    digest = kiva("plan", RUNNING_MONTH, "--json").told["digest"]
    in_mis(kiva.way, "UPDATE loans SET waiver_signed_on = NULL")
    moved = kiva("run", RUNNING_MONTH, "--digest", digest)
    assert moved.code == 7
    assert "loan drafts: blocked" in moved.words
    assert "→" in moved.words


# --- without what takes long to load


@pytest.mark.parametrize(
    "act",
    [
        ("pause", *SIGNED), ("resume", *SIGNED), ("close", "2026-09", *SIGNED), ("doubts",),
        ("extend", "2026-09", "--until", "2026-10-20", *SIGNED), ("status",), ("retry", "1", *SIGNED),
        ("resolve", "1", "--arrived", *SIGNED), ("trace", "1"),
    ],
    ids=lambda act: act[0],
)  # fmt: skip
def test_what_only_touches_the_ledger_loads_neither_dagster_nor_pandas(shared_way, act):
    code = (
        "import sys\nfrom kiva_pipeline.cli.main import command_line\n"
        "command_line(sys.argv[1:])\n"
        "print([m for m in ('dagster', 'pandas', 'httpx') if m in sys.modules], file=sys.stderr)"
    )
    settings = ("--settings", str(shared_way.settings_file))
    done = subprocess.run(
        [sys.executable, "-c", code, *act, *settings], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.fixture(scope="module")
def shared_way(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=60) as world, between(world) as way:
        yield way


def test_every_act_explains_itself_with_an_example(kiva):
    for act in ("resolve", "held", "approve", "retry", "close", "extend", "pause", "resume"):
        done = Terminal.__call__(kiva, act, "--help")
        assert done.code == 0
        assert f"\n  kiva-pipeline {act} " in done.out


def test_the_page_for_whom_something_waits_names_commands_and_jobs_that_there_are():
    import re
    from pathlib import Path

    from kiva_pipeline.automation.acts import act_jobs
    from kiva_pipeline.cli.main import app

    page = (Path(__file__).parents[2] / "docs" / "operate.md").read_text(encoding="utf-8")
    commands = {command.callback.__name__ for command in app.registered_commands}
    named = set(re.findall(r"kiva-pipeline ([a-z]+)", page))
    assert {"resolve", "held", "approve", "retry", "close", "extend", "pause", "resume"} <= named
    assert named <= commands
    jobs = set(re.findall(r"`(act_[a-z_]+)`", page))
    assert jobs == {job.name for job in act_jobs()}
