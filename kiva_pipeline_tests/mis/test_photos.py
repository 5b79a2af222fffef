import hashlib

import pytest

from kiva_pipeline.mis.photos import NOT_AN_IMAGE, photo_facts, sniff_mime


@pytest.mark.parametrize(
    ("image", "mime"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"\xff\xd8\xff\xe1\x00\x10Exif", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "image/png"),
        (b"GIF87a..", "image/gif"),
        (b"GIF89a..", "image/gif"),
        (b"GIF88a..", NOT_AN_IMAGE),
        (b"%PDF-1.4", NOT_AN_IMAGE),
        (b"RIFF....WEBP", NOT_AN_IMAGE),
        (b"\xff\xd8", NOT_AN_IMAGE),
        (b" \xff\xd8\xff\xe0", NOT_AN_IMAGE),
        (b"", NOT_AN_IMAGE),
    ],
)
def test_the_kind_of_an_image_is_read_from_its_first_bytes(image: bytes, mime: str) -> None:
    assert sniff_mime(image) == mime


def test_the_facts_are_hash_kind_and_size() -> None:
    image = b"GIF89a" + b"x" * 1000
    facts = photo_facts(image)
    assert (facts.sha256, facts.mime, facts.size) == (
        hashlib.sha256(image).hexdigest(),
        "image/gif",
        1006,
    )
