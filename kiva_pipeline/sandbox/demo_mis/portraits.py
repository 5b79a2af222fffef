"""Small real JPEG portraits, one of its own for each client, and files that are none.

A comment segment is put into one of a few drawn portraits: the bytes differ, the picture still
opens. What must not break: the segment comes after the JFIF header, which some viewers want first.
"""

from functools import cache
from pathlib import Path

NOT_AN_IMAGE = b"%PDF-1.4\n% a scanned form that was uploaded as the photo\n"

_HEADER_END = 20  # start of image (2 bytes) and the JFIF segment (18), checked by a test
_LONGEST_COMMENT = 65_533


def portrait(number: int) -> bytes:
    """The portrait of the client with this running number."""
    drawn = _drawn()
    return _with_comments(drawn[number % len(drawn)], [f"client {number}".encode()])


@cache
def oversized(more_than: int) -> bytes:
    """A portrait that opens but takes more bytes than ``more_than``."""
    comments = more_than // _LONGEST_COMMENT + 1
    return _with_comments(_drawn()[0], [b" " * _LONGEST_COMMENT] * comments)


def _with_comments(image: bytes, comments: list[bytes]) -> bytes:
    segments = [b"\xff\xfe" + (len(c) + 2).to_bytes(2, "big") + c for c in comments]
    return b"".join([image[:_HEADER_END], *segments, image[_HEADER_END:]])


@cache
def _drawn() -> tuple[bytes, ...]:
    folder = Path(__file__).parent / "data"
    return tuple(file.read_bytes() for file in sorted(folder.glob("portrait-*.jpg")))
