"""A practice partner in one folder: its MIS, the Kiva side of it, and the settings that join them.

The demo and the tests make their partner here. What must not break: the sandbox knows exactly the
loans that the MIS was made with, so that a report has something to answer for.
"""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import yaml

from kiva_pipeline.demo_home import DEMO_PARTNER_ID, demo_settings_file, demo_yaml
from kiva_pipeline.frames import private_folder
from kiva_pipeline.periods import Month
from kiva_pipeline.sandbox.demo_mis import (
    DEFAULT_LOANS,
    MAPPING,
    DemoFacts,
    create_demo_mis,
    loans_at_kiva,
)
from kiva_pipeline.sandbox.seed import seed

PRACTICE_SEED = 7
_PARTNER_NAME = "Demo Microfinance"


def mis_file(folder: Path) -> Path:
    """The practice partner's MIS."""
    return folder / "mis.sqlite"


def sandbox_file(folder: Path) -> Path:
    """What the sandbox remembers."""
    return folder / "sandbox.sqlite"


def pa2_folder(folder: Path) -> Path:
    """What a person finds in PA2, as files: the sandbox has no pages for it."""
    return folder / "pa2"


def fill_practice_folder(
    folder: Path,
    *,
    today: date,
    loans: int = DEFAULT_LOANS,
    chance: int = PRACTICE_SEED,
    progress: Callable[[int, int], None] | None = None,
) -> DemoFacts:
    """Make the MIS and seed a sandbox with the loans that Kiva has of it already.

    Args:
        folder: Made with mode 0700 unless it is there; both files are made anew.
        today: The practice day; the report of the month before it is open.
        loans: How many loans the MIS holds.
        chance: Another number, another portfolio.
        progress: Told now and then how many loans of how many are written.

    Returns:
        What is in the MIS, in numbers.
    """
    private_folder(folder)
    facts = create_demo_mis(
        mis_file(folder), today=today, loans=loans, seed=chance, progress=progress
    )
    store = sandbox_file(folder)
    for left in (store, *folder.glob(f"{store.name}-*")):
        left.unlink(missing_ok=True)
    seed(
        store,
        partner_id=DEMO_PARTNER_ID,
        partner_name=_PARTNER_NAME,
        loans=loans_at_kiva(mis_file(folder)),
        currencies=facts.currencies,
        open_month=Month.of(today).plus(-1),
    )
    return facts


def write_practice_settings(folder: Path, *, today: date, first_month: Month, port: int) -> Path:
    """Write the practice partner's ``partner.yaml``; return where it is."""
    file = demo_settings_file(folder)
    file.write_text(practice_yaml(today, first_month, port), encoding="utf-8")
    return file


def practice_yaml(today: date, first_month: Month, port: int) -> str:
    """The demo's settings with the spellings that its MIS needs."""
    spellings = yaml.safe_dump({"mapping": MAPPING}, allow_unicode=True, sort_keys=False)
    return (
        demo_yaml(today, first_month, port)
        + "\n# What the MIS spells otherwise than Kiva's lists. Case, accents and spaces need no"
        + " entry.\n"
        + spellings
    )
