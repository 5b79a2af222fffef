"""``close`` and ``extend``: a month's report is final in PA2, or Kiva gave it more time."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kiva_pipeline.cli.options import AsJson, By, SettingsFile, Why
from kiva_pipeline.cli.partner import ledger_to_act_on, partner_settings
from kiva_pipeline.cli.show import counted, print_json, print_table, say, words
from kiva_pipeline.errors import SettingsError
from kiva_pipeline.periods import Month
from kiva_pipeline.submission.states import SENTENCES, State

if TYPE_CHECKING:
    from kiva_pipeline.submission.acts import Unreported

_LINES = 20
_IN_DOUBT = {State.UNCERTAIN, State.IN_FLIGHT}

ReportMonth = Annotated[
    str, typer.Argument(metavar="MONTH", help="The month that the report is about, as 2026-09.")
]


def close(
    month: ReportMonth,
    undo: Annotated[
        bool, typer.Option("--undo", help="It was closed by mistake: it is not final in PA2.")
    ] = False,
    by: By = None,
    why: Why = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    r"""The month's repayment report was finalized in PA2: nothing more of it is posted.

    Look first: in PA2, the report of the month shows as final (submitted), not as open. Kiva's API
    does not show that, so it has to be said here. What was never sent is listed: Kiva invoices
    those loans as if they had paid on schedule, and the next month's figure makes up for it.

    \b
    kiva-pipeline close 2026-09 --by "Ada" --why "finalized in PA2 on the 12th"
    kiva-pipeline close 2026-09 --undo --by "Ada" --why "meant 2026-08"
    """
    from kiva_pipeline.submission.acts import close_month, person, reopen_month

    partner, _ = partner_settings(settings)
    asked, who = Month.parse(month), person(by, why)
    left: list[Unreported] = []
    with ledger_to_act_on(partner) as ledger:
        if undo:
            reopen_month(ledger, partner, asked, who)
        else:
            left = close_month(ledger, partner, asked, who)
    if as_json:
        print_json(
            {
                "act": "reopen" if undo else "close", "month": str(asked), "by": who.name,
                "why": who.why, "without_figure": [_line(row) for row in left],
            }
        )  # fmt: skip
    elif undo:
        say(f"The report of {asked} is not closed any more: the calendar decides whether it is"
            " open (`kiva-pipeline status`).")  # fmt: skip
    else:
        _show_closed(asked, left)


def extend(
    month: ReportMonth,
    until: Annotated[
        str, typer.Option("--until", metavar="DAY", help="The last day, as 2026-10-20.")
    ],
    by: By = None,
    why: Why = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    r"""Kiva gave more time: the month's report may be posted until the end of a later day.

    Look first: in PA2, the report of the month is still open. Figures that are posted after it was
    finalized would land in the next month's report.

    \b
    kiva-pipeline extend 2026-09 --until 2026-10-20 --by "Ada" --why "Kiva's e-mail of the 14th"
    """
    from kiva_pipeline.submission.acts import extend_month, person

    partner, _ = partner_settings(settings)
    asked, who = Month.parse(month), person(by, why)
    last = _day(until)
    with ledger_to_act_on(partner) as ledger:
        extend_month(ledger, partner, asked, last, who)
    if as_json:
        print_json({"act": "extend", "month": str(asked), "until": str(last), "by": who.name,
                    "why": who.why})  # fmt: skip
    else:
        say(f"The report of {asked} may be posted until the end of {last}"
            f" ({partner.calendar.timezone}).")  # fmt: skip


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise SettingsError(f"“{text}” is not a day.", "Write it as YYYY-MM-DD.") from None


def _show_closed(month: Month, left: Sequence["Unreported"]) -> None:
    say(f"The report of {month} is closed: nothing more of it is posted.", style="bold")
    doubted = [row for row in left if row.state in _IN_DOUBT]
    without = [row for row in left if row.state not in _IN_DOUBT]
    if doubted:
        say(f"Of {counted(len(doubted), 'loan')} it is not known whether Kiva has the figure:"
            f" `kiva-pipeline doubts {month}`.")  # fmt: skip
    if not without:
        say("Kiva has a figure of every loan that this ledger decided on.")
        return
    say(f"Kiva has no figure of {counted(len(without), 'loan')} and invoices them as if they had"
        " paid on schedule; the next month's figure makes up for it:")  # fmt: skip
    for (state, code), rows in Counter((r.state, r.reason_code) for r in without).most_common():
        say(f"  {counted(rows, 'loan')} {words(state)}: {SENTENCES.get(code, words(code))}")
    print_table(
        ["id", "decision", "figure"],
        ((row.business_id, words(row.state), _line(row)["figure"]) for row in without[:_LINES]),
    )
    if len(without) > _LINES:
        say(f"… and {len(without) - _LINES} more: `--json` lists them all.")


def _line(row: "Unreported") -> dict[str, Any]:
    from kiva_pipeline.reporting.next_step import money

    return {
        "id": row.business_id,
        "state": row.state,
        "reason": row.reason_code,
        "figure": money({"amount": row.amount, "currency": row.currency,
                         "currency_digits": row.currency_digits}),
    }  # fmt: skip
