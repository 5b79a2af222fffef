"""The one shape of the three submission assets: plan, send, say what became of every row."""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from kiva_pipeline.assets import checks
from kiva_pipeline.assets.describe import submitted
from kiva_pipeline.assets.failures import explained
from kiva_pipeline.assets.resources import KivaResource, LedgerResource, PartnerResource
from kiva_pipeline.errors import SenderBusyError
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.month_submission import Submission
from kiva_pipeline.submission.states import State
from kiva_pipeline.submission.submit import SubmitOptions, SubmitResult, submit

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
    options = SubmitOptions(dry_run=config.dry_run, limit=config.limit, pause=time.sleep)
    busy = ""
    with explained(), ledger.open() as book:

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
        )


def _answered(result: SubmitResult, submission: Submission) -> int:
    """MIS rows answered for; of a report, expected loans that have a row."""
    if submission.period:
        gone = result.tally.rows.get(State.NOT_EXPECTED.value, 0)
        return result.tally.total - gone
    return result.tally.mis_rows
