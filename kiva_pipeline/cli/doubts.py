"""``doubts``: rows of which it is not known whether Kiva has them, and how to find out."""

from collections.abc import Mapping
from typing import Any

import typer

from kiva_pipeline.cli.options import AsJson, MonthText, SettingsFile
from kiva_pipeline.cli.partner import one_month, partner_ledger, partner_settings
from kiva_pipeline.cli.show import counted, print_json, say, say_whole, words
from kiva_pipeline.reporting.words import STREAMS

WAITING = 10


def doubts(month: MonthText = None, settings: SettingsFile = None, as_json: AsJson = False) -> None:
    r"""Every row whose answer was lost, when it was asked, and what to look for in PA2.

    Nothing of it is sent again by itself: look, then say what you found with `resolve`. Exit code
    10 when there is any.

    \b
    kiva-pipeline doubts
    kiva-pipeline doubts 2026-10 --json
    """
    from kiva_pipeline.submission import resolve

    partner, _ = partner_settings(settings)
    asked = one_month(month)
    found: list[dict[str, Any]] = []
    with partner_ledger(partner) as ledger:
        if ledger:
            with ledger.reading() as connection:
                rows = resolve.doubts(connection, asked)
            found = [_doubt(row._mapping) for row in rows]  # noqa: SLF001  public Row API
    if as_json:
        print_json({"doubts": found})
    else:
        _show(found)
    if found:
        raise typer.Exit(WAITING)


def _doubt(row: Mapping[str, Any]) -> dict[str, Any]:
    from kiva_pipeline.reporting.next_step import commands, look_for

    return {
        "stream": STREAMS[row["kind"]],
        "month": row["month"],
        "id": row["business_id"],
        "state": row["state"],
        "asked_at": row["started_at"],
        "request_id": row["attempt_id"],
        "http_status": row["http_status"],
        "cause": row["cause"] or "",
        "look_for": look_for(row),
        "commands": commands(row),
    }


def _show(found: list[dict[str, Any]]) -> None:
    if not found:
        say("No doubts: the outcome of every request is known.")
        return
    say(f"{counted(len(found), 'row')} in doubt. None is sent again by itself.\n", style="bold")
    for row in found:
        said = f"HTTP {row['http_status']}" if row["http_status"] else "no answer"
        say(f"{row['stream']} {row['month']}  {row['id']}  ({words(row['state'])})")
        say(f"  asked   {row['asked_at']} UTC, {said} {row['cause']}".rstrip())
        say(f"  request {row['request_id']} (X-Request-ID)")
        say(f"  look    {row['look_for']}", hang=len("  look    "))
        for command, answer in zip(row["commands"], ("there ", "not   "), strict=True):
            say_whole(f"  {answer}  {command}")
        say()
