"""A month through the real assets to a real sandbox: decided whole, kept privately, sent once."""

import json
import sqlite3
from dataclasses import dataclass

import dagster as dg
import pytest

from kiva_pipeline.assets import checks
from kiva_pipeline.mis.open import open_source
from kiva_pipeline.partner_api.records import EXPECTED_STATUSES
from kiva_pipeline.periods import Month
from kiva_pipeline_tests.pipelines import SUBMISSIONS, Pipeline, Run, frame_of
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, World, demo_world

MONTHS = (str(OPEN_MONTH), str(RUNNING_MONTH))
EMPTY_MONTH = "2027-01"


@dataclass(frozen=True)
class Told:
    """Both months once, both again, and a month with nothing in it."""

    world: World
    instance: dg.DagsterInstance
    first: dict[str, Run]
    again: dict[str, Run]
    empty: Run
    posts: tuple[int, int]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    with (
        demo_world(tmp_path_factory, loans=300) as world,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        with sqlite3.connect(world.mis) as mis:
            mis.execute(
                "DELETE FROM loans WHERE coalesce(disbursed_on, expected_disbursal_on) LIKE ?",
                [f"{EMPTY_MONTH}-%"],
            )
        pipeline = Pipeline(world, instance)
        first = {month: pipeline.run(month) for month in MONTHS}
        sent = world.posts()
        again = {month: pipeline.run(month) for month in MONTHS}
        empty = pipeline.run(EMPTY_MONTH)
        yield Told(world, instance, first, again, empty, (sent, world.posts()))


def test_the_month_goes_through_all_assets(told):
    for run in told.first.values():
        assert run.result.success
        assert len(run.materialized) == 15


def test_a_second_run_posts_nothing_by_the_sandboxs_own_count(told):
    sent, after = told.posts
    assert sent > 50
    assert after == sent
    assert told.world.facts()["duplicate_effects"] == []
    for run in told.again.values():
        assert {run.numbers(asset)["requests"] for asset in SUBMISSIONS} == {0}


def test_what_was_accepted_first_is_unchanged_in_the_second_run(told):
    for month in MONTHS:
        for asset in SUBMISSIONS:
            accepted = told.first[month].numbers(asset)["rows accepted"]
            assert told.again[month].numbers(asset)["rows unchanged"] == accepted


@pytest.mark.parametrize("month", MONTHS)
def test_all_decisions_together_are_what_the_mis_itself_counts(told, month):
    with open_source(told.world.settings) as source:
        counts = source.counts(Month.parse(month))
    run = told.again[month]
    drafts, notes = run.frame("loan_draft_submissions"), run.frame("journal_submissions")
    assert counts.loans > 0
    assert int(drafts["mis_rows"].sum()) == counts.loans
    assert int(notes["mis_rows"].sum()) == counts.notes
    for frame in (drafts, notes):
        assert (frame["decision"] != "").all()
        assert (frame["reason_code"] != "").all()
        assert frame["business_id"].is_unique


def test_every_loan_that_kiva_expects_has_a_row_and_a_reason(told):
    run = told.again[str(OPEN_MONTH)]
    kiva = frame_of(told.world.settings, "kiva_loans").read()
    expected = set(kiva.loc[kiva["status"].isin(EXPECTED_STATUSES), "internal_loan_id"])
    rows = run.frame("repayment_submissions")
    assert expected
    assert set(rows["business_id"]) == expected
    assert (rows["decision"] == "missing").any()
    assert rows.loc[rows["decision"] == "missing", "amount"].isna().all()


def test_a_blocked_row_has_a_field_and_a_sentence_that_says_what_to_do(told):
    rows = told.again[str(RUNNING_MONTH)].frame("loan_draft_submissions")
    blocked = rows[rows["decision"] == "blocked"]
    assert len(blocked) > 10
    for reasons in blocked["reasons"]:
        for reason in json.loads(reasons):
            assert reason["field"]
            assert len(reason["sentence"]) > 20


def test_a_month_that_is_not_over_has_an_empty_report(told):
    run = told.first[str(RUNNING_MONTH)]
    assert len(run.frame("repayment_submissions")) == 0
    assert (
        run.numbers("repayment_submissions")["what happened"] == "There is nothing in this month."
    )


def test_a_month_with_no_rows_still_materializes_everything(told):
    assert told.empty.result.success
    assert len(told.empty.materialized) == 15
    for asset in SUBMISSIONS:
        assert told.empty.numbers(asset)["dagster/row_count"] == 0
    assert all(check.passed for check in told.empty.checks.values())


def test_each_check_result_is_stored_on_its_own_month(told):
    storage = told.instance.event_log_storage
    key = dg.AssetCheckKey(dg.AssetKey("loan_draft_submissions"), checks.EVERY_ROW_DECIDED)
    records = storage.get_asset_check_execution_history(key, limit=20)
    stored = [
        (record.run_id, record.event.dagster_event.asset_check_evaluation_data.partition)
        for record in records
    ]
    runs = [*told.first.values(), *told.again.values(), told.empty]
    assert sorted(stored) == sorted((run.result.run_id, run.month) for run in runs)


def test_rows_lost_or_doubled_would_be_an_error_and_dirt_is_a_warning(told):
    results = told.first[str(RUNNING_MONTH)].checks
    assert len(results) == 20
    failed = {name: result.severity for name, result in results.items() if not result.passed}
    assert failed == {
        ("mis_loans", checks.RECORDS_READABLE): dg.AssetCheckSeverity.WARN,
        ("mis_instalments", checks.RECORDS_READABLE): dg.AssetCheckSeverity.WARN,
        ("loan_drafts", checks.RULES_KEPT): dg.AssetCheckSeverity.WARN,
    }
    counted = results["mis_loans", checks.ROWS_MATCH_SOURCE]
    assert counted.severity is dg.AssetCheckSeverity.ERROR
    with open_source(told.world.settings) as source:
        assert counted.metadata["expected"].value == source.counts(RUNNING_MONTH).loans


def test_a_broken_rule_is_counted_by_its_name_and_kept_rules_are_not_listed(told):
    broken = told.first[str(RUNNING_MONTH)].checks["loan_drafts", checks.RULES_KEPT]
    counts = {name: value.value for name, value in broken.metadata.items()}
    assert counts.pop("rules broken") == len(counts) > 10
    assert counts["no_waiver"] >= 1
    assert 0 not in counts.values()
    assert "more rules" in broken.description


def test_a_submission_tells_the_same_numbers_in_every_run_so_that_they_plot(told):
    runs = [*told.first.values(), *told.again.values(), told.empty]
    plotted = [
        tuple(name for name, value in run.numbers(asset).items() if isinstance(value, int))
        for run in runs
        for asset in SUBMISSIONS
    ]
    assert len(set(plotted)) == 1
    assert {"dagster/row_count", "requests", "doubts", "rows accepted", "rows held"} <= set(
        plotted[0]
    )


def test_a_person_reads_first_what_happened_then_where_to_publish_then_numbers(told):
    numbers = told.first[str(OPEN_MONTH)].numbers("journal_submissions")
    assert list(numbers)[:4] == ["what happened", "publish in PA2", "dagster/row_count", "requests"]
    assert f"- **accepted** {numbers['rows accepted']}" in numbers["what happened"]
    assert "- **blocked**" in numbers["what happened"]
    assert f"({told.world.url}/pa2/journals/" in numbers["publish in PA2"]


def test_the_money_of_a_decision_is_exact_grouped_and_one_sum_a_currency(told):
    run = told.again[str(OPEN_MONTH)]
    rows = run.frame("repayment_submissions")
    sent_before = rows[(rows["decision"] == "unchanged") & (rows["currency"] == "KES")]
    major, cents = divmod(int(sent_before["amount"].sum()), 100)
    money = run.numbers("repayment_submissions")["money unchanged"]
    assert money == told.first[run.month].numbers("repayment_submissions")["money accepted"]
    assert f"KES {major:,}.{cents:02}" in money
    currencies = [part.split(" ")[0] for part in money.split("; ")]
    assert sorted(set(currencies)) == currencies


def test_the_same_list_from_kiva_again_is_the_same_version(told):
    versions = {
        event.asset_materialization.tags["dagster/data_version"]
        for event in (
            record.event_log_entry
            for record in told.instance.fetch_materializations(
                dg.AssetKey("kiva_loans"), limit=10
            ).records
        )
    }
    assert len(versions) == 1


def test_frames_are_parquet_that_only_their_owner_may_read(told):
    folder = told.world.settings.frames_folder
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 2 + 13 * 3
    assert {path.suffix for path in files} == {".parquet"}
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert not list((folder / ".spool").iterdir())


def test_a_draft_is_one_row_also_for_a_group_and_answers_for_its_members(told):
    rows = told.first[str(OPEN_MONTH)].frame("loan_draft_submissions")
    rows = [
        *rows.itertuples(),
        *told.first[str(RUNNING_MONTH)].frame("loan_draft_submissions").itertuples(),
    ]
    groups = [row for row in rows if row.mis_rows > 1]
    assert groups
    for row in groups:
        assert len(json.loads(row.loan_ids)) == row.mis_rows


def test_a_corrected_mis_sends_only_the_difference(world, pipeline):
    month, job = str(RUNNING_MONTH), "loan_drafts_of_a_month"
    planned = pipeline.run(month, job, dry_run=True).frame("loan_draft_submissions")
    good = planned[(planned["decision"] == "planned") & (planned["mis_rows"] == 1)]
    loan_id = good["business_id"].iloc[0]
    with sqlite3.connect(world.mis) as mis:
        was = "SELECT loan_use FROM loans WHERE loan_id = ?"
        (loan_use,) = mis.execute(was, [loan_id]).fetchone()
        mis.execute("UPDATE loans SET loan_use = NULL WHERE loan_id = ?", [loan_id])
    pipeline.run(month, job)
    sent = world.posts()
    assert sent == len(planned[planned["decision"] == "planned"]) - 1
    with sqlite3.connect(world.mis) as mis:
        mis.execute("UPDATE loans SET loan_use = ? WHERE loan_id = ?", [loan_use, loan_id])
    again = pipeline.run(month, job).frame("loan_draft_submissions")
    assert world.posts() == sent + 1
    assert list(again.loc[again["decision"] == "accepted", "business_id"]) == [loan_id]
