"""Adoption through Dagster's own job, as the launch pad runs it."""

import warnings
from typing import Any

import dagster as dg
import pytest

from kiva_pipeline.definitions import build_definitions
from kiva_pipeline.practice_adoption import pa2_files
from kiva_pipeline_tests.automation.test_acts import Launched
from kiva_pipeline_tests.submission.sending import open_ledger
from kiva_pipeline_tests.worlds import World, demo_world


@pytest.fixture
def world(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=60, adopted=False) as world:
        yield world


def launch(world: World, **form: Any) -> Launched:
    with (
        warnings.catch_warnings(action="ignore"),
        dg.DagsterInstance.ephemeral() as instance,
    ):
        job = build_definitions(world.settings, world.settings_file).resolve_job_def("act_adopt")
        (op,) = job.nodes
        config: dict[str, Any] = {
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            "ops": {op.name: {"config": form}},
        }
        return Launched(
            job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
        )


def test_an_empty_form_says_what_is_needed_and_adopts_nothing(world):
    done = launch(world)
    assert not done.success
    assert "drafts that wait in PA2" in done.refusal
    assert not (world.settings.state.folder / "ledger.sqlite").exists()


def test_the_form_is_looked_at_first_and_adopts_when_it_is_signed(world):
    files = pa2_files(world.settings, world.sandbox, world.folder / "pa2")
    form = {"drafts": str(files.drafts), "reported": str(files.reported)}
    looked = launch(world, **form)
    assert looked.success
    assert "Nothing was adopted yet" in looked.answer
    assert "loans that Kiva lists" in looked.answer
    assert "Group loans without members" in looked.answer
    assert not (world.settings.state.folder / "ledger.sqlite").exists()
    unsigned = launch(world, **form, only_look=False)
    assert "needs the name of the person" in unsigned.refusal
    wrong_day = launch(world, **form, go_live="tomorrow")
    assert "“tomorrow” is not a day" in wrong_day.refusal
    signed = {"only_look": False, "by": "Ana", "why": "go-live", "go_live": "2026-10-01"}
    assert "This ledger posts since 2026-10-01" in launch(world, **form, **signed).answer
    ledger = open_ledger(world.settings)
    assert ledger.card().go_live_on == "2026-10-01"
    ledger.close()
