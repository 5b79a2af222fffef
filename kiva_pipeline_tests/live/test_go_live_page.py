"""``docs/go-live.md``, followed word for word against the sandbox."""

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from kiva_pipeline.demo_home import practice_day
from kiva_pipeline.periods import Month
from kiva_pipeline.settings import load_settings
from kiva_pipeline_tests.live import need

PAGE = Path(__file__).parents[2] / "docs" / "go-live.md"
_BLOCK = re.compile(r"^<!-- (?P<name>[a-z ]+) -->\n```bash\n(?P<commands>.*?)^```$", re.M | re.S)
DONE = {0, 10}  # 10: done, and rows wait for a person


@dataclass
class Reader:
    """Somebody who follows the page in one terminal, block by block.

    Attributes:
        folder: Where they are.
        told: What each block showed, in one line.
    """

    folder: Path
    told: dict[str, str] = field(default_factory=dict)
    _typed: list[str] = field(default_factory=list)

    def follows(self, name: str, commands: str) -> None:
        """Type a block, after the variables that earlier ones set; answer every question by yes."""
        this = Month.of(practice_day())
        commands = re.sub(r"^THIS=\S+", f"THIS={this}", commands, flags=re.M)
        commands = re.sub(r"^LAST=\S+", f"LAST={this.plus(-1)}", commands, flags=re.M)
        kept = [line for line in commands.splitlines() if re.match(r"(export )?[A-Z_]+=", line)]
        count = "codes=; trap 'codes=\"$codes $?\"' ERR"
        script = "\n".join([*self._typed, count, commands, 'echo "CODES$codes"'])
        done = subprocess.run(
            ["bash", "-u", "-c", script],
            cwd=self.folder, env=_environment(), input="y\n" * 5, text=True, capture_output=True,
            check=False,
        )  # fmt: skip
        *_, codes = done.stdout.split("CODES")
        shown = f"{done.stdout} {done.stderr}"
        assert {int(code) for code in codes.split()} <= DONE, f"{name}: {shown}"
        self.told[name] = re.sub(r"\s+", " ", shown)
        self._typed += kept


def _environment() -> dict[str, str]:
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("KIVA_", "DAGSTER_"))}
    beside = str(Path(sys.executable).parent)
    return ours | {"PATH": f"{beside}{os.pathsep}{ours['PATH']}", "COLUMNS": "300"}


@contextlib.contextmanager
def another_terminal(folder: Path, command: str) -> Iterator[None]:
    """The block that runs for as long as the rehearsal takes."""
    running = subprocess.Popen(
        command.split(), cwd=folder, env=_environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout
        assert "is at http" in running.stdout.readline()
        yield
    finally:
        running.terminate()
        running.communicate()


def blocks() -> dict[str, str]:
    return {m["name"]: m["commands"] for m in _BLOCK.finditer(PAGE.read_text(encoding="utf-8"))}


def test_every_block_of_the_page_has_a_name_by_which_it_is_tried():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("```bash") == len(blocks()) > 10


@pytest.mark.slow
def test_the_page_leads_to_a_partner_who_is_live_without_a_duplicate(tmp_path):
    need(shutil.which("bash"), "no bash on this machine")
    page, reader = blocks(), Reader(tmp_path)
    reader.follows("rehearsal", page.pop("rehearsal"))
    settings = load_settings(tmp_path / "rehearsal" / "partner.yaml")
    with another_terminal(tmp_path, page.pop("rehearsal sandbox").strip()):
        counts = {}
        for name, commands in page.items():
            reader.follows(name, commands)
            facts = httpx.get(f"{settings.hosts.base_url}/_sandbox/facts").json()
            counts[name] = facts["posts"]
    assert facts["duplicate_effects"] == []
    assert {counts[name] for name in ("look", "template", "dry run", "adopt")} == {0}
    assert (counts["one draft"], counts["one figure"]) == (1, 2)
    assert counts["the rest"] > 20
    assert counts["again"] == counts["the rest"]
    assert "Nothing was adopted: this was a dry run." in reader.told["dry run"]
    assert "Adopted." in reader.told["adopt"]
    with sqlite3.connect(settings.state.folder / "ledger.sqlite") as ledger:
        named = "SELECT count(*) FROM submission WHERE reason_code = 'adopted_waiting'"
        assert ledger.execute(named).fetchone() == (5,)
        signed = "SELECT DISTINCT who FROM event WHERE action = 'adopted'"
        assert ledger.execute(signed).fetchall() == [("Ana Souza",)]
