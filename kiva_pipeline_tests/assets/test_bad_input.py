"""Dirt, wrong keys and closed doors: the good rows go, the others have reasons, nothing is halved."""

import json
import os
import sqlite3
from contextlib import closing, contextmanager
from datetime import timedelta

import dagster as dg
import stamina

from kiva_pipeline.assets import checks
from kiva_pipeline.assets import mis as mis_module
from kiva_pipeline.assets.resources import LedgerResource, PartnerResource
from kiva_pipeline.submission.lock import sender_lock
from kiva_pipeline_tests.partner_api.servers import closed_port
from kiva_pipeline_tests.pipelines import SUBMISSIONS, Pipeline, frame_of
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH

OPEN, RUNNING = str(OPEN_MONTH), str(RUNNING_MONTH)
DRAFTS = "loan_drafts_of_a_month"


@contextmanager
def spoiling(file):
    with closing(sqlite3.connect(file)) as connection, connection:
        yield connection


def attempts(world):
    with closing(sqlite3.connect(world.folder / "ledger.sqlite")) as ledger:
        (made,) = ledger.execute("SELECT count(*) FROM attempt").fetchone()
        return made


def test_when_every_row_is_bad_nothing_is_sent_and_each_row_says_why(world, pipeline):
    with spoiling(world.mis) as mis:
        mis.execute("UPDATE loans SET waiver_signed_on = NULL")
        mis.execute("UPDATE notes SET body = NULL")
        mis.execute("UPDATE loans SET loan_id = 'lost-' || loan_id, group_id = NULL")
    for month in (OPEN, RUNNING):
        run = pipeline.run(month)
        assert run.result.success
        for asset in SUBMISSIONS:
            rows = run.frame(asset)
            assert set(rows["decision"]) <= {"blocked", "missing", "held"}, asset
            for reasons in rows["reasons"]:
                assert [reason["sentence"] for reason in json.loads(reasons)]
        assert all(
            check.passed
            for (_, name), check in run.checks.items()
            if name in {checks.EVERY_ROW_DECIDED, checks.EVERY_EXPECTED, checks.ROWS_MATCH_SOURCE}
        )
    report = frame_of(pipeline.settings, "repayment_submissions", OPEN).read()
    assert len(report) > 20
    assert set(report["decision"]) == {"missing"}
    assert report["amount"].isna().all()
    assert world.posts() == 0


def test_when_a_fifth_is_dirty_the_other_four_fifths_go(world, pipeline):
    planned = pipeline.run(RUNNING, DRAFTS, dry_run=True).frame("loan_draft_submissions")
    good = planned[planned["decision"] == "planned"]
    dirty = good[good["mis_rows"] == 1]["business_id"].iloc[: len(good) // 5]
    with spoiling(world.mis) as mis:
        mis.executemany(
            "UPDATE loans SET principal = 'to be agreed' WHERE loan_id = ?", [(i,) for i in dirty]
        )
    run = pipeline.run(RUNNING, DRAFTS)
    rows = run.frame("loan_draft_submissions").set_index("business_id")
    assert len(dirty) >= 3
    assert set(rows.index[rows["decision"] == "accepted"]) == set(good["business_id"]) - set(dirty)
    assert world.posts() == len(good) - len(dirty)
    for reasons in rows.loc[list(dirty), "reasons"]:
        assert "principal_unreadable" in {reason["code"] for reason in json.loads(reasons)}


def test_a_scope_that_was_not_granted_stops_the_submission_and_names_it(world, pipeline):
    with spoiling(world.sandbox) as sandbox:
        sandbox.execute("UPDATE client SET scopes = 'read:loans create:repayment'")
    run = pipeline.run(RUNNING, DRAFTS)
    assert not run.result.success
    (words,) = run.failures.values()
    assert "lack the scope create:loan_draft" in words
    assert "Ask your Kiva contact" in words
    assert world.posts() == attempts(world) == 0


def test_a_wrong_partner_stops_before_anything_is_read_for_it(world, instance):
    pipeline = Pipeline(world, instance, world.settings_with(partner={"id": "999"}))
    run = pipeline.run(OPEN)
    assert not run.result.success
    told = " ".join(run.failures.values())
    assert "999" in told
    assert "145" in told
    assert not {*SUBMISSIONS} & run.materialized
    assert world.posts() == 0


def test_wrong_credentials_stop_and_are_not_repeated(world, pipeline):
    with spoiling(world.sandbox) as sandbox:
        sandbox.execute("UPDATE client SET secret_hash = 'another'")
    run = pipeline.run(OPEN)
    assert not run.result.success
    assert {"kiva_lists", "kiva_loans"} <= set(run.failures)
    assert all("KIVA_CLIENT" in words for words in run.failures.values())
    assert world.posts() == 0


def test_an_api_that_is_not_there_is_said_with_its_address_and_nothing_is_written(world, instance):
    url = f"http://127.0.0.1:{closed_port()}"
    gone = world.settings_with(api={"base_url": url, "auth_url": f"{url}/oauth/token"})
    with stamina.set_testing(True, attempts=2):
        run = Pipeline(world, instance, gone).run(OPEN)
    assert not run.result.success
    assert url.removeprefix("http://") in run.failures["kiva_loans"]
    assert run.materialized == {"mis_loans", "mis_instalments", "mis_notes"}


def test_an_api_that_goes_away_before_sending_leaves_no_intent_behind(world, pipeline, instance):
    pipeline.run(OPEN, dry_run=True)
    url = f"http://127.0.0.1:{closed_port()}"
    gone = world.settings_with(api={"base_url": url, "auth_url": f"{url}/oauth/token"})
    with stamina.set_testing(True, attempts=2):
        run = Pipeline(world, instance, gone).run_only(OPEN, "repayment_submissions")
    assert list(run.failures) == ["repayment_submissions"]
    assert attempts(world) == world.posts() == 0
    # The same step, once Kiva is back.
    assert pipeline.run_only(OPEN, "repayment_submissions").result.success
    assert world.posts() > 0


def test_an_mis_that_is_not_there_is_tried_again_then_said_with_its_path(
    world, instance, monkeypatch
):
    monkeypatch.setattr(mis_module, "EXTRACTION_RETRY", dg.RetryPolicy(max_retries=2, delay=0))
    pipeline = Pipeline(world, instance, world.settings_with(source={"path": "gone.sqlite"}))
    run = pipeline.run(OPEN)
    assert not run.result.success
    assert "gone.sqlite" in run.failures["mis_loans"]
    restarts = [e for e in run.result.all_events if e.event_type_value == "STEP_RESTARTED"]
    assert [e.step_key for e in restarts].count("mis_loans") == 2
    assert world.posts() == 0


def test_an_mis_without_a_column_is_said_at_once_with_its_name(world, pipeline):
    with spoiling(world.mis) as mis:
        mis.execute("ALTER TABLE notes RENAME COLUMN body TO text")
    run = pipeline.run(OPEN, "journals_of_a_month")
    assert list(run.failures) == ["mis_notes"]
    assert "has no column notes.body" in run.failures["mis_notes"]
    assert not [e for e in run.result.all_events if e.event_type_value == "STEP_RESTARTED"]


def test_a_dry_run_sends_nothing_and_tells_what_would_go(world, pipeline):
    run = pipeline.run(RUNNING, dry_run=True)
    assert run.result.success
    assert world.posts() == attempts(world) == 0
    numbers = run.numbers("loan_draft_submissions")
    assert numbers["rows planned"] > 5
    assert numbers["dry run"] is True
    assert "Nothing was sent" in numbers["what happened"]
    left = run.checks["reconciliation", checks.NOTHING_LEFT]
    assert not left.passed
    assert left.severity is dg.AssetCheckSeverity.WARN


def test_a_limit_sends_so_many_and_the_next_run_the_rest(world, pipeline):
    one = pipeline.run(RUNNING, DRAFTS, limit=1)
    assert world.posts() == 1
    numbers = one.numbers("loan_draft_submissions")
    assert (numbers["rows accepted"], numbers["requests"]) == (1, 1)
    deferred = numbers["rows deferred"]
    assert deferred > 5
    rest = pipeline.run(RUNNING, DRAFTS).numbers("loan_draft_submissions")
    assert world.posts() == 1 + deferred
    assert (rest["rows accepted"], rest["rows unchanged"], rest["rows deferred"]) == (
        deferred,
        1,
        0,
    )


def test_a_negative_limit_is_refused_before_the_step_does_anything(world, pipeline):
    run = pipeline.run(RUNNING, DRAFTS, limit=-1)
    assert not run.result.success
    assert world.posts() == 0


def test_a_submission_that_is_re_run_alone_a_day_later_sends_nothing_stale(world, pipeline):
    pipeline.run(OPEN, dry_run=True)
    file = frame_of(pipeline.settings, "repayment_report", OPEN).path
    a_day_ago = file.stat().st_mtime - timedelta(days=1).total_seconds()
    os.utime(file, (a_day_ago, a_day_ago))
    run = pipeline.run_only(OPEN, "repayment_submissions")
    assert "read from the MIS on" in run.failures["repayment_submissions"]
    assert "Run the whole job" in run.failures["repayment_submissions"]
    assert world.posts() == 0


def test_a_run_beside_another_sender_ends_as_skipped_and_sends_nothing(world, instance):
    hurried = world.settings_with(state={"wait_for_lock_seconds": 0})
    pipeline = Pipeline(world, instance, hurried)
    with (
        LedgerResource(partner=PartnerResource(settings_file=str(hurried))).open() as ledger,
        sender_lock(ledger, run_id="another-run", wait_seconds=0),
    ):
        run = pipeline.run(RUNNING, DRAFTS)
    assert run.result.success
    numbers = run.numbers("loan_draft_submissions")
    assert next(iter(numbers)) == "skipped"
    assert "another-run" in numbers["skipped"]
    assert "Nothing was sent" in numbers["what happened"]
    assert world.posts() == attempts(world) == 0
