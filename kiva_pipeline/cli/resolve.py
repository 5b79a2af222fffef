"""``resolve``: what a person found in PA2 about a row whose answer was lost."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kiva_pipeline.cli.options import AsJson, By, OneStream, SettingsFile, Stream, Why
from kiva_pipeline.cli.partner import ledger_to_act_on, one_month, partner_settings
from kiva_pipeline.cli.show import counted, print_json, say, say_whole, tell
from kiva_pipeline.errors import SettingsError
from kiva_pipeline.settings import Settings

if TYPE_CHECKING:
    from kiva_pipeline.submission.resolve import ListedAtKiva

_WAITING = 10
_LINES = 10


def resolve(
    target: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="A loan's or group's id, LOAN/NOTE of a journal, or the request's id.",
        ),
    ],
    arrived: Annotated[bool, typer.Option("--arrived", help="PA2 has it.")] = False,
    not_there: Annotated[
        bool,
        typer.Option("--not-there", help="PA2 does not have it: it is planned anew, and sent."),
    ] = False,
    reference: Annotated[
        str,
        typer.Option(
            "--reference",
            "--uuid",
            "--archive-id",
            "--upload-id",
            help="What PA2 shows with it, if you have it: a draft's uuid, a journal's archive id.",
            show_default=False,
        ),
    ] = "",
    stream: OneStream = Stream.ALL,
    month: Annotated[
        str | None, typer.Option("--month", help="Where more than one month is in doubt.")
    ] = None,
    by: By = None,
    why: Why = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask again whether a draft is surely not there.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Go on where Kiva's list of loans can't be asked.")
    ] = False,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    r"""Say what PA2 shows about something whose answer was lost; nothing is sent by it.

    Without an answer it says what to look for, and ends with exit code 10. --arrived: the row
    counts as accepted. --not-there: it ends, and the next run plans a new one from what the MIS
    says then, never the old bytes. A wrong answer can be given anew as long as nothing was sent
    since. A request's id settles all rows of that request.

    \b
    kiva-pipeline resolve 000001047
    kiva-pipeline resolve 000001047 --arrived --by "Ada" --why "seen among the drafts"
    kiva-pipeline resolve 000001047 --not-there --by "Ada" --why "searched all drafts"
    """  # fmt: skip
    from kiva_pipeline.reporting.next_step import look_for
    from kiva_pipeline.submission.acts import person
    from kiva_pipeline.submission.resolve import Answer, asked_about
    from kiva_pipeline.submission.resolve import resolve as settle

    partner, _ = partner_settings(settings)
    if arrived and not_there:
        raise SettingsError("It can't be both there and not there.", "Give one answer.")
    of = {"kind": stream.only_kind, "month": one_month(month)}
    with ledger_to_act_on(partner) as ledger:
        with ledger.reading() as connection:
            rows = [dict(row._mapping) for row in asked_about(connection, target, **of)]  # noqa: SLF001
        if not (arrived or not_there):
            _show_question(rows, as_json=as_json)
            raise typer.Exit(_WAITING)
        who = person(by, why)
        drafts = [row for row in rows if row["kind"] == "loan_draft"]
        if not_there and drafts and not yes:
            _confirm(drafts)
        settled = settle(
            ledger,
            partner,
            target,
            Answer.ARRIVED if arrived else Answer.NOT_THERE,
            who,
            **of,
            reference=reference,
            confirmed=True,
            listed_at_kiva=None if offline else asking_kiva(partner),
        )
    told = {
        "act": "resolve", "answer": "arrived" if arrived else "not_there", "by": who.name,
        "why": who.why,
        "rows": [
            {"stream": row.kind, "month": row.month, "id": row.business_id, "was": row.state,
             "request_id": row.attempt_id, "looked_for": look_for(row._mapping)}  # noqa: SLF001
            for row in settled
        ],
    }  # fmt: skip
    if as_json:
        print_json(told)
    elif arrived:
        say(f"{counted(len(settled), 'row')} settled: Kiva has it. Nothing of it is sent again.")
    else:
        months = sorted({row.month for row in settled})
        say(f"{counted(len(settled), 'row')} settled: Kiva does not have it. The next run plans it"
            " anew from what the MIS says then:")  # fmt: skip
        for each in months:
            say_whole(f"  kiva-pipeline run {each}")


def asking_kiva(settings: Settings) -> "ListedAtKiva":
    """Asks ``GET /loans`` for some ids, in the compared form of ids."""

    def listed(ids: Collection[str]) -> list[str]:
        from kiva_pipeline.partner_api.client import PartnerApi
        from kiva_pipeline.settings import Secrets
        from kiva_pipeline.submission.conflicts import normalised_id, normalised_ids

        tell("… asking Kiva for its loans")
        with PartnerApi.open(settings, Secrets.from_environment(settings.environment)) as api:
            known = normalised_ids(api.loans()["internal_loan_id"])
        return [loan_id for loan_id in ids if normalised_id(loan_id) in known]

    return listed


def _confirm(drafts: list[dict[str, Any]]) -> None:
    from kiva_pipeline.reporting.next_step import look_for
    from kiva_pipeline.submission.resolve import DANGER

    for row in drafts:
        tell(look_for(row))
    tell(DANGER)
    try:
        sure = typer.confirm("Is it surely not in PA2?", default=False, err=True)
    except typer.Abort:
        raise SettingsError(
            "Nobody is there to be asked whether it is surely not in PA2.", "Add --yes if it is so."
        ) from None
    if not sure:
        raise SettingsError(
            "Nothing was changed.", "`kiva-pipeline doubts` says what to look for in PA2."
        )


def _show_question(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    from kiva_pipeline.reporting.next_step import commands, look_for

    if as_json:
        print_json(
            {
                "rows": [
                    {"stream": row["kind"], "month": row["month"], "id": row["business_id"],
                     "state": row["state"], "look_for": look_for(row), "commands": commands(row)}
                    for row in rows
                ]
            }
        )  # fmt: skip
        return
    say(f"{counted(len(rows), 'row')} in doubt. Look first:", style="bold")
    for row in rows[:_LINES]:
        say(f"  {look_for(row)}")
    if len(rows) > _LINES:
        say(f"  … and {len(rows) - _LINES} more of the same request.")
    say("Then say what you found:")
    for command in commands(rows[0]):
        say_whole(f"  {command}")
