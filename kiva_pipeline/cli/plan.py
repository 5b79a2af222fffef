"""``plan``: what a run would send and why not the rest; it sends and writes nothing."""

from typing import Annotated, Any

import typer

from kiva_pipeline.cli.options import AsJson, OneStream, SettingsFile, Stream
from kiva_pipeline.cli.partner import months_asked, partner_settings
from kiva_pipeline.cli.show import print_json, say, say_whole, tell, waits
from kiva_pipeline.errors import NotAllowedNowError, SettingsError

WAITING = 10
_LINES = 20


def plan(
    month: Annotated[str, typer.Argument(metavar="MONTH", help="As 2026-10.")],
    stream: OneStream = Stream.ALL,
    show_all: Annotated[
        bool, typer.Option("--all", help="List everything that would not be sent.")
    ] = False,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    r"""What a run would send now, and why not the rest. Sends nothing, writes no ledger.

    The digest names this plan: as long as it stays the same, a run would send the same, and
    `run --digest` refuses any other. Exit code 10 when rows wait for a person, 7 when a run would
    be refused as a whole.

    \b
    kiva-pipeline plan 2026-10
    kiva-pipeline plan 2026-10 --stream drafts --all
    kiva-pipeline plan 2026-10 --json
    """
    partner, _ = partner_settings(settings)
    asked, *others = months_asked(month, partner.calendar, partner.clock.today())
    if others:
        raise SettingsError(
            "`plan` is about one month at a time.",
            f"For several, dry-run them: `kiva-pipeline run {asked}..{others[-1]} --dry-run`.",
        )

    from kiva_pipeline.cli.decisions import (
        show_limited,
        show_totals,
        show_unsent,
        totals,
        unsent,
        waiting_rows,
    )
    from kiva_pipeline.planning import digest_of, plan_month
    from kiva_pipeline.reporting.words import STREAMS
    from kiva_pipeline.submission.plan_cards import SHORTEST_DIGEST

    planned = plan_month(partner, asked, stream.kinds, progress=lambda step: tell(f"… {step}"))
    decisions = {p.kind: p.decisions for p in planned}
    digest = digest_of(planned)
    rows = [
        {
            "stream": p.kind.value,
            "digest": p.digest,
            "rows_in": p.rows_in,
            "decided": int(p.decisions["mis_rows"].sum()),
        }
        for p in planned
    ]
    waiting = waiting_rows(decisions)
    told: dict[str, Any] = {
        "month": str(asked), "digest": digest, "decisions": totals(decisions),
        "unsent": unsent(decisions), "wait_for_person": waiting, "sources": rows,
        "objections": list(dict.fromkeys(o for p in planned for o in p.objections)),
        "expected_list": next((p.remark for p in planned if p.remark), None),
    }  # fmt: skip
    if as_json:
        print_json(told)
    else:
        say(f"Plan of {asked}, nothing sent")
        say()
        show_totals(told["decisions"])
        if told["expected_list"]:
            say(f"\nWhich loans the report answers for: {told['expected_list']}.")
        for objection in told["objections"]:
            say(f"\nA run would send nothing now. {objection}", style="bold")
        if told["unsent"]:
            say("\nNot to be sent:")
            show_unsent(told["unsent"], at_most=None if show_all else _LINES)
        if not told["decisions"]:
            say("There is nothing in this month.")
        show_limited(told["decisions"])
        say(f"\n{waits(waiting)}")
        say("Send exactly this, and nothing if it moves meanwhile:")
        only = f" --stream {stream}" if stream is not Stream.ALL else ""
        say_whole(f"  kiva-pipeline run {asked}{only} --digest {digest[:SHORTEST_DIGEST]}")
        say("Digests, for Dagster's launch pad:")
        for p in planned:
            say_whole(f"  {STREAMS[p.kind]:12} {p.digest}")
        say_whole(f"  {'all of them':12} {digest}")
    if told["objections"]:
        raise typer.Exit(NotAllowedNowError.exit_code)
    if waiting:
        raise typer.Exit(WAITING)
