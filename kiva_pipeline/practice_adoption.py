"""Adopts a practice partner's ledger: the demo and the tests begin as a partner who goes live.

It goes the way of ``kiva-pipeline adopt``, with the files that a person would fill in. What must
not break: the figures are what the sandbox was seeded with, never what the MIS says now; else the
guard that holds the two against each other would compare a thing with itself.
"""

from pathlib import Path

from kiva_pipeline.adopting import carry_out, last_final_month, prepare_adoption, proposals
from kiva_pipeline.mis import records
from kiva_pipeline.mis.open import open_source
from kiva_pipeline.money import to_digits
from kiva_pipeline.periods import Month
from kiva_pipeline.reporting.csv_file import write_csv
from kiva_pipeline.rules.members import arrange_members
from kiva_pipeline.sandbox.by_hand import (
    REPORT_FILE,
    WAITING_FILE,
    DraftByHand,
    post_by_hand,
    write_pa2_files,
)
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.adopt import AdoptionReport
from kiva_pipeline.submission.adoption_files import GROUP_COLUMNS, AdoptionFiles
from kiva_pipeline.submission.ledger_writes import Actor

_WHO, _WHY = "practice", "a practice partner goes live"
_GROUPS_FILE = "group-members.csv"


def type_drafts_by_hand(settings: Settings, sandbox: Path, how_many: int) -> list[str]:
    """Let a person have typed some of the running month's drafts into PA2: they wait there.

    Args:
        settings: The practice partner's.
        sandbox: The sandbox's file.
        how_many: At most so many, of individuals and of groups.

    Returns:
        Their ids.
    """
    with open_source(settings) as source:
        month = Month.of(settings.clock.today())
        members = arrange_members(records.canonical_loans(source.loans(month)))
    whole = (
        members["principal"].notna() & members["disbursed_on"].notna() & (members["loan_id"] != "")
    )
    drafts = [
        DraftByHand(
            loan_id=str(draft_id),
            client_id=str(rows["group_client_id"].iloc[0] or rows["client_id"].iloc[0]),
            currency=str(rows["currency"].iloc[0]),
            disbursed_on=rows["disbursed_on"].iloc[0].date().isoformat(),
            borrowers=[
                (loan_id, client_id, to_digits(int(principal), int(digits)))
                for loan_id, client_id, principal, digits in zip(
                    rows["loan_id"], rows["client_id"], rows["principal"],
                    rows["currency_digits"], strict=True,
                )
            ],
        )
        for draft_id, rows in members.groupby("business_id", sort=True)
        if whole[rows.index].all() and rows["currency_digits"].notna().all()
    ]  # fmt: skip
    typed = drafts[:: max(1, len(drafts) // how_many)][:how_many]
    post_by_hand(sandbox, settings.partner.id, typed)
    return [draft.loan_id for draft in typed]


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
