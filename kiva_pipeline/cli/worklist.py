"""``worklist``: what a person must do now."""

from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated

import typer

from kiva_pipeline.cli.options import AsJson, MonthText, SettingsFile
from kiva_pipeline.cli.partner import one_month, partner_ledger, partner_settings
from kiva_pipeline.cli.show import counted, print_json, say, say_whole, sentence, tell, words


def worklist(
    month: MonthText = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write it to this CSV file, for a spreadsheet.")
    ] = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    r"""What a person must do now, most urgent first: one line a thing, without names.

    \b
    kiva-pipeline worklist
    kiva-pipeline worklist 2026-10 --csv worklist.csv
    """
    from kiva_pipeline.reporting.csv_file import write_csv
    from kiva_pipeline.reporting.worklist import WORKLIST_COLUMNS, month_worklist

    partner, _ = partner_settings(settings)
    asked = one_month(month)
    with partner_ledger(partner) as ledger:
        lines = month_worklist(ledger, partner.clock.today(), asked) if ledger else []
    if csv:
        tell(f"{counted(len(lines), 'line')} in {write_csv(csv, lines, list(WORKLIST_COLUMNS))}")
    if as_json:
        print_json({"worklist": lines})
    elif not csv:
        for (month_of, stream, loan_id, state), same in groupby(lines, key=_THING):
            _show(f"{words(state)}  {stream} {month_of}  {loan_id}", list(same))
        say(f"{counted(len(lines), 'thing')} to do." if lines else "Nothing to do.")


_THING = itemgetter("month", "stream", "id", "state")


def _show(heading: str, lines: list[dict[str, str]]) -> None:
    last_day = f"  (by {lines[0]['by']})" if lines[0]["by"] else ""
    say_whole(heading + last_day)
    for line in lines:
        say(f"  {sentence(line['to_do'], line['detail'])}")
    for command in dict.fromkeys(line["command"] for line in lines if line["command"]):
        say_whole(f"  → {command}")
    say()
