"""An adoption in words: what it would change, and what a person should know before agreeing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kiva_pipeline.adopting import Prepared

ADOPTION_COLUMNS = ["what", "to be adopted", "known already"]
_SHOWN_IDS = 5


def adoption_table(prepared: "Prepared") -> list[tuple[str, str, str]]:
    """``ADOPTION_COLUMNS``: how much of what is new to the ledger."""
    new, asked = prepared.changes, prepared.adoption
    rows = [
        ("loans that Kiva lists", new.loans, new.known_already),
        ("drafts that wait in PA2", new.drafts, len(asked.waiting_drafts) - new.drafts),
        ("last reported figures", new.baselines, len(asked.baselines) - new.baselines),
        ("groups with their members", new.groups, len(asked.members) - new.groups),
    ]
    if new.settled:
        rows.append(("drafts in doubt that have arrived", new.settled, 0))
    return [(what, f"{adopts:,}", f"{known:,}") for what, adopts, known in rows]


def adoption_warnings(prepared: "Prepared") -> list[str]:
    """What a person should know before saying yes."""
    new, told = prepared.changes, []
    if ids := new.groups_without_members:
        told.append(
            f"Group loans without members: {_some(ids)}. Their figures will be missing from the"
            " report until a file of groups names the members' loans."
        )
    if ids := prepared.not_reported:
        told.append(
            f"Loans that Kiva expects, without a last reported figure: {_some(ids)}. Their first"
            " figure is held for a person to approve."
        )
    if ids := new.other_figures:
        told.append(
            f"Figures of the file that differ from what the ledger has for the month: {_some(ids)}."
            " The ledger's stand."
        )
    if prepared.left_empty:
        told.append(
            f"Lines of the file of reported figures without a figure: {prepared.left_empty:,}."
            " They say nothing."
        )
    return told


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:_SHOWN_IDS])
    more = f" and {len(ids) - _SHOWN_IDS:,} more" if len(ids) > _SHOWN_IDS else ""
    return f"{len(ids):,} ({shown}{more})"
