"""A partner's settings file for a ledger, for the commands that only read it."""

import json
from pathlib import Path
from typing import Any

from kiva_pipeline.cli.main import command_line


class Partner:
    """What a person types at a terminal of this partner, and what comes back."""

    def __init__(self, folder: Path, ledger_url: str, **sections: Any) -> None:
        self.file = folder / "partner.yaml"
        content = {
            "version": 1, "environment": "sandbox", "partner": {"id": "145"},
            "calendar": {"timezone": "Africa/Kigali", "first_month": "2026-01",
                         "practice_today": "2026-10-06"},
            "source": {"kind": "demo", "path": "mis.sqlite"},
            "repayments": {"amount": "principal_repaid", "column_format": "two_column"},
            "journals": {"mark": {"kind": "prefix", "value": "KIVA:"}},
            "state": {"ledger_url": ledger_url, "folder": "state"},
        } | sections  # fmt: skip
        self.file.write_text(json.dumps(content))  # JSON is YAML

    def types(self, *arguments: object) -> int:
        """The exit code of a command."""
        return command_line([*map(str, arguments), "--settings", str(self.file)])
