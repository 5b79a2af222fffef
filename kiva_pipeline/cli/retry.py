"""``retry``: what Kiva refused goes once more."""

from typing import Annotated

import typer

from kiva_pipeline.cli.options import AsJson, By, OneStream, SettingsFile, Stream, Why
from kiva_pipeline.cli.partner import ledger_to_act_on, one_month, partner_settings
from kiva_pipeline.cli.show import counted, print_json, say, say_whole


def retry(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Loans, groups, or LOAN/NOTE of a journal."),
    ] = None,
    month: Annotated[
        str | None, typer.Option("--month", help="Without ids: everything refused of this month.")
    ] = None,
    stream: OneStream = Stream.ALL,
    by: By = None,
    why: Why = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    r"""Send once more what Kiva refused, although the MIS says the same as before.

    Look first: `worklist` shows Kiva's own words, and PA2 may show why (a credit limit, a list that
    lacks a value). When the record itself is wrong, correct it in the MIS instead: a corrected one
    goes by itself. Sends nothing itself: the next run sends each once, and if Kiva refuses it
    again, it waits again.

    \b
    kiva-pipeline retry 000001047 --by "Ada" --why "Kiva raised our limit"
    kiva-pipeline retry --month 2026-10 --stream drafts --by "Ada" --why "Kiva raised our limit"
    """
    from kiva_pipeline.submission.acts import person
    from kiva_pipeline.submission.retry import retry as ask_again

    partner, _ = partner_settings(settings)
    who = person(by, why)
    with ledger_to_act_on(partner) as ledger:
        rows = ask_again(
            ledger,
            partner,
            who,
            ids=ids or (),
            kind=stream.only_kind,
            month=one_month(month),
        )
    if as_json:
        print_json(
            {
                "act": "retry", "by": who.name, "why": who.why,
                "rows": [
                    {"stream": row.kind, "month": row.month, "id": row.business_id}
                    for row in rows
                ],
            }
        )  # fmt: skip
    else:
        say(f"{counted(len(rows), 'row')} will go once more with the next run:")
        for each in sorted({row.month for row in rows}):
            say_whole(f"  kiva-pipeline run {each}")
