"""``held`` and ``approve``: what a guard holds for a person, and their word that it may go."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kiva_pipeline.cli.options import AsJson, By, SettingsFile, Why
from kiva_pipeline.cli.partner import ledger_to_act_on, partner_ledger, partner_settings
from kiva_pipeline.cli.show import counted, print_json, print_table, say, say_whole, words
from kiva_pipeline.errors import SettingsError
from kiva_pipeline.periods import Month

if TYPE_CHECKING:
    from kiva_pipeline.submission.approve import Waiting

_WAITING = 10
_LINES = 40


def held(
    month: Annotated[
        str | None,
        typer.Argument(metavar="[MONTH]", help="As 2026-09; without it, the last finished month."),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show the whole table.")] = False,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    r"""The table of what is held or missing in a month, and what each guard means.

    It shows what the last run decided, each figure beside the one that Kiva has, and whether an
    approval lets it go. Look the loans up in the MIS and, for the figures that Kiva has, in PA2's
    repayment report of the month before. The digest names the table: `approve --table` takes it,
    and refuses any other. Exit code 10 when anything waits.

    \b
    kiva-pipeline held 2026-09
    kiva-pipeline held 2026-09 --json
    """
    from kiva_pipeline.reporting.held_lines import held_lines
    from kiva_pipeline.submission.approve import waiting

    partner, _ = partner_settings(settings)
    asked = Month.parse(month) if month else Month.of(partner.clock.today()).plus(-1)
    with partner_ledger(partner) as ledger:
        if ledger is None:
            if as_json:
                print_json({"month": str(asked), "table": None, "rows": []})
            else:
                say(f"Nothing of {asked} waits: there is no ledger yet.")
            return
        with ledger.reading() as connection:
            shown = waiting(connection, asked)
    lines = held_lines(shown.rows)
    if as_json:
        print_json({"month": str(asked), "table": shown.digest, "rows": lines})
    else:
        _show(shown, lines, at_most=None if show_all else _LINES)
    if any(not line["approved"] for line in lines):
        raise typer.Exit(_WAITING)


def approve(
    loan_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One loan or group of the table.")
    ] = None,
    month: Annotated[
        str | None, typer.Option("--month", help="The month of the table, as 2026-09.")
    ] = None,
    table: Annotated[
        str | None,
        typer.Option("--table", metavar="DIGEST", help="The whole table that `held` showed."),
    ] = None,
    by: By = None,
    why: Why = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    r"""Let go what a guard holds: one row, or the whole table of a month as it was shown.

    Look first: `held` shows the figure beside the one that Kiva has. Is it right in the MIS? Then
    it may go. An approval is of this very figure: another one is held again. Sends nothing itself:
    the next run does. What a rule holds (another currency, client or principal than Kiva's) goes
    only once its cause is mended.

    \b
    kiva-pipeline approve 000001047 --month 2026-09 --by "Ada" --why "payment was reversed"
    kiva-pipeline approve --month 2026-09 --table 5d1f0c22ab90 --by "Ada" --why "first report"
    """
    from kiva_pipeline.reporting.held_lines import held_lines
    from kiva_pipeline.submission.acts import person
    from kiva_pipeline.submission.approve import approve as let_go

    partner, _ = partner_settings(settings)
    if not month:
        raise SettingsError("Which month is it?", "Add --month, as `kiva-pipeline held` has it.")
    asked, who = Month.parse(month), person(by, why)
    with ledger_to_act_on(partner) as ledger:
        rows = let_go(ledger, partner, asked, who, loan_id=loan_id, table=table)
    lines = held_lines(rows)
    going = sum(line["goes_if_approved"] for line in lines)
    if as_json:
        print_json({"act": "approve", "month": str(asked), "by": who.name, "why": who.why,
                    "rows": lines})  # fmt: skip
        return
    say(f"{counted(len(lines), 'row')} of {asked} approved by {who.name}: {going:,} go with the"
        " next run, as they are now.")  # fmt: skip
    if going < len(lines):
        say(f"{counted(len(lines) - going, 'row')} can't go, but the month no longer waits for"
            " them.")  # fmt: skip
    say_whole(f"  kiva-pipeline run {asked}")


def _show(shown: "Waiting", lines: list[dict[str, Any]], *, at_most: int | None) -> None:
    if not lines:
        say(f"Nothing of {shown.month} waits for a person.")
        return
    say(f"{counted(len(lines), 'row')} of {shown.month} wait for a person.", style="bold")
    say()
    listed = lines if at_most is None else lines[:at_most]
    print_table(
        ["id", "why", "Kiva has", "now", "an approval"],
        (
            (line["id"], f"{words(line['state'])}, {words(line['guard'])}", line["kiva_has"],
             line["figure"], "given" if line["approved"] else line["approval"])
            for line in listed
        ),
        texts=["why", "an approval"],
    )  # fmt: skip
    if len(listed) < len(lines):
        say(f"… and {counted(len(lines) - len(listed), 'row')} more: `--all` shows them.")
    say("\nWhat the guards mean:")
    for guard, sentence in dict.fromkeys((line["guard"], line["means"]) for line in lines):
        say(f"  {words(guard)}: {sentence}")
    digest = shown.digest[:12]
    say("\nIf every figure is right, approve the table as it is here:")
    say_whole(
        f'  kiva-pipeline approve --month {shown.month} --table {digest} --by NAME --why "REASON"'
    )
    say("or one row that an approval lets go:")
    say_whole(f'  kiva-pipeline approve ID --month {shown.month} --by NAME --why "REASON"')
