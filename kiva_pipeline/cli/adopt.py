"""``adopt``: a ledger is told what Kiva has already, before it may send anything."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kiva_pipeline.cli.options import AsJson, By, SettingsFile, Why
from kiva_pipeline.cli.partner import partner_settings
from kiva_pipeline.cli.show import counted, print_json, print_table, say, tell
from kiva_pipeline.errors import PipelineError, SettingsError
from kiva_pipeline.settings import Settings

if TYPE_CHECKING:
    from kiva_pipeline.adopting import Prepared
    from kiva_pipeline.submission.adopt import AdoptionReport

_TEMPLATES = {
    "drafts.csv": ("loan_id",),
    "reported.csv": (
        "loan_id", "month", "principal_repaid", "currency", "kiva_principal", "kiva_status",
    ),
    "groups.csv": ("group_id", "loan_id", "kiva_borrowers"),
}  # fmt: skip

_TO_DO = {
    "drafts.csv": "Write the loan id of each draft that waits in PA2, one a line; a group's own id"
    " for a group. Leave only the heading if none waits.",
    "reported.csv": "Write what was last reported of each loan into principal_repaid, from the last"
    " report in PA2; correct the month where it was an earlier one. Leave it empty where nothing"
    " was ever reported.",
    "groups.csv": "Check the members: they are those that the MIS has in the group today, and must"
    " be those that the loan was posted with.",
}

_File = Path | None


def adopt(
    go_live: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="The day from which this ledger posts; else today.",
            show_default=False,
        ),
    ] = None,
    drafts: Annotated[
        _File,
        typer.Option(help="CSV of the drafts that wait in PA2: loan_id. Needed the first time."),
    ] = None,
    reported: Annotated[
        _File, typer.Option(help="CSV of last reports: loan_id, month, principal_repaid.")
    ] = None,
    groups: Annotated[
        _File, typer.Option(help="CSV of the members of group loans: group_id, loan_id.")
    ] = None,
    by: By = None,
    why: Why = None,
    template: Annotated[
        _File, typer.Option(metavar="FOLDER", help="Only write the three CSV files to fill in.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check, and show what would be adopted.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before it is adopted.")] = False,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    r"""Tell the ledger what Kiva has already, so that nothing of it is sent twice.

    It takes the loans that Kiva lists today by itself. Kiva's API can't show the drafts that wait
    in PA2, nor what was last reported: those come in CSV files, which are checked line by line
    against Kiva and the MIS. While one line is wrong, nothing is adopted.

    Needed once, on the day of going live (see docs/go-live.md), and again after a backup of the
    ledger was restored or a loan was posted by hand. Adopting again adds what is new and changes
    nothing that the ledger knows.

    \b
    kiva-pipeline adopt --template adoption
    kiva-pipeline adopt --drafts adoption/drafts.csv --reported adoption/reported.csv --dry-run
    kiva-pipeline adopt --drafts adoption/drafts.csv --reported adoption/reported.csv \\
        --groups adoption/groups.csv --by "Ana Souza" --why "go-live"
    """
    partner, _ = partner_settings(settings)
    if template:
        _write_templates(partner, template, as_json=as_json)
        return
    from kiva_pipeline.adopting import carry_out, prepare_adoption
    from kiva_pipeline.submission.acts import Person, person
    from kiva_pipeline.submission.adoption_files import AdoptionFiles

    who = Person(by or "", why or "") if dry_run else person(by, why)
    if as_json and not (dry_run or yes):
        raise SettingsError("--json can't ask you.", "Add --yes, or --dry-run to look first.")
    prepared = prepare_adoption(
        partner,
        AdoptionFiles(drafts, reported, groups),
        go_live_on=go_live.date() if go_live else None,
        why=who.why,
        progress=lambda step: tell(f"… {step}"),
    )
    if not as_json:
        _show(partner, prepared)
    changes = prepared.changes
    if not dry_run:
        if not (yes or typer.confirm("Adopt this?")):
            say("Nothing was adopted.")
            raise typer.Exit(1)
        tell("… adopting")
        changes = carry_out(partner, prepared, who.actor)
        if not as_json:
            say(f"Adopted. This ledger posts for partner {partner.partner.id} in"
                f" {partner.environment} since {changes.go_live_on}.", style="bold")  # fmt: skip
    elif not as_json:
        say("Nothing was adopted: this was a dry run.")
    if as_json:
        print_json(_as_json(partner, prepared, changes, adopted=not dry_run))


def _show(partner: Settings, prepared: "Prepared") -> None:
    from kiva_pipeline.reporting.adoption_lines import (
        ADOPTION_COLUMNS,
        adoption_table,
        adoption_warnings,
    )

    new = prepared.changes
    say(f"Partner {partner.partner.id} in {partner.environment}, live since {new.go_live_on}")
    say()
    print_table(ADOPTION_COLUMNS, adoption_table(prepared), numbers=ADOPTION_COLUMNS[1:])
    for warning in adoption_warnings(prepared):
        say(f"\n{warning}")
    say()


def _as_json(
    partner: Settings, prepared: "Prepared", changes: "AdoptionReport", *, adopted: bool
) -> dict[str, Any]:
    return {
        "partner": partner.partner.id,
        "environment": partner.environment.value,
        "adopted": adopted,
        "go_live_on": changes.go_live_on,
        "loans": changes.loans,
        "drafts": changes.drafts,
        "figures": changes.baselines,
        "groups_named": changes.groups,
        "settled": changes.settled,
        "loans_known_already": changes.known_already,
        "groups_without_members": changes.groups_without_members,
        "not_reported": prepared.not_reported,
        "other_figures": changes.other_figures,
        "lines_left_empty": prepared.left_empty,
    }


def _write_templates(partner: Settings, folder: Path, *, as_json: bool) -> None:
    there = [str(folder / name) for name in _TEMPLATES if (folder / name).exists()]
    if there:
        raise SettingsError(
            f"{', '.join(there)} is there already; nothing was written over it.",
            "Name another folder.",
        )

    from kiva_pipeline.adopting import proposals
    from kiva_pipeline.frames import private_folder
    from kiva_pipeline.reporting.csv_file import write_csv

    reported, groups = proposals(partner, lambda step: tell(f"… {step}"))
    content = {"drafts.csv": [], "reported.csv": reported, "groups.csv": groups}
    try:
        private_folder(folder)
        files = [
            write_csv(folder / name, content[name], list(columns))
            for name, columns in _TEMPLATES.items()
        ]
    except OSError as error:
        raise PipelineError(
            f"{folder} can't be written ({type(error).__name__}).", "Name another folder."
        ) from error
    if as_json:
        print_json({"files": {file.name: len(content[file.name]) for file in files}})
        return
    for file in files:
        say(f"{file}  ({counted(len(content[file.name]), 'line')})\n  {_TO_DO[file.name]}")
