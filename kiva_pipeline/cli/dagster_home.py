"""Dagster's home for runs from the command line: that of ``DAGSTER_HOME``, else the partner's own.

What must not break: a run is kept where the UI shows it, under the project's own ``dagster.yaml``.
"""

import os
import shutil
from pathlib import Path

import dagster as dg

from kiva_pipeline.errors import PipelineError
from kiva_pipeline.frames import private_folder

HOME_VARIABLE = "DAGSTER_HOME"
_PACKAGE = Path(__file__).parent.parent


def dagster_instance(state_folder: Path) -> dg.DagsterInstance:
    """The instance to run in.

    Args:
        state_folder: Where the partner's own home is, when the environment names none.

    Raises:
        PipelineError: ``DAGSTER_HOME`` can't be used.
    """
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
