"""What is known of a borrower's photo without keeping it: hash, kind and size.

What must not break: the kind comes from the bytes, never from a file's name, because PA2 takes the
data URI's word for it.
"""

import hashlib
from dataclasses import dataclass

NOT_AN_IMAGE = "application/octet-stream"

_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """What a frame may hold of a photo.

    Attributes:
        sha256: Hex digest of the bytes.
        mime: ``image/jpeg``, ``image/png`` or ``image/gif``; else ``NOT_AN_IMAGE``.
        size: In bytes.
    """

    sha256: str
    mime: str
    size: int


def photo_facts(image: bytes) -> PhotoFacts:
    """The facts of a photo's bytes."""
    return PhotoFacts(hashlib.sha256(image).hexdigest(), sniff_mime(image), len(image))


def sniff_mime(image: bytes) -> str:
    """The kind of image that the first bytes show: the kinds that Kiva takes, or none of them."""
    return next((mime for magic, mime in _MAGIC if image.startswith(magic)), NOT_AN_IMAGE)
