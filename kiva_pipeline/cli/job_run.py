"""Runs a month's job of Dagster in this process, and says in plain words how it went.

What must not break: it is the same job that a schedule starts, so that the run, its tables and its
checks are in the UI like any other.
"""

import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from kiva_pipeline.assets.failures import EXIT_CODE
from kiva_pipeline.automation.jobs import JOURNALS_JOB, LOAN_DRAFTS_JOB, MONTH_JOB, REPAYMENTS_JOB
from kiva_pipeline.definitions import build_definitions
from kiva_pipeline.errors import PipelineError, SettingsError
from kiva_pipeline.frames import StoredFrame
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.periods import Month
from kiva_pipeline.settings import Settings

_JOBS = {
    PostKind.LOAN_DRAFT: LOAN_DRAFTS_JOB,
    PostKind.REPAYMENT: REPAYMENTS_JOB,
    PostKind.JOURNAL: JOURNALS_JOB,
}
SUBMISSION_ASSETS = {
    PostKind.LOAN_DRAFT: "loan_draft_submissions",
    PostKind.REPAYMENT: "repayment_submissions",
    PostKind.JOURNAL: "journal_submissions",
}


@dataclass(frozen=True, slots=True)
class MonthRun:
    """How one run went.

    Attributes:
        month: The partition.
        run_id: Dagster's.
        failures: What failed, as (step, message).
        decisions: ``DECISION_COLUMNS`` of each stream that came to its end.
        failed_checks: Checks that found rows lost or left, as (asset, check, words).
        requests: POSTs that were made.
        skipped: Why a stream was skipped: another sender was at work.
        exit_codes: What each failure ends a command with.
    """

    month: Month
    run_id: str
    failures: list[tuple[str, str]]
    decisions: dict[PostKind, pd.DataFrame]
    failed_checks: list[tuple[str, str, str]] = field(default_factory=list)
    requests: int = 0
    skipped: str = ""
    exit_codes: list[int] = field(default_factory=list)


class JobRunner:
    """The jobs of one partner, ready to be run.

    Args:
        settings: The partner's.
        file: Where a run reads them again.
        instance: Keeps the runs.
        verbose: Let Dagster's own log through.
    """

    def __init__(
        self, settings: Settings, file: Path, instance: dg.DagsterInstance, *, verbose: bool = False
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._verbose = verbose
        with _without_preview_warnings():
            self._definitions = build_definitions(settings, file)

    def run(
        self,
        month: Month,
        kinds: Sequence[PostKind],
        *,
        dry_run: bool = False,
        limit: int | None = None,
        digests: Mapping[PostKind, str] | None = None,
        progress: Callable[[str], None] = lambda _step: None,
    ) -> MonthRun:
        """Run a month.

        Args:
            month: The partition.
            kinds: One stream, or all for the whole month with its reconciliation and worklist.
            dry_run: Plan only.
            limit: Send at most so many rows of each stream.
            digests: Of the plans that a person saw; another one is refused.
            progress: Told of every step that has ended.

        Raises:
            SettingsError: Dagster has no such partition.
            KeyboardInterrupt: The run was stopped by Ctrl-C.
        """
        name = _JOBS[kinds[0]] if len(kinds) == 1 else MONTH_JOB
        with _without_preview_warnings():
            job = self._definitions.resolve_job_def(name)
        if job.partitions_def and not job.partitions_def.has_partition_key(str(month)):
            raise SettingsError(
                f"Dagster has no month {month} for this partner.",
                "Check calendar.first_month and this machine's clock.",
            )
        submit = {"dry_run": dry_run} | ({"limit": limit} if limit is not None else {})
        config: dict[str, Any] = {
            "ops": {
                SUBMISSION_ASSETS[kind]: {
                    "config": submit | {"digest": (digests or {}).get(kind, "")}
                }
                for kind in kinds
            }
        }
        if not self._verbose:
            config["loggers"] = {"console": {"config": {"log_level": "CRITICAL"}}}
        with _without_preview_warnings():
            result = job.with_hooks({_hook(progress)}).execute_in_process(
                run_config=config,
                instance=self._instance,
                partition_key=str(month),
                raise_on_error=False,
            )
        if _stopped(result, self._instance):
            raise KeyboardInterrupt  # Dagster has written down where the run was
        return _told(result, month, kinds, self._settings)


def _hook(progress: Callable[[str], None]) -> dg.HookDefinition:
    @dg.success_hook(name="progress")
    def step_ended(context: dg.HookContext) -> None:
        progress(context.op.name)

    return step_ended


def _told(
    result: dg.ExecuteInProcessResult, month: Month, kinds: Sequence[PostKind], settings: Settings
) -> MonthRun:
    numbers = {
        event.asset_key.path[-1]: event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    failed = result.get_step_failure_events()
    failures = [(str(e.step_key), _message(e)) for e in failed]
    if not failures and not result.success:
        failures = [("the run", "it ended before its steps did; its page in Dagster shows why")]
    ended = {kind: SUBMISSION_ASSETS[kind] for kind in kinds if SUBMISSION_ASSETS[kind] in numbers}
    return MonthRun(
        month=month,
        run_id=result.run_id,
        failures=failures,
        exit_codes=[_exit_code(e) for e in failed] or [PipelineError.exit_code] * len(failures),
        decisions={
            kind: StoredFrame(settings.frames_folder / asset / f"{month}.parquet").read()
            for kind, asset in ended.items()
        },
        failed_checks=[
            (check.asset_key.path[-1], check.check_name, check.description or "")
            for check in result.get_asset_check_evaluations()
            if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR
        ],
        requests=sum(int(str(numbers[asset]["requests"].value)) for asset in ended.values()),
        # Each stream met the same other sender.
        skipped=next(
            (
                str(numbers[asset]["skipped"].value)
                for asset in ended.values()
                if "skipped" in numbers[asset]
            ),
            "",
        ),
    )


def _stopped(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> bool:
    """Whether somebody stopped the run, in a step or between two of them."""
    run = instance.get_run_by_id(result.run_id)
    if run and run.status is dg.DagsterRunStatus.CANCELED:
        return True
    errors = [event.step_failure_data.error for event in result.get_step_failure_events()]
    errors += [
        event.job_failure_data.error
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.RUN_FAILURE
    ]
    return any(e is not None and e.cls_name == "DagsterExecutionInterruptedError" for e in errors)


def _exit_code(event: dg.DagsterEvent) -> int:
    told = event.step_failure_data.user_failure_data
    code = told.metadata.get(EXIT_CODE) if told else None
    return int(str(code.value)) if code else PipelineError.exit_code


def _message(event: dg.DagsterEvent) -> str:
    """Our own words where the step failed with one of our errors; else only what kind it was."""
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    if error is None:
        return "failed without saying why"
    if error.cls_name in _OURS:
        return error.message.split(": ", 1)[-1].strip()
    if number := re.search(r"\[Errno ([0-9]+)\]", error.message):
        return f"a file can't be read or written ({os.strerror(int(number[1]))})"
    return f"something unexpected failed ({error.cls_name}); the run's page in Dagster shows where"


_OURS = {"SourceUnavailableError"}


@contextmanager
def _without_preview_warnings() -> Iterator[None]:
    # Which of Dagster's features are previews is the maintainers' concern, not this user's.
    with warnings.catch_warnings():
        for kind in (dg.PreviewWarning, dg.BetaWarning):
            warnings.simplefilter("ignore", category=kind)
        yield
