"""``backup``: a whole copy of the ledger's file, also while a sender is at work."""

from pathlib import Path
from typing import Annotated

import typer

from kiva_pipeline.cli.options import AsJson, SettingsFile
from kiva_pipeline.cli.partner import partner_ledger, partner_settings
from kiva_pipeline.cli.show import print_json, say
from kiva_pipeline.errors import LedgerError


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; not there yet.")],
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    r"""Copy the ledger as it is at this moment and look the copy over. Safe at any time.

    Keep it on another machine, with field.key of the state folder, and don't touch
    ledger.witness.json: by it a restored ledger is recognised, and sends nothing until it is
    adopted again. A ledger in PostgreSQL is backed up with pg_dump.

    \b
    kiva-pipeline backup /backups/ledger-2026-10-06.sqlite
    """
    from kiva_pipeline.submission.backup import back_up

    partner, _ = partner_settings(settings)
    with partner_ledger(partner) as ledger:
        if ledger is None:
            raise LedgerError(
                "There is no ledger yet, so there is nothing to back up.",
                "state.folder and state.ledger_url in the settings say where it would be.",
            )
        made = back_up(ledger, file)
    if as_json:
        print_json({"file": str(made.file), "bytes": made.size, "rows": made.rows})
    else:
        say(f"{made.file}: {made.rows['submission']:,} decisions, {made.rows['attempt']:,}"
            f" requests, {made.size:,} bytes; whole.")  # fmt: skip
