"""Frames on disk: whole or not at all, in order, and nobody else's business."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from kiva_pipeline.frames import FrameSpool, StoredFrame, private_folder, write_frame
from kiva_pipeline.mis.records import LOAN_COLUMNS, empty_frame

NAMES = ["Zoë", "محمد", "Nguyễn\u0301", "𐐷𐑊", "", "李", "அனிதா"]
EMPTY = empty_frame({"name": "str", "minor": "Int64", "day": "datetime64[ms]"})


def rows(start: int, stop: int) -> pd.DataFrame:
    numbers = range(start, stop)
    return pd.DataFrame(
        {
            "name": [NAMES[n % len(NAMES)] for n in numbers],
            "minor": pd.array([2**62 + n if n % 3 else None for n in numbers], dtype="Int64"),
            "day": pd.Timestamp("2026-10-06"),
        }
    ).astype({"day": "datetime64[ms]", "name": "str"})


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """The most careless shell."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_frame_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    stored = write_frame(rows(0, 20), tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(stored.read(), rows(0, 20))
    assert stored.read(["minor"]).columns.tolist() == ["minor"]
    assert len(stored) == 20


def test_chunks_come_in_order_whatever_the_chunks_they_were_written_in(tmp_path: Path) -> None:
    with FrameSpool(tmp_path, EMPTY) as spool:
        for start, stop in [(0, 1), (1, 8), (8, 8), (8, 20), (20, 21)]:
            spool.append(rows(start, stop)[["day", "name", "minor"]])
    assert (spool.rows, len(spool.finished)) == (21, 21)
    for size in (1, 2, 7, 21, 100):
        chunks = list(spool.finished.chunks(rows=size))
        assert all(0 < len(chunk) <= size for chunk in chunks)
        pd.testing.assert_frame_equal(pd.concat(chunks, ignore_index=True), rows(0, 21))


def test_a_frame_without_rows_keeps_its_columns_and_types(tmp_path: Path) -> None:
    with FrameSpool(tmp_path, empty_frame(LOAN_COLUMNS)) as spool:
        pass
    frame = spool.finished.read()
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == LOAN_COLUMNS
    assert list(spool.finished.chunks()) == []


def test_folders_and_files_belong_to_their_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "state" / "frames" / "mis_loans" / "2026-10.parquet"
    write_frame(rows(0, 3), file)
    assert mode(file) == 0o600
    assert {mode(folder) for folder in list(file.parents)[:3]} == {0o700}


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    assert mode(private_folder(shared / "mine")) == 0o700
    assert mode(shared) == 0o755


def test_an_exception_leaves_neither_a_spool_nor_half_a_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="boom"), FrameSpool(tmp_path, EMPTY) as spool:  # noqa: PT012
        spool.append(rows(0, 10))
        raise RuntimeError("boom")
    assert list(tmp_path.iterdir()) == []


def test_a_chunk_of_the_wrong_shape_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyError), FrameSpool(tmp_path, EMPTY) as spool:
        spool.append(rows(0, 10)[["name"]])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_last_good_file(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    write_frame(rows(0, 3), file)
    with pytest.raises(Exception, match=r"mixed|Expected|Conversion|convert"):
        write_frame(pd.DataFrame({"x": pd.Series(["a", 1, object()], dtype=object)}), file)
    pd.testing.assert_frame_equal(StoredFrame(file).read(), rows(0, 3))
    assert list(tmp_path.iterdir()) == [file]


def test_a_reader_keeps_the_file_that_it_began_with(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    write_frame(rows(0, 9), file)
    reader = StoredFrame(file).chunks(rows=4)
    first = next(reader)
    write_frame(rows(100, 103), file)
    pd.testing.assert_frame_equal(pd.concat([first, *reader], ignore_index=True), rows(0, 9))
    assert len(StoredFrame(file)) == 3


def test_a_frame_that_only_one_run_needs_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    with FrameSpool(tmp_path, EMPTY, lasting=False) as spool:
        for start, stop in [(0, 1), (1, 8), (8, 8), (8, 20)]:
            spool.append(rows(start, stop))
    stored = spool.finished
    assert mode(Path(str(stored.path))) == 0o600
    assert len(stored) == 20
    pd.testing.assert_frame_equal(stored.read(), rows(0, 20))
    pd.testing.assert_frame_equal(stored.read(["minor"]), rows(0, 20)[["minor"]])
    for size in (1, 5, 100):
        chunks = list(stored.chunks(["day", "name"], rows=size))
        assert all(0 < len(chunk) <= size for chunk in chunks)
        pd.testing.assert_frame_equal(
            pd.concat(chunks, ignore_index=True), rows(0, 20)[["day", "name"]]
        )
