"""Acts of a person through Dagster's own jobs, as the launch pad runs them."""

import sqlite3
import warnings
from typing import Any

import dagster as dg
import pytest

from kiva_pipeline.automation.acts import act_jobs
from kiva_pipeline.definitions import build_definitions
from kiva_pipeline.submission.resolve import doubts
from kiva_pipeline_tests.between import Between, between, refusal
from kiva_pipeline_tests.submission.sending import (
    DRAFTS,
    REPAYMENTS,
    open_ledger,
    send,
    story,
)
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, demo_world

SIGNED = {"by": "Ada", "why": "looked in PA2"}


@pytest.fixture
def way(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=60) as world, between(world) as way:
        yield way


@pytest.fixture(scope="module")
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class Launched:
    """A launched job: whether it went well, its answer, or why it was refused."""

    def __init__(self, result: dg.ExecuteInProcessResult) -> None:
        self.success, self.run_id = result.success, result.run_id
        self.answer = "".join(
            str(event.step_output_data.metadata["answer"].value)
            for event in result.all_events
            if event.event_type_value == "STEP_OUTPUT"
        )
        self.refusal = " ".join(
            str(event.step_failure_data.user_failure_data.description)
            for event in result.get_step_failure_events()
        )
        self.log = " ".join(event.message or "" for event in result.all_events)


@pytest.fixture
def launch(way, instance):
    def launch(job: str, **form: Any) -> Launched:
        with warnings.catch_warnings(action="ignore"):
            made = build_definitions(way.settings, way.settings_file).resolve_job_def(job)
            (op,) = made.nodes
            config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
            if form:
                config["ops"] = {op.name: {"config": form}}
            return Launched(
                made.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
            )

    return launch


def lost_draft(way: Between) -> str:
    way.lose_answers = True
    (loan_id,) = send(way.settings, DRAFTS, RUNNING_MONTH, limit=1).ids("uncertain")
    way.lose_answers = False
    return loan_id


def names(way: Between) -> set[str]:
    """Borrowers' names in the MIS, long enough to be told from other words."""
    with sqlite3.connect(way.world.mis) as mis:
        tables = [t for (t,) in mis.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = set()
        for table in tables:
            columns = [row[1] for row in mis.execute(f"PRAGMA table_info({table})")]
            for column in columns:
                if column in {"first_name", "last_name"}:
                    found |= {v for (v,) in mis.execute(f"SELECT {column} FROM {table}") if v}
    return {name for name in found if len(str(name)) > 4}


@pytest.mark.parametrize("job", act_jobs(), ids=lambda job: job.name)
def test_every_act_says_what_it_is_for_and_what_each_field_of_its_form_means(job):
    assert job.name.startswith("act_")
    assert len(job.description or "") > 60
    assert job.tags["kiva_pipeline/act"] in job.name
    (op,) = job.nodes
    form = op.definition.config_schema.as_field().config_type
    fields = getattr(form, "fields", {})
    assert bool(fields) == (job.name != "act_doubts")
    assert all(field.description for field in fields.values())


@pytest.mark.parametrize(
    "job", ["act_resolve", "act_approve", "act_retry", "act_pause", "act_close_report"]
)
def test_an_empty_form_is_refused_in_words(launch, way, job):
    lost_draft(way)
    launched = launch(job)
    assert not launched.success
    assert launched.refusal
    assert "unexpected" not in launched.refusal


def test_a_doubt_is_listed_and_settled(launch, way):
    loan_id = lost_draft(way)
    listed = launch("act_doubts")
    assert loan_id in listed.answer
    assert "look among the loan drafts" in listed.answer
    settled = launch("act_resolve", **SIGNED, target=loan_id, found="arrived")
    assert settled.success, settled.refusal
    (event,) = [e for e in story(way.settings, loan_id)["events"] if e["who"] == "Ada"]
    assert (event["action"], event["why"], event["run_id"]) == (
        "resolved", "looked in PA2", settled.run_id,
    )  # fmt: skip
    assert "No doubts" in launch("act_doubts").answer


def test_a_draft_is_said_to_be_missing_only_on_purpose(launch, way):
    loan_id = lost_draft(way)
    form = SIGNED | {"target": loan_id, "found": "not_there"}
    assert "makes a second one" in launch("act_resolve", **form).refusal
    assert "choose arrived" in launch("act_resolve", **SIGNED, target=loan_id).refusal
    assert launch("act_resolve", **form, draft_is_surely_not_there=True).success
    assert story(way.settings, loan_id)["submissions"][0]["reason_code"] == "resolved_not_there"


def test_a_refusal_is_retried(launch, way):
    way.on_post = lambda _asked: refusal()
    (loan_id,) = send(way.settings, DRAFTS, RUNNING_MONTH, limit=1).ids("rejected")
    way.on_post = lambda _asked: None
    assert launch("act_retry", **SIGNED, targets=[loan_id]).success
    assert send(way.settings, DRAFTS, RUNNING_MONTH).rows.loc[loan_id, "decision"] == "accepted"


def test_sending_is_paused_and_resumed(launch, way):
    send(way.settings, DRAFTS, RUNNING_MONTH, limit=0)
    assert launch("act_pause", **SIGNED).success
    ledger = open_ledger(way.settings)
    assert ledger.card().paused_by == "Ada"
    assert "It was paused by Ada: looked in PA2" in launch("act_resume", **SIGNED).answer
    assert ledger.card().paused_by is None
    ledger.close()


def test_a_report_is_extended_closed_and_opened_again(launch, way):
    send(way.settings, REPAYMENTS, OPEN_MONTH)
    month = str(OPEN_MONTH)
    assert (
        "until the end of 2026-10-20"
        in launch("act_extend_report", **SIGNED, month=month, until="2026-10-20").answer
    )
    closed = launch("act_close_report", **SIGNED, month=month)
    assert "invoices them as scheduled" in closed.answer
    assert (
        "closed since"
        in launch("act_extend_report", **SIGNED, month=month, until="2026-10-21").refusal
    )
    assert launch("act_close_report", **SIGNED, month=month, undo=True).success


def test_what_is_held_is_shown_with_the_digest_by_which_it_is_approved(launch, way):
    send(way.settings, REPAYMENTS, OPEN_MONTH)
    shown = launch("act_held", month=str(OPEN_MONTH))
    digest = shown.answer.split("`")[1]
    other = launch("act_approve", **SIGNED, month=str(OPEN_MONTH), table="0" * 64)
    assert "not the one that was shown" in other.refusal
    approved = launch("act_approve", **SIGNED, month=str(OPEN_MONTH), table=digest)
    assert approved.success, approved.refusal


def test_no_act_tells_a_borrowers_name(launch, way):
    loan_id = lost_draft(way)
    send(way.settings, REPAYMENTS, OPEN_MONTH)
    launched = [
        launch("act_doubts"),
        launch("act_held", month=str(OPEN_MONTH)),
        launch("act_resolve", **SIGNED, target=loan_id, found="arrived"),
        launch("act_close_report", **SIGNED, month=str(OPEN_MONTH)),
    ]
    told = " ".join(one.answer + one.refusal + one.log for one in launched)
    assert names(way)
    assert not [name for name in names(way) if name in told]
    with open_ledger(way.settings).reading() as connection:
        assert doubts(connection) == []
