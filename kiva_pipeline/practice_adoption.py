"""Adopts a practice partner's ledger: the demo and the tests begin as a partner who goes live.

It goes the way of ``kiva-pipeline adopt``, with the files that a person would fill in. What must
not break: the figures are what the sandbox was seeded with, never what the MIS says now; else the
guard that holds the two against each other would compare a thing with itself.
"""

from pathlib import Path

from kiva_pipeline.adopting import carry_out, last_final_month, prepare_adoption, proposals
from kiva_pipeline.reporting.csv_file import write_csv
from kiva_pipeline.sandbox.by_hand import REPORT_FILE, WAITING_FILE, write_pa2_files
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.adopt import AdoptionReport
from kiva_pipeline.submission.adoption_files import GROUP_COLUMNS, AdoptionFiles
from kiva_pipeline.submission.ledger_writes import Actor

_WHO, _WHY = "practice", "a practice partner goes live"
_GROUPS_FILE = "group-members.csv"


def pa2_files(settings: Settings, sandbox: Path, folder: Path) -> AdoptionFiles:
    """Write what a person would find out in PA2 and in the MIS before the adoption.

    Args:
        settings: The practice partner's; its sandbox must be running.
        sandbox: The sandbox's file.
        folder: Where the files go.
    """
    write_pa2_files(sandbox, folder, settings.partner.id, last_final_month(settings))
    _, groups = proposals(settings)
    named: dict[str, list[dict[str, str]]] = {}
    for line in groups:
        named.setdefault(line["group_id"], []).append(line)
    # Only groups that the MIS knows as Kiva does: of the others a person would have to find out.
    lines = [
        line
        for members in named.values()
        if str(len(members)) == members[0]["kiva_borrowers"]
        for line in members
    ]
    return AdoptionFiles(
        drafts=folder / WAITING_FILE,
        reported=folder / REPORT_FILE,
        groups=write_csv(
            folder / _GROUPS_FILE,
            [{name: line[name] for name in GROUP_COLUMNS} for line in lines],
            GROUP_COLUMNS,
        ),
    )


def adopt_practice(settings: Settings, sandbox: Path, folder: Path) -> AdoptionReport:
    """Tell a practice partner's ledger what its sandbox has: loans, drafts, members, figures.

    Args:
        settings: As ``pa2_files``.
        sandbox: As ``pa2_files``.
        folder: As ``pa2_files``.

    Raises:
        PipelineError: The sandbox does not answer, or another sender is at work.
    """
    files = pa2_files(settings, sandbox, folder)
    prepared = prepare_adoption(settings, files, go_live_on=None, why=_WHY)
    return carry_out(settings, prepared, Actor(who=_WHO, run_id=""))
