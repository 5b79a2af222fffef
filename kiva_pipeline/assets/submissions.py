"""The one shape of the three submission assets: plan, send, say what became of every row."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from kiva_pipeline.assets import checks
from kiva_pipeline.assets.describe import submitted
from kiva_pipeline.assets.failures import EXIT_CODE, explained
from kiva_pipeline.assets.resources import KivaResource, LedgerResource, PartnerResource
from kiva_pipeline.errors import NotAllowedNowError, SenderBusyError
from kiva_pipeline.frames import StoredFrame
from kiva_pipeline.submission.digest import digest_of_streams
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.month_submission import Submission
from kiva_pipeline.submission.plan_cards import (
    PlanCard,
    StreamCard,
    checked_digest,
    keep_card,
    stream_rows,
)
from kiva_pipeline.submission.states import State
from kiva_pipeline.submission.submit import ExpectedPlan, SubmitOptions, SubmitResult, submit

# A failed step is re-run the same day at the latest; what waited longer is read again first.
_STALE_AFTER = timedelta(hours=12)
POOL = "kiva_api"  # one sender at a time is polite to Kiva; the ledger's lock is the safety


class SubmitConfig(dg.Config):
    """What the launch pad offers for a submission."""

    dry_run: bool = Field(
        default=False,
        description="true: plan only. Say what would be sent; send nothing and write no ledger.",
    )
    limit: int | None = Field(
        default=None,
        ge=0,
        description="Send at most so many rows; the next run sends the rest. null: all. Try 1"
        " first.",
    )
    digest: str = Field(
        default="",
        description="Of the plan that you saw (a dry run's, or this stream's of `kiva-pipeline"
        " plan`): another plan is refused, and nothing is sent. Empty: whatever the plan is.",
    )


def submission_checks(
    asset: str, months: dg.PartitionsDefinition, every: str = checks.EVERY_ROW_DECIDED
) -> list[dg.AssetCheckSpec]:
    """The checks of a submission asset."""
    return [
        checks.spec(every, asset, "Rows in = Σ decisions: none lost, none doubled.", months),
        checks.spec(
            checks.NOTHING_UNCERTAIN, asset, "Kiva's answer is known for every row.", months
        ),
    ]


def send_month(
    context: dg.AssetExecutionContext,
    submission: Submission,
    rows_in: int,
    *,
    config: SubmitConfig,
    partner: PartnerResource,
    kiva: KivaResource,
    ledger: LedgerResource,
    check: str = checks.EVERY_ROW_DECIDED,
) -> Iterator[Any]:
    """Send one month of one stream; the table of decisions is kept also when the run must fail.

    Yields:
        The materialization with its checks. Then, where sending stopped early, the failure.
    """
    options = SubmitOptions(
        dry_run=config.dry_run,
        limit=config.limit,
        expected=_expected(config.digest, submission, partner),
        pause=time.sleep,
    )
    busy = ""
    with explained(), ledger.open() as book:
        if not config.dry_run:
            _refuse_stale(submission.rows, partner.settings.clock.now())

        def go(options: SubmitOptions) -> SubmitResult:
            return submit(
                submission,
                ledger=book,
                api=kiva.api,
                settings=partner.settings,
                actor=Actor(who="run", run_id=context.run_id),
                spool_folder=partner.spool_folder,
                options=options,
            )

        try:
            result = go(options)
        except SenderBusyError as error:
            busy = str(error)
            context.log.warning(busy)
            result = go(SubmitOptions(dry_run=True))
    if config.dry_run:
        _keep(result, submission, partner)
    yield dg.MaterializeResult(
        value=result.decisions,
        metadata=submitted(result, dry_run=config.dry_run, skipped=busy),
        check_results=[
            checks.equal_result(check, "rows decided", _answered(result, submission), rows_in),
            checks.certain_result(result.tally),
        ],
    )
    if result.summary.stopped:
        why = result.summary.error or result.summary.stopped
        raise dg.Failure(
            description=f"Sending stopped early: {why}."
            f" {result.tally.rows.get(State.DEFERRED.value, 0)} rows wait for the next run;"
            " nothing is sent twice by running it again.",
            allow_retries=False,
            metadata={EXIT_CODE: result.summary.error.exit_code} if result.summary.error else None,
        )


def _expected(digest: str, submission: Submission, partner: PartnerResource) -> ExpectedPlan | None:
    if not digest.strip():
        return None
    with explained():
        typed = checked_digest(digest)
    folder = partner.settings.state.folder
    return ExpectedPlan(typed, stream_rows(folder, submission.kind.value, typed))


def _keep(result: SubmitResult, submission: Submission, partner: PartnerResource) -> None:
    """A dry run is a plan that somebody may run by its digest."""
    kind = submission.kind.value
    keep_card(
        partner.settings.state.folder,
        PlanCard(
            str(submission.month),
            digest_of_streams({kind: result.digest}),
            {kind: StreamCard(result.digest, result.tally.rows)},
        ),
    )


def _refuse_stale(rows: StoredFrame, now: datetime) -> None:
    """Let nobody send what was read from the MIS long ago, by re-running this step alone."""
    built = datetime.fromtimestamp(Path(str(rows.path)).stat().st_mtime, UTC)
    if now - built > _STALE_AFTER:
        raise NotAllowedNowError(
            f"What would be sent was read from the MIS on {built:%Y-%m-%d} at {built:%H:%M} UTC,"
            " and may have been corrected there since.",
            "Run the whole job for this month: it reads the MIS again.",
        )


def _answered(result: SubmitResult, submission: Submission) -> int:
    """MIS rows answered for; of a report, expected loans that have a row."""
    if submission.period:
        gone = result.tally.rows.get(State.NOT_EXPECTED.value, 0)
        return result.tally.total - gone
    return result.tally.mis_rows
