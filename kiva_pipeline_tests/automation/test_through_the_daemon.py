"""Six months through the real daemon, as a person backfills them; and again, which sends nothing."""

import dagster as dg
import pytest

from kiva_pipeline.assets import checks
from kiva_pipeline_tests.dagster_dev import DagsterDev, new_home
from kiva_pipeline_tests.pipelines import SUBMISSIONS
from kiva_pipeline_tests.privacy import people, quoted
from kiva_pipeline_tests.worlds import RUNNING_MONTH, demo_world

MONTHS = [str(RUNNING_MONTH.plus(back)) for back in range(-5, 1)]


def tags(run):
    return {tag["key"]: tag["value"] for tag in run["tags"]}


@pytest.mark.slow
def test_a_backfill_of_six_months_goes_through_the_daemon_and_the_same_again_posts_nothing(
    tmp_path_factory,
):
    home = new_home(tmp_path_factory.mktemp("home"))
    with demo_world(tmp_path_factory, loans=120) as world:
        with DagsterDev(home, world.settings_file) as dev:
            first = dev.ended(dev.backfill("whole_month", MONTHS))
            sent = world.posts()
            again = dev.ended(dev.backfill("whole_month", MONTHS))

        for backfill in (first, again):
            assert backfill["status"] == "COMPLETED_SUCCESS", backfill
            assert {run["status"] for run in backfill["runs"]} == {"SUCCESS"}
            assert sorted(tags(run)["dagster/partition"] for run in backfill["runs"]) == MONTHS
        assert sent > 5
        assert world.posts() == sent
        facts = world.facts()
        assert facts["duplicate_effects"] == []
        assert facts["repayment_uploads"] == 1  # the one open month; closed ones are never posted

        with dg.DagsterInstance.from_config(str(home)) as instance:
            key = dg.AssetCheckKey(dg.AssetKey("repayment_submissions"), checks.EVERY_ROW_DECIDED)
            stored = instance.event_log_storage.get_asset_check_execution_history(key, limit=50)
            evaluations = [
                record.event.dagster_event.asset_check_evaluation_data for record in stored
            ]
            assert sorted(e.partition for e in evaluations) == sorted([*MONTHS, *MONTHS])
            assert all(e.passed for e in evaluations)
            for asset in (*SUBMISSIONS, "reconciliation", "worklist"):
                assert instance.get_materialized_partitions(dg.AssetKey(asset)) == set(MONTHS)
            latest = instance.get_latest_materialization_event(dg.AssetKey("kiva_loans"))
            assert latest.asset_materialization.metadata["expected in a report"].value > 0

        # Event log, run storage and what the runs printed, all of them.
        assert list(home.rglob("*.err"))
        assert quoted(home, people(world)) == set()
