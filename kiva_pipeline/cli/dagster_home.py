"""Dagster's home for runs from the command line: that of ``DAGSTER_HOME``, else the partner's own.

What must not break: a run is kept where the UI shows it, under the project's own ``dagster.yaml``.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from kiva_pipeline.errors import PipelineError
from kiva_pipeline.frames import private_folder

HOME_VARIABLE = "DAGSTER_HOME"
_PACKAGE = Path(__file__).parent.parent


@contextlib.contextmanager
def dagster_instance(state_folder: Path) -> Iterator[dg.DagsterInstance]:
    """The instance to run in, closed with the block.

    Args:
        state_folder: Where the partner's own home is, when the environment names none.

    Raises:
        PipelineError: ``DAGSTER_HOME`` can't be used, or its database can't be written any more.
    """
    # A home of somebody's own may not say so, and nobody is told about a partner's runs.
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    try:
        with _instance(state_folder) as instance:
            yield instance
    except sa.exc.OperationalError as error:
        raise PipelineError(
            f"Dagster's own database can't be used ({error.orig}).",
            f"Check {HOME_VARIABLE} or state.folder, the space on the disk, and who may write"
            " there. What was sent is in the ledger; run it again to go on.",
        ) from error


def _instance(state_folder: Path) -> dg.DagsterInstance:
    if os.environ.get(HOME_VARIABLE):
        try:
            return dg.DagsterInstance.get()
        except Exception as error:
            raise PipelineError(
                f"{HOME_VARIABLE} can't be used as Dagster's home ({type(error).__name__}).",
                "It must be the full path of a folder that is there; or unset it.",
            ) from error
    return dg.DagsterInstance.from_config(str(own_home(state_folder)))


def own_home(state_folder: Path) -> Path:
    """The partner's own Dagster home, made with the project's ``dagster.yaml`` when not there."""
    home = private_folder(state_folder / "dagster")
    if not (home / "dagster.yaml").exists():
        shutil.copyfile(packaged_dagster_yaml(), home / "dagster.yaml")
    return home


def packaged_dagster_yaml() -> Path:
    """The project's ``dagster.yaml``: in the package of a wheel, beside it in a checkout."""
    in_wheel, in_checkout = _PACKAGE / "dagster.yaml", _PACKAGE.parent / "dagster.yaml"
    return in_wheel if in_wheel.exists() else in_checkout
