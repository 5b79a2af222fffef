"""Assets' frames as Parquet, one file a partition, readable by their owner only.

No pickle: it breaks on upgrades and runs code when it is loaded. A spooled frame is moved into
place, so that a run that dies leaves the last good file.
"""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
from pydantic import Field
from upath import UPath

from kiva_pipeline.frames import StoredFrame, private_folder, write_frame


class ParquetFrames(dg.UPathIOManager):
    """Stores a ``DataFrame`` or a spooled ``StoredFrame``; hands on a ``StoredFrame``."""

    extension = ".parquet"

    def make_directory(self, path: UPath) -> None:
        """Make a folder, called before each write; only its owner may enter it."""
        private_folder(Path(str(path)))

    def dump_to_path(self, context: dg.OutputContext, obj: Any, path: UPath) -> None:  # noqa: ANN401
        """Write the frame whole, aside and then into place."""
        if obj is None:
            return
        place = Path(str(path))
        if isinstance(obj, pd.DataFrame):
            write_frame(obj, place)
        elif isinstance(obj, StoredFrame):
            shutil.move(str(obj.path), place)
        else:
            msg = f"{context.asset_key.to_user_string()} must give a frame, not {type(obj)}"
            raise TypeError(msg)

    def load_from_path(self, context: dg.InputContext, path: UPath) -> StoredFrame:
        """The stored frame, to be read whole or in chunks; nothing is loaded yet."""
        if not path.exists():
            raise FileNotFoundError(path)
        return StoredFrame(path)


class FrameStore(dg.ConfigurableIOManagerFactory[ParquetFrames]):
    """Where the frames live; the folder holds personal data and is made with mode 0700."""

    folder: str = Field(
        description="Holds a folder an asset, with a Parquet file a month; mode 0700."
    )

    def create_io_manager(self, context: dg.InitResourceContext) -> ParquetFrames:
        """The I/O manager over the folder."""
        return ParquetFrames(base_path=UPath(private_folder(Path(self.folder))))
