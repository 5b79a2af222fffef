"""``export``: the ledger as CSV files, for auditors."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kiva_pipeline.cli.options import AsJson, SettingsFile
from kiva_pipeline.cli.partner import one_month, partner_ledger, partner_settings
from kiva_pipeline.cli.show import counted, print_json, print_table, say
from kiva_pipeline.errors import LedgerError


def export(
    to: Annotated[Path, typer.Option("--to", help="The folder to write into; made if needed.")],
    month: Annotated[
        str | None, typer.Option("--month", help="Only this month, as 2026-10; else all.")
    ] = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    r"""The ledger as CSV files, for auditors: each decision, request, event and approval.

    All files show one moment, also while a sender is at work. Money is in whole units with its
    currency beside it. manifest.json holds each file's rows and SHA-256. The ledger knows no
    borrower's name; the files name loans and clients by their ids, and only you may read them.

    \b
    kiva-pipeline export --to audit-2026
    kiva-pipeline export --to audit-2026-10 --month 2026-10 --json
    """
    from kiva_pipeline.reporting.audit_export import export_ledger

    partner, _ = partner_settings(settings)
    asked = one_month(month)
    with partner_ledger(partner) as ledger:
        if ledger is None:
            raise LedgerError(
                "There is no ledger yet, so nothing was ever sent from here.",
                "state.folder and state.ledger_url in the settings say where it would be.",
            )
        made = export_ledger(ledger, to, asked)
    if as_json:
        print_json({"folder": str(to), **asdict(made)})
        return
    print_table(["file", "rows"], ((f.file, f"{f.rows:,}") for f in made.files), numbers=["rows"])
    say(f"{counted(len(made.files), 'file')} and manifest.json in {to}")
