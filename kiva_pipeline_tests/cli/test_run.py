"""``run``: it sends once, says so exactly, and ends with a code that a script can use."""

import signal

import pytest

from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.lock import sender_lock
from kiva_pipeline_tests.between import between
from kiva_pipeline_tests.cli.conftest import MONTHS
from kiva_pipeline_tests.cli.terminal import kiva, start, with_mis
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, demo_world


def rows(run, *decisions):
    return sum(line["rows"] for line in run["decisions"] if line["decision"] in decisions)


def test_the_first_run_sends_and_says_exactly_what(ran):
    assert ran.first.code == 10
    told = ran.first.told
    assert [run["month"] for run in told["runs"]] == list(MONTHS)
    assert sum(run["requests"] for run in told["runs"]) == ran.posts > 0
    facts = ran.world.facts()
    drafts = [line["rows"] for run in told["runs"] for line in run["decisions"]
              if (line["stream"], line["decision"]) == ("loan drafts", "accepted")]  # fmt: skip
    assert sum(drafts) == facts["drafts"] > 0
    assert facts["duplicate_effects"] == []
    for run in told["runs"]:
        assert run["failures"] == run["failed_checks"] == []
        assert run["skipped"] == ""
        assert run["run_id"]
        left = {(line["stream"], line["id"]) for line in run["unsent"]}
        assert len(left) == rows(run, *({ln["decision"] for ln in run["decisions"]}
                                        - {"accepted", "unchanged", "planned"}))  # fmt: skip
        assert all(line["sentence"] for line in run["unsent"])


def test_a_second_run_makes_no_request(ran):
    assert ran.second.code == 10
    assert [run["requests"] for run in ran.second.told["runs"]] == [0, 0]
    assert ran.posts_after == ran.posts
    for first, second in zip(ran.first.told["runs"], ran.second.told["runs"], strict=True):
        assert rows(second, "accepted", "planned") == 0
        assert rows(second, "unchanged") >= rows(first, "accepted")


def test_progress_is_told_beside_the_answer_and_nothing_else_is(ran):
    assert ran.first.out.startswith("{")
    lines = ran.first.err.splitlines()
    assert [line for line in lines if not line.startswith("  ")] == list(MONTHS)
    assert "  repayment submissions" in lines


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A partner for runs of one stream; in the order of this file each finds what was left."""
    with demo_world(tmp_path_factory, loans=60) as made:
        yield made


def test_a_dry_run_sends_nothing_and_says_so(small):
    done = kiva("run", OPEN_MONTH, "--stream", "repayments", "--dry-run", "--settings",
                small.settings_file)  # fmt: skip
    assert done.code == 10
    assert f"{OPEN_MONTH} (dry run: nothing sent)" in done.out
    assert "repayments planned" in done.words
    assert "0 requests." in done.words
    assert small.posts() == 0


def test_a_limited_run_sends_so_many_rows_and_the_next_one_the_rest(small):
    asked = ("run", OPEN_MONTH, "--stream", "repayments", "--settings", small.settings_file)
    limited = kiva(*asked, "--limit", "1", "--json")
    (run,) = limited.told["runs"]
    assert (run["requests"], rows(run, "accepted")) == (1, 1)
    waiting = rows(run, "deferred")
    assert waiting > 0
    assert run["failed_checks"] == []
    assert limited.code == 10
    # What only waits for the next run is told after all that waits for a person.
    assert [line["decision"] for line in run["unsent"]][-waiting:] == ["deferred"] * waiting
    people = kiva(*asked)
    assert "1 request. " in people.words
    assert "Run " in people.out
    assert small.posts() == 2


def test_when_another_sender_is_at_work_nothing_is_sent_and_it_is_named(small):
    patient = small.settings_with("hasty.yaml", state={"wait_for_lock_seconds": 0})
    ledger = Ledger.open(small.settings.ledger_url, environment="sandbox", partner_id="145")
    before = small.posts()
    with sender_lock(ledger, run_id="the-nightly-run", wait_seconds=0):
        done = kiva("run", RUNNING_MONTH, "--json", "--settings", patient)
    ledger.close()
    assert done.code == 6
    (run,) = done.told["runs"]
    assert "Another sender is at work for this partner: run the-nightly-run" in run["skipped"]
    assert run["skipped"].count("Another sender") == 1
    assert (run["requests"], run["failures"], run["failed_checks"]) == (0, [], [])
    assert small.posts() == before


def test_ctrl_c_stops_a_run_with_its_own_code(small):
    stopped = start("run", RUNNING_MONTH, "--stream", "journals", "--settings", small.settings_file)
    for line in stopped.stderr:
        if "kiva loans" in line:
            stopped.send_signal(signal.SIGINT)
            break
    out, err = stopped.communicate()
    assert stopped.returncode == 130, (out, err)
    assert "Stopped. What was sent is in the ledger; run it again to go on." in err
    assert "Traceback" not in out + err


def test_an_empty_month_is_no_failure_also_after_a_run_that_was_stopped(small):
    untagged = with_mis(small, "UPDATE loans SET funding_source = 'OWN'")
    done = kiva("run", "2027-01", "--stream", "drafts", "--settings", untagged)
    assert done.code == 0
    assert "There is nothing in this month." in done.out
    assert "0 requests. 0 rows wait for a person." in done.words


def test_an_answer_that_was_lost_is_told_by_every_command_that_looks(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=60) as world, between(world) as way:
        way.lose_answers = True
        lost = kiva("run", OPEN_MONTH, "--stream", "repayments", "--limit", "1", "--settings",
                    way.settings_file)  # fmt: skip
        assert lost.code == 10
        way.lose_answers = False
        look = ("--settings", way.settings_file)
        doubts = kiva("doubts", *look, "--json")
        (doubt,) = doubts.told["doubts"]
        assert doubts.code == 10
        assert (doubt["stream"], doubt["month"]) == ("repayments", str(OPEN_MONTH))
        assert doubt["id"] in doubt["look_for"]
        people = kiva("doubts", *look)
        assert people.code == 10
        assert "1 row in doubt. None is sent again by itself." in people.words
        assert doubt["look_for"] in people.words
        assert doubt["request_id"] in people.out
        assert kiva("doubts", str(RUNNING_MONTH), *look).code == 0
        status = kiva("status", *look)
        assert (status.code, kiva("status", *look, "--json").told["doubts"]) == (0, 1)
        assert "In doubt: 1" in status.out
        trace = kiva("trace", doubt["id"], *look)
        assert "in flight → uncertain" in trace.words
        assert doubt["request_id"] in trace.out
        worklist = kiva("worklist", *look, "--json").told["worklist"]
        assert (worklist[0]["state"], worklist[0]["id"]) == ("uncertain", doubt["id"])
        # And it is not sent again.
        again = kiva("run", OPEN_MONTH, "--stream", "repayments", *look, "--json")
        assert again.code == 10
        sent = [line for line in world.facts()["requests"] if "POST repayments" in line]
        assert sent
        assert doubt["id"] in {
            line["id"] for run in again.told["runs"] for line in run["unsent"]
            if line["decision"] == "uncertain"
        }  # fmt: skip
