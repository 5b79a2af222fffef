"""A world's own jobs, run in this process through real Dagster; what the run says, in plain values.

with DagsterInstance.ephemeral() as instance: Pipeline(world, instance).run("2026-09")
"""

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from kiva_pipeline.automation.jobs import MONTH_JOB
from kiva_pipeline.definitions import build_definitions
from kiva_pipeline.frames import StoredFrame
from kiva_pipeline.settings import Settings, load_settings
from kiva_pipeline_tests.worlds import World

SUBMISSIONS = ("loan_draft_submissions", "repayment_submissions", "journal_submissions")


@dataclass(frozen=True)
class Run:
    """One run of a job.

    Attributes:
        month: Its partition.
        result: Dagster's.
        settings: Those of the run.
    """

    month: str
    result: dg.ExecuteInProcessResult
    settings: Settings

    def numbers(self, asset: str) -> dict[str, Any]:
        """The metadata of an asset's materialization, as plain values in the order of the page."""
        (event,) = [
            event
            for event in self.result.get_asset_materialization_events()
            if event.asset_key and event.asset_key.path[-1] == asset
        ]
        return {name: value.value for name, value in event.materialization.metadata.items()}

    @property
    def checks(self) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
        """The checks' results by (asset, check)."""
        return {
            (check.asset_key.path[-1], check.check_name): check
            for check in self.result.get_asset_check_evaluations()
        }

    @property
    def materialized(self) -> set[str]:
        """The assets that came to their end."""
        events = self.result.get_asset_materialization_events()
        return {event.asset_key.path[-1] for event in events if event.asset_key}

    @property
    def failures(self) -> dict[str, str]:
        """What each failed step says to a person."""
        told = {}
        for event in self.result.get_step_failure_events():
            data = event.step_failure_data
            error = data.error
            while error is not None and error.cause is not None:
                error = error.cause
            told[str(event.step_key)] = (
                data.user_failure_data.description or ""
                if data.user_failure_data
                else error.message
                if error
                else ""
            )
        return told

    def frame(self, asset: str, month: str | None = None) -> pd.DataFrame:
        """What the asset holds for a month; of its own run unless another is named."""
        return frame_of(self.settings, asset, month or self.month).read()


class Pipeline:
    """The jobs of one partner.

    Args:
        world: The practice partner.
        instance: Keeps the runs.
        settings_file: Another one than the world's.
    """

    def __init__(
        self, world: World, instance: dg.DagsterInstance, settings_file: Path | None = None
    ) -> None:
        self.file = settings_file or world.settings_file
        self.settings = load_settings(self.file)
        self._instance = instance
        with _quietly():
            self.definitions = build_definitions(self.settings, self.file)

    def run_only(self, month: str, asset: str) -> Run:
        """Materialize one asset alone from what the runs before have left."""
        return self.run(month, only=[dg.AssetKey(asset)])

    def run(
        self,
        month: str,
        job: str = MONTH_JOB,
        only: list[dg.AssetKey] | None = None,
        **submit: Any,
    ) -> Run:
        """Run a job on a month; ``dry_run=True`` or ``limit=1`` for all its submissions."""
        with _quietly():
            made = self.definitions.resolve_job_def(job)
        senders = [node.name for node in made.nodes if node.name in SUBMISSIONS]
        config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        if submit:
            config["ops"] = {name: {"config": submit} for name in senders}
        with _quietly():
            result = made.execute_in_process(
                run_config=config, instance=self._instance, partition_key=month,
                raise_on_error=False, asset_selection=only,
            )  # fmt: skip
        return Run(month, result, self.settings)


def frame_of(settings: Settings, asset: str, month: str | None = None) -> StoredFrame:
    """The Parquet file of an asset, or of its month."""
    folder = settings.frames_folder
    return StoredFrame(
        folder / asset / f"{month}.parquet" if month else folder / f"{asset}.parquet"
    )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings(action="ignore"):
        yield
