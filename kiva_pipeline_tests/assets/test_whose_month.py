"""A month's report through Dagster's jobs: held as a whole, kept lists, and what is final."""

import sqlite3
import warnings
from datetime import date

import pytest

from kiva_pipeline import expected as lists
from kiva_pipeline.definitions import build_definitions
from kiva_pipeline.periods import Month
from kiva_pipeline.submission.approve import waiting
from kiva_pipeline_tests.pipelines import Pipeline, Run
from kiva_pipeline_tests.submission.sending import open_ledger
from kiva_pipeline_tests.worlds import OPEN_MONTH, World, demo_world

JOB = "repayments_of_a_month"


@pytest.fixture
def world(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=60) as world:
        yield world


def reasons(run: Run) -> dict[str, int]:
    frame = run.frame("repayment_submissions")
    return frame.groupby("reason_code").size().to_dict()


def decision(run: Run, loan_id: str) -> tuple[str, str]:
    frame = run.frame("repayment_submissions").set_index("business_id")
    return tuple(frame.loc[loan_id, ["decision", "reason_code"]])


def repaid_more(world: World, loan_id: str) -> None:
    """Somebody books another repayment into September."""
    with sqlite3.connect(world.mis) as mis:
        mis.execute(
            "INSERT INTO transactions (loan_pk, type, transaction_date, submitted_on,"
            " principal_minor, interest_minor, is_reversed)"
            " SELECT id, 'repayment', '2026-09-29', '2026-10-10', 1, 0, 0 FROM loans"
            " WHERE loan_id = ?",
            (loan_id,),
        )
        assert mis.total_changes == 1


def individual(run: Run) -> list[str]:
    """Loans whose figures were accepted, that are not a group's and not yet repaid in full."""
    frame = run.frame("repayment_submissions")
    report = run.frame("repayment_report").set_index("business_id")
    left = report["amount"] < report["disbursed"]
    sent = frame.loc[frame["decision"] == "accepted", "business_id"]
    return [i for i in sent if not i.startswith("G-") and left[i]]


def test_a_month_that_looks_wrong_waits_as_a_whole_until_a_person_approved_it(world, instance):
    file = world.settings_with(
        "strict.yaml", repayments={"mass_change": {"share": 0.01, "at_least": 1}}
    )
    pipeline = Pipeline(world, instance, file)
    first = pipeline.run(str(OPEN_MONTH), JOB)
    assert first.result.success
    assert world.posts() == 0
    waits = reasons(first)["month_held"]
    assert waits > 5
    told = first.numbers("repayment_submissions")["what happened"]
    assert "**The month waits for a person** (6 of 16 loans: 2 missing, 2 lower" in told

    ledger = open_ledger(pipeline.settings)
    with ledger.reading() as connection:
        digest = waiting(connection, OPEN_MONTH).digest
    ledger.close()
    with warnings.catch_warnings(action="ignore"):
        job = build_definitions(pipeline.settings, file).resolve_job_def("act_approve")
    (op,) = job.nodes
    form = {"month": str(OPEN_MONTH), "table": digest, "by": "Ada", "why": "looked at each"}
    assert job.execute_in_process(
        instance=instance, run_config={"ops": {op.name: {"config": form}}}
    ).success

    second = pipeline.run(str(OPEN_MONTH), JOB)
    told = second.frame("repayment_submissions").groupby("decision").size().to_dict()
    assert told["accepted"] == waits
    assert set(told) <= {"accepted", "held", "missing", "needs_person", "rejected"}
    posts = world.posts()
    assert posts > 0
    third = pipeline.run(str(OPEN_MONTH), JOB)
    assert reasons(third)["same"] == waits
    assert world.posts() == posts
    assert world.facts()["duplicate_effects"] == []


def test_a_final_month_answers_for_the_list_that_was_kept_and_posts_nothing(world, instance):
    pipeline = Pipeline(world, instance)
    opened = pipeline.run(str(OPEN_MONTH), JOB)
    assert opened.numbers("expected_loans")["frozen"] == lists.KEPT_TODAY
    kept = pipeline.settings.expected_folder / f"{OPEN_MONTH}.parquet"
    before, posts = kept.read_bytes(), world.posts()
    left, stays, *_ = individual(opened)
    for loan_id in (left, stays):
        repaid_more(world, loan_id)
    with sqlite3.connect(world.sandbox) as sandbox:
        sandbox.execute("UPDATE loan SET status = 'ended' WHERE internal_loan_id = ?", (left,))

    file = world.settings_with("later.yaml", calendar={"practice_today": date(2026, 10, 20)})
    later = Pipeline(world, instance, file)
    final = later.run(str(OPEN_MONTH), JOB)
    assert final.result.success
    numbers = final.numbers("expected_loans")
    assert (numbers["frozen"], numbers["not expected any more"]) == (lists.KEPT_BEFORE, 1)
    assert "1 of them Kiva expects no more today" in numbers["what happened"]
    assert decision(final, left) == ("needs_person", "month_closed_not_expected")
    assert decision(final, stays) == ("carried_forward", "month_closed")
    assert all(check.passed for key, check in final.checks.items() if "expected" in key[1])
    assert (kept.read_bytes(), world.posts()) == (before, posts)

    older = later.run(str(OPEN_MONTH.plus(-1)), JOB)
    told = older.numbers("expected_loans")
    assert told["frozen"] == lists.NONE_KEPT
    assert "no list was kept" in told["what happened"]
    assert not (kept.parent / f"{OPEN_MONTH.plus(-1)}.parquet").exists()
    assert world.posts() == posts


def test_the_next_months_figure_makes_up_for_what_came_too_late(world, instance):
    pipeline = Pipeline(world, instance)
    (loan_id, *_) = individual(pipeline.run(str(OPEN_MONTH), JOB))
    repaid_more(world, loan_id)
    posts = world.posts()
    october = Month(2026, 10)
    file = world.settings_with("november.yaml", calendar={"practice_today": date(2026, 11, 6)})
    november = Pipeline(world, instance, file)
    assert decision(november.run(str(OPEN_MONTH), JOB), loan_id) == (
        "carried_forward", "month_closed",
    )  # fmt: skip
    assert world.posts() == posts
    made = november.run(str(october), JOB)
    assert decision(made, loan_id) == ("accepted", "accepted")
    of_september = pipeline.settings.expected_folder / f"{OPEN_MONTH}.parquet"
    assert of_september.stat().st_mtime_ns < (
        of_september.with_name(f"{october}.parquet").stat().st_mtime_ns
    )
