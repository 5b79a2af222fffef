"""Frames on disk: Parquet files that are written chunk by chunk and read by row groups.

A frame that only one run needs may be a plain Arrow file instead, which costs a tenth to write and
to read, and ten times the disk. They hold personal data: folders are 0700 and files 0600. A file
appears whole or not at all (it is written aside and moved into place), so a run that dies leaves
the last good one.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Protocol

import pandas as pd
import pyarrow as arrow
from pyarrow import ipc, parquet

from kiva_pipeline.errors import SettingsError

CHUNK_ROWS = 50_000  # each has a price of its own, and each takes its share of memory
_PLAIN = b"ARROW1"


class _Openable(Protocol):
    def open(self, mode: Literal["rb"]) -> BinaryIO: ...


class _Writer(Protocol):
    def write_table(self, table: arrow.Table) -> None: ...
    def close(self) -> None: ...


class StoredFrame:
    """A frame on disk, read as a whole or in chunks.

    Args:
        path: A ``pathlib`` or ``upath`` path of a Parquet or plain Arrow file.
    """

    def __init__(self, path: "Path | _Openable") -> None:
        self.path = path

    def __len__(self) -> int:
        with self.path.open("rb") as file:
            if _is_plain(file):
                return int(ipc.open_file(file).read_all().num_rows)
            return int(parquet.ParquetFile(file).metadata.num_rows)

    def read(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The whole frame, or some of its columns."""
        names = list(columns) if columns else None
        with self.path.open("rb") as file:
            if _is_plain(file):
                table = ipc.open_file(file).read_all()
                return _to_pandas(table.select(names) if names else table)
            return _to_pandas(parquet.ParquetFile(file).read(columns=names))

    def chunks(
        self, columns: Sequence[str] | None = None, rows: int = CHUNK_ROWS
    ) -> Iterator[pd.DataFrame]:
        """The frame in pieces of at most ``rows`` rows, in order; no piece for an empty frame."""
        names = list(columns) if columns else None
        with self.path.open("rb") as file:
            if _is_plain(file):
                yield from _plain_chunks(ipc.open_file(file), names, rows)
                return
            batches = parquet.ParquetFile(file).iter_batches(batch_size=rows, columns=names)
            for batch in batches:
                if batch.num_rows:
                    yield _to_pandas(arrow.Table.from_batches([batch]))


class FrameSpool:
    """Writes a frame of unknown length chunk by chunk into a temporary Parquet file.

    Use it as a context manager; ``finished`` is the file to hand on. Whoever receives it (the I/O
    manager) moves it into place or throws it away. An exception inside removes the file.

    Args:
        folder: Where to spool; the same file system as the final place makes the move atomic.
        empty: A frame with no rows and the right columns and dtypes, the schema of the file; an
            ``object`` column has no type that a file could keep, so use ``str`` and the like.
        lasting: Write Parquet; False for a frame that is read back and thrown away.
    """

    def __init__(self, folder: Path, empty: pd.DataFrame, *, lasting: bool = True) -> None:
        private_folder(folder)
        suffix = ".parquet" if lasting else ".arrow"
        handle, name = tempfile.mkstemp(dir=folder, prefix=".spool-", suffix=suffix)
        os.close(handle)
        self.path = Path(name)
        self.rows = 0
        self._empty = empty.iloc[:0]
        self._schema = arrow.Schema.from_pandas(self._empty, preserve_index=False)
        self._writer: _Writer
        if lasting:
            # Nearly all texts are unique ids and hashes, and nobody asks for a range of values:
            # dictionaries and statistics would cost twice what they save. zstd finds what repeats.
            self._writer = parquet.ParquetWriter(
                self.path,
                self._schema,
                compression="zstd",
                use_dictionary=False,
                write_statistics=False,
            )
        else:
            self._writer = ipc.new_file(self.path, self._schema)

    def append(self, chunk: pd.DataFrame) -> None:
        """Add rows; the columns must be those of ``empty``, in any order."""
        if chunk.empty:
            return
        table = arrow.Table.from_pandas(
            chunk[list(self._empty.columns)], schema=self._schema, preserve_index=False
        )
        self._writer.write_table(table)
        self.rows += len(chunk)

    def __enter__(self) -> "FrameSpool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._writer.close()
        except BaseException:
            self.path.unlink(missing_ok=True)
            raise
        if kind is not None:
            self.path.unlink(missing_ok=True)

    @property
    def finished(self) -> StoredFrame:
        """The spooled frame, to be read or handed on after the ``with`` block."""
        return StoredFrame(self.path)


def write_frame(frame: pd.DataFrame, path: Path) -> StoredFrame:
    """Write a whole frame at once, aside and then into place, readable by its owner only."""
    with FrameSpool(path.parent, frame) as spool:
        spool.append(frame)
    spool.path.replace(path)
    return StoredFrame(path)


def private_folder(folder: Path) -> Path:
    """Make a folder that only its owner may enter, and its parents; one that is there stays.

    Returns:
        The folder.

    Raises:
        SettingsError: It can't be made there.
    """
    if not folder.is_dir():
        # `parents=True` would make the parents with whatever mode the shell's umask leaves.
        private_folder(folder.parent)
        try:
            folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            what = "a file is in its place" if folder.exists() else error.strerror
            raise SettingsError(
                f"The folder {folder} can't be made ({what}).",
                "Check state.folder in the settings, the space on the disk, and who may write"
                " there.",
            ) from error
    return folder


def _is_plain(file: BinaryIO) -> bool:
    """Whether a file is a plain Arrow one; it is read from its beginning after this."""
    start = file.read(len(_PLAIN))
    file.seek(0)
    return start == _PLAIN


def _plain_chunks(
    reader: ipc.RecordBatchFileReader, names: list[str] | None, rows: int
) -> Iterator[pd.DataFrame]:
    for i in range(reader.num_record_batches):
        table = arrow.Table.from_batches([reader.get_batch(i)])
        table = table.select(names) if names else table
        for start in range(0, table.num_rows, rows):
            yield _to_pandas(table.slice(start, rows))


def _to_pandas(table: arrow.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame
