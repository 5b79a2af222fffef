"""A world to test in: a demo MIS, a running sandbox that knows its loans, and the settings of both.

with demo_world(tmp_path_factory, loans=300) as world: ...
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from kiva_pipeline.periods import Month
from kiva_pipeline.practice_adoption import adopt_practice
from kiva_pipeline.sandbox.demo_mis import DemoFacts
from kiva_pipeline.sandbox.practice import (
    fill_practice_folder,
    mis_file,
    pa2_folder,
    sandbox_file,
    write_practice_settings,
)
from kiva_pipeline.sandbox.server import RunningSandbox
from kiva_pipeline.settings import Settings, load_settings

PRACTICE_DAY = date(2026, 10, 6)
OPEN_MONTH, RUNNING_MONTH = Month(2026, 9), Month(2026, 10)


@dataclass(frozen=True)
class World:
    """One practice partner.

    Attributes:
        folder: Holds everything; nobody else's.
        settings: As loaded from ``settings_file``.
        settings_file: The partner's YAML.
        url: The running sandbox.
        demo: What the MIS was made with.
    """

    folder: Path
    settings: Settings
    settings_file: Path
    url: str
    demo: DemoFacts

    @property
    def mis(self) -> Path:
        """The SQLite file of the MIS."""
        return mis_file(self.folder)

    @property
    def sandbox(self) -> Path:
        """The SQLite file of the sandbox."""
        return sandbox_file(self.folder)

    def facts(self) -> dict[str, Any]:
        """What the sandbox received and applied."""
        answer: dict[str, Any] = httpx.get(f"{self.url}/_sandbox/facts").json()
        return answer

    def posts(self) -> int:
        """How many POSTs of drafts, repayments or journals the sandbox received."""
        return int(self.facts()["posts"])

    def settings_with(self, name: str = "other.yaml", **sections: dict[str, Any]) -> Path:
        """A settings file like this world's, with some keys of some sections replaced.

        ``world.settings_with(partner={"id": "999"})``; other scalars: ``environment="staging"``.
        """
        file = self.folder / name
        file.write_text(_with(self.settings_file.read_text(encoding="utf-8"), sections))
        return file


@contextlib.contextmanager
def demo_world(
    tmp_path_factory: pytest.TempPathFactory,
    loans: int = 300,
    *,
    today: date = PRACTICE_DAY,
    chance: int = 7,
    adopted: bool = True,
    **sections: Any,
) -> Iterator[World]:
    """A practice partner with its sandbox running; 300 loans hold every kind of dirt.

    Args:
        tmp_path_factory: Pytest's.
        loans: How many loans the MIS holds.
        today: The practice day.
        chance: Another number, another portfolio.
        adopted: The ledger knows what the sandbox was seeded with; else it is not born yet.
        sections: Settings to replace: ``repayments={"repayments_replace": True}``.
    """
    folder = tmp_path_factory.mktemp("world")
    demo = fill_practice_folder(folder, today=today, loans=loans, chance=chance)
    with RunningSandbox(sandbox_file(folder)) as sandbox:
        port = int(sandbox.url.rsplit(":", 1)[1])
        file = write_practice_settings(folder, today=today, first_month=demo.first_month, port=port)
        file.write_text(_with(file.read_text(encoding="utf-8"), sections), encoding="utf-8")
        settings = load_settings(file)
        if adopted:
            adopt_practice(settings, sandbox_file(folder), pa2_folder(folder))
        yield World(folder, settings, file, sandbox.url, demo)


def _with(text: str, sections: dict[str, Any]) -> str:
    content = yaml.safe_load(text)
    for name, value in sections.items():
        content[name] = {**content.get(name, {}), **value} if isinstance(value, dict) else value
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
