"""The folder of the demo: made anew each time, and never at the cost of anyone else's files.

What must not break: only a folder that the demo made itself, by its marker, is ever replaced.
"""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from kiva_pipeline.demo_home import DEMO_PORT
from kiva_pipeline.errors import PipelineError, SettingsError
from kiva_pipeline.frames import private_folder
from kiva_pipeline.sandbox.demo_mis import DemoFacts
from kiva_pipeline.sandbox.practice import (
    fill_practice_folder,
    sandbox_file,
    write_practice_settings,
)
from kiva_pipeline.sandbox.server import RunningSandbox
from kiva_pipeline.settings import Settings, load_settings

_MARKER = ".made-by-kiva-pipeline-demo"


@dataclass(frozen=True, slots=True)
class DemoPartner:
    """The demo's partner, with its sandbox running.

    Attributes:
        folder: Holds everything that the demo made.
        settings: As loaded from ``settings_file``.
        settings_file: The partner's YAML.
        url: Where the sandbox is.
        mis: What the MIS holds, in numbers.
    """

    folder: Path
    settings: Settings
    settings_file: Path
    url: str
    mis: DemoFacts


def fresh_folder(folder: Path) -> Path:
    """An empty folder of mode 0700; one that an earlier demo made is thrown away.

    Raises:
        PipelineError: There is something else of that name.
    """
    theirs = folder.is_symlink() or (folder.exists() and not folder.is_dir())
    if folder.is_dir() and not theirs:
        theirs = any(folder.iterdir()) and not (folder / _MARKER).is_file()
    if theirs:
        raise PipelineError(
            f"{folder} is there already and was not made by the demo; it is left alone.",
            "Give the demo another folder: --folder NAME.",
        )
    try:
        if folder.exists():
            shutil.rmtree(folder)
        private_folder(folder)
        (folder / _MARKER).touch()
    except (OSError, SettingsError) as error:
        what = f"{folder} can't be made anew"
        raise PipelineError(
            f"{what} ({error.strerror})." if isinstance(error, OSError) else error.message,
            "Choose another one by --folder.",
        ) from error
    return folder


@contextlib.contextmanager
def demo_partner(folder: Path, *, today: date, loans: int, chance: int) -> Iterator[DemoPartner]:
    """Make the demo's partner in a folder of its own and serve its sandbox meanwhile."""
    fresh_folder(folder)
    facts = fill_practice_folder(folder, today=today, loans=loans, chance=chance)
    with _sandbox(folder) as sandbox:
        port = int(sandbox.url.rsplit(":", 1)[1])
        file = write_practice_settings(
            folder, today=today, first_month=facts.first_month, port=port
        )
        yield DemoPartner(folder, load_settings(file), file, sandbox.url, facts)


@contextlib.contextmanager
def _sandbox(folder: Path) -> Iterator[RunningSandbox]:
    """On the usual port, or on a free one where that is taken."""
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(RunningSandbox(sandbox_file(folder), port=DEMO_PORT))
        except PipelineError:
            running = stack.enter_context(RunningSandbox(sandbox_file(folder)))
        yield running
