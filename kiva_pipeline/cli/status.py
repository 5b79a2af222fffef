"""``status``: what the ledger knows, without asking the MIS or Kiva."""

from typing import TYPE_CHECKING, Any

from kiva_pipeline.cli.options import AsJson, MonthText, SettingsFile
from kiva_pipeline.cli.partner import one_month, partner_ledger, partner_settings
from kiva_pipeline.cli.show import print_json, print_table, say, say_whole, words
from kiva_pipeline.reporting.words import STREAMS
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.states import State

_ACTS_SHOWN = 5

if TYPE_CHECKING:
    from kiva_pipeline.submission.ledger import Ledger


def status(month: MonthText = None, settings: SettingsFile = None, as_json: AsJson = False) -> None:
    r"""What the ledger knows: rows by stream, month and state, the last requests, open reports.

    \b
    kiva-pipeline status
    kiva-pipeline status 2026-10 --json
    """
    partner, _ = partner_settings(settings)
    asked = one_month(month)
    with partner_ledger(partner) as ledger:
        known = _of_ledger(ledger, asked) if ledger else _NOTHING
        days = _calendar(partner, ledger)
    told = {"partner": partner.partner.id, "environment": partner.environment.value}
    told |= {"month": asked} | days | known
    if as_json:
        print_json(told)
    else:
        _show(told)


_NOTHING: dict[str, Any] = {
    "ledger_born_at": None, "paused_by": None, "paused_why": None, "doubts": 0, "rows": [],
    "requests": [], "acts": [],
}  # fmt: skip


def _of_ledger(ledger: "Ledger", month: str | None) -> dict[str, Any]:
    from kiva_pipeline.reporting.next_step import command_of_state
    from kiva_pipeline.submission.acts import acts_of_persons
    from kiva_pipeline.submission.ledger import state_counts
    from kiva_pipeline.submission.summaries import requests_by_month

    card = ledger.card()
    with ledger.reading() as connection:
        rows = state_counts(connection, month)
        requests = requests_by_month(connection, month)
        acts = acts_of_persons(connection, newest=_ACTS_SHOWN)
    unknown = {State.UNCERTAIN.value, State.IN_FLIGHT.value}
    return {
        "ledger_born_at": card.born_at,
        "paused_by": card.paused_by,
        "paused_why": card.paused_why,
        "doubts": sum(row.rows for row in rows if row.state in unknown),
        "rows": [
            {
                "stream": STREAMS[r.kind], "month": r.month, "state": r.state, "rows": r.rows,
                "command": command_of_state(r.kind, r.month, r.state),
            }
            for r in rows
        ],
        "requests": [
            {
                "stream": STREAMS[r.kind], "month": r.month, "requests": r.requests,
                "last_at": r.last_at, "last_run": r.last_run,
            }
            for r in requests
        ],
        "acts": [{"at": a.at, "act": a.action, "by": a.who, "why": a.why} for a in acts],
    }  # fmt: skip


def _calendar(settings: Settings, ledger: "Ledger | None") -> dict[str, Any]:
    from kiva_pipeline.submission.reporting_period import marks_of_ledger

    today, days = settings.clock.today(), settings.calendar.reporting
    marks = {mark.month: mark for mark in (marks_of_ledger(ledger) if ledger else ())}
    month = days.open_month(today, marks.values())
    until = days.last_day(month, marks.get(month)) if month else None
    return {
        "today": f"{today}",
        "practice_day": settings.calendar.practice_today is not None,
        "open_report": str(month) if month else None,
        "open_report_until": f"{until}" if until else None,
    }


def _show(told: dict[str, Any]) -> None:
    say(f"Partner {told['partner']} in {told['environment']}, {told['today']}"
        + (" (practice day)" if told["practice_day"] else ""))  # fmt: skip
    if told["open_report"]:
        say(f"Open for repayments: {told['open_report']}, until {told['open_report_until']}")
    else:
        say("No month is open for repayments today.")
    if told["paused_by"]:
        say(f"Sending is paused by {told['paused_by']}: {told['paused_why']}", style="bold")
        say("`kiva-pipeline resume` lets it go on.")
    if told["ledger_born_at"] is None:
        say("There is no ledger yet: nothing was ever sent from here.")
        return
    if told["doubts"]:
        say(f"In doubt: {told['doubts']:,} — `kiva-pipeline doubts` lists them.", style="bold")
    if not told["rows"]:
        say("The ledger has no rows" + (f" of {told['month']}." if told["month"] else "."))
    say()
    print_table(
        ["stream", "month", "state", "rows"],
        ((r["stream"], r["month"], words(r["state"]), f"{r['rows']:,}") for r in told["rows"]),
        numbers=["rows"],
    )
    say()
    print_table(
        ["stream", "month", "requests", "last request (UTC)"],
        ((r["stream"], r["month"], f"{r['requests']:,}", r["last_at"][:19].replace("T", " "))
         for r in told["requests"]),
        numbers=["requests"],
    )  # fmt: skip
    if told["acts"]:
        say("\nThe last acts of persons:")
    for act in told["acts"]:
        moment = f"  {act['at'][:19].replace('T', ' ')} UTC  "
        say(f"{moment}{act['act']} by {act['by']}: {act['why']}", hang=len(moment))
    commands = dict.fromkeys(r["command"] for r in told["rows"] if r["command"])
    if commands:
        say("\nNext:")
    for command in commands:
        say_whole(f"  {command}")
