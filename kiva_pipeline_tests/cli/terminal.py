"""The command line as a user meets it: what a command printed, and how it ended.

kiva("plan", "2026-10", "--settings", file).code == 10
"""

import contextlib
import io
import json
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kiva_pipeline.cli.main import command_line
from kiva_pipeline_tests.worlds import World

PROGRAM = [sys.executable, "-c", "from kiva_pipeline.cli.main import main; main()"]


@dataclass(frozen=True)
class Done:
    """A command that has ended.

    Attributes:
        code: The exit code.
        out: Standard output.
        err: Standard error.
    """

    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def words(self) -> str:
        """Standard output on one line, however it was wrapped."""
        return " ".join(self.out.split())

    @property
    def error(self) -> str:
        """The one message of a command that failed, after what it said on its way."""
        assert self.err.count("Error:") == 1, self.err
        assert "Traceback" not in self.err
        return self.err[self.err.index("Error:") :]


def kiva(*arguments: object) -> Done:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command_line([str(argument) for argument in arguments])
    return Done(code, out.getvalue(), err.getvalue())


def start(*arguments: object, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def with_mis(world: World, *changes: str, name: str = "other") -> Path:
    """A settings file like the world's, on a copy of its MIS that was changed by SQL."""
    copy = world.folder / f"{name}.sqlite"
    shutil.copy(world.mis, copy)
    with contextlib.closing(sqlite3.connect(copy)) as connection, connection:
        for change in changes:
            connection.execute(change)
    return world.settings_with(f"{name}.yaml", source={"path": copy.name})
