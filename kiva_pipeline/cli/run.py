"""``run``: a month through Dagster to Kiva."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kiva_pipeline.cli.options import AsJson, OneStream, SettingsFile, Stream
from kiva_pipeline.cli.partner import months_asked, partner_ledger, partner_settings
from kiva_pipeline.cli.show import counted, print_json, say, tell, waits, words
from kiva_pipeline.errors import SettingsError
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.periods import Month
from kiva_pipeline.settings import Settings

if TYPE_CHECKING:
    from kiva_pipeline.cli.job_run import MonthRun

WAITING = 10
_FAILED, _BUSY = 1, 6
_LINES = 20


def run(
    month: Annotated[
        str, typer.Argument(metavar="MONTH", help="As 2026-10, or 2026-05..2026-10 for several.")
    ],
    stream: OneStream = Stream.ALL,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="Send at most so many rows of each stream. Try 1 first."),
    ] = None,
    digest: Annotated[
        str | None,
        typer.Option(
            "--digest",
            help="Of the plan that you saw: if it moved meanwhile, nothing is sent (exit code 7).",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Through Dagster, but plan only: nothing is sent.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show Dagster's own log.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="List everything not sent.")] = False,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    r"""Send what is new of a month, through Dagster. Run it as often as you like.

    The run is kept in DAGSTER_HOME, or in the state folder when that is not set, so that Dagster's
    UI shows it. A second run sends only the difference.

    Exit code 0: all that could be sent was, and nothing waits for a person. 10: done, but rows
    are blocked, held, refused or in doubt. Any other: something failed; it is safe to run again.

    \b
    kiva-pipeline run 2026-10 --limit 1
    kiva-pipeline run 2026-10 --digest 9f2c41d07a3b
    kiva-pipeline run 2026-10 --stream repayments
    kiva-pipeline run 2026-05..2026-10 --dry-run --json
    """
    partner, file = partner_settings(settings)
    months = months_asked(month, partner.calendar, partner.clock.today())
    _look_first(partner, stream)
    digests = _expected(partner, months, stream, digest) if digest is not None else {}

    from kiva_pipeline.cli.dagster_home import dagster_instance
    from kiva_pipeline.cli.job_run import JobRunner

    ended = []
    with dagster_instance(partner.state.folder) as instance:
        runner = JobRunner(partner, file, instance, verbose=verbose)
        for each in months:
            tell(f"{each}")
            ended.append(
                runner.run(
                    each, stream.kinds, dry_run=dry_run, limit=limit, digests=digests,
                    progress=lambda step: tell(f"  {words(step)}"),
                )
            )  # fmt: skip
            if not as_json:
                _show(ended[-1], dry_run=dry_run, at_most=None if show_all else _LINES)
    if as_json:
        print_json({"dry_run": dry_run, "runs": [_as_json(one) for one in ended]})
    if code := _worst([_exit_code(one) for one in ended]):
        raise typer.Exit(code)


def _look_first(settings: Settings, stream: Stream) -> None:
    """Fail at once and in words where no step could work: the MIS, the ledger, Kiva's API."""
    from kiva_pipeline.field_key import field_key
    from kiva_pipeline.mis.open import open_source
    from kiva_pipeline.partner_api.client import PartnerApi
    from kiva_pipeline.settings import Secrets

    open_source(settings).close()
    field_key(settings.state.folder)
    with partner_ledger(settings):
        pass
    with PartnerApi.open(settings, Secrets.from_environment(settings.environment)) as api:
        api.check_grant(["read:loans", *(kind.scope for kind in stream.kinds)])
        api.loans_total()


def _expected(
    settings: Settings, months: Sequence[Month], stream: Stream, digest: str
) -> dict[PostKind, str]:
    """The digests of the streams' plans, after the month was planned again and found the same."""
    from kiva_pipeline.planning import plan_as_expected

    if len(months) > 1:
        raise SettingsError(
            "A digest is of the plan of one month.", "Run the months one by one, each with its own."
        )
    return plan_as_expected(
        settings, months[0], stream.kinds, digest, progress=lambda step: tell(f"… {step}")
    )


def _worst(codes: Sequence[int]) -> int:
    """One exit code for several months: a failure says more than that something waits."""
    failed = [code for code in codes if code not in {0, WAITING}]
    return failed[0] if failed else max(codes)


def _exit_code(run: "MonthRun") -> int:
    from kiva_pipeline.cli.decisions import waiting_rows

    if run.failures or run.failed_checks:
        codes = set(run.exit_codes)
        return codes.pop() if len(codes) == 1 and not run.failed_checks else _FAILED
    if run.skipped:
        return _BUSY
    return WAITING if waiting_rows(run.decisions) else 0


def _as_json(run: "MonthRun") -> dict[str, Any]:
    from kiva_pipeline.cli.decisions import totals, unsent, waiting_rows

    return {
        "month": str(run.month),
        "run_id": run.run_id,
        "requests": run.requests,
        "decisions": totals(run.decisions),
        "unsent": unsent(run.decisions),
        "wait_for_person": waiting_rows(run.decisions),
        "failures": [{"step": step, "message": message} for step, message in run.failures],
        "failed_checks": [
            {"asset": asset, "check": check, "words": told}
            for asset, check, told in run.failed_checks
        ],
        "skipped": run.skipped,
    }


def _show(run: "MonthRun", *, dry_run: bool, at_most: int | None) -> None:
    from kiva_pipeline.cli.decisions import (
        show_limited,
        show_totals,
        show_unsent,
        totals,
        unsent,
        waiting_rows,
    )

    say(f"{run.month}" + (" (dry run: nothing sent)" if dry_run else ""), style="bold")
    lines, left = totals(run.decisions), unsent(run.decisions)
    show_totals(lines)
    if left:
        say("\nNot sent:")
        show_unsent(left, at_most=at_most)
    if not lines and not run.failures:
        say("There is nothing in this month.")
    show_limited(lines)
    say(f"\n{counted(run.requests, 'request')}. {waits(waiting_rows(run.decisions))}")
    say(f"Run {run.run_id}")
    if run.skipped:
        say(run.skipped)
    for step, message in run.failures:
        say(f"FAILED {words(step)}: {message}", style="bold")
    for asset, check, told in run.failed_checks:
        say(f"CHECK FAILED {words(asset)}, {words(check)}: {told}", style="bold")
