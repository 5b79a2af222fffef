"""What a person saw when they planned: each plan's digest with its counts, kept for a while.

A run that is given a digest refuses another plan, and says by these counts what moved. What must
not break: a card holds numbers only, no id and no amount; and without its card a digest is as
strict as with it.
"""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from kiva_pipeline.errors import NotAllowedNowError, SettingsError
from kiva_pipeline.frames import private_folder

_FOLDER = "plans"
_KEPT = 100
SHORTEST_DIGEST = 12  # what a person may shorten it to


class PlanMovedError(NotAllowedNowError):
    """What would be sent now is not what the digest is of; nothing was sent."""


@dataclass(frozen=True, slots=True)
class StreamCard:
    """One stream of a plan.

    Attributes:
        digest: Of the stream's plan.
        rows: Rows by decision.
    """

    digest: str
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PlanCard:
    """A plan that a person may have seen.

    Attributes:
        month: The partition.
        digest: Of all its streams.
        streams: By kind of effect.
    """

    month: str
    digest: str
    streams: Mapping[str, StreamCard]


def checked_digest(text: str) -> str:
    """A digest as it was typed or pasted, perhaps shortened.

    Raises:
        SettingsError: It is none.
    """
    digest = text.strip().lower()
    if not SHORTEST_DIGEST <= len(digest) <= 64 or set(digest) - set(string.hexdigits):
        raise SettingsError(
            "That is not the digest of a plan.",
            f"Copy it from `kiva-pipeline plan`: 64 digits and letters, or the first"
            f" {SHORTEST_DIGEST} of them.",
        )
    return digest


def keep_card(state_folder: Path, card: PlanCard) -> None:
    """Keep a card; the oldest ones go."""
    folder = private_folder(state_folder / _FOLDER)
    file = folder / f"{card.digest}.json"
    file.touch(mode=0o600)
    file.write_bytes(orjson.dumps(card))
    for old in sorted(folder.glob("*.json"), key=lambda f: f.stat().st_mtime)[:-_KEPT]:
        old.unlink(missing_ok=True)


def find_card(state_folder: Path, digest: str) -> PlanCard | None:
    """The card of a plan, or of a plan that has a stream with this digest; None if it is gone."""
    for file in (state_folder / _FOLDER).glob("*.json"):
        try:
            card = _read(file)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it only serves to say more
        digests = [card.digest, *(stream.digest for stream in card.streams.values())]
        if any(each.startswith(digest) for each in digests):
            return card
    return None


def stream_rows(state_folder: Path, kind: str, digest: str) -> Mapping[str, int] | None:
    """The counts of a stream's plan with this digest, where its card is still there."""
    card = find_card(state_folder, digest)
    stream = card.streams.get(kind) if card else None
    return stream.rows if stream and stream.digest.startswith(digest) else None


def what_moved(before: Mapping[str, int] | None, now: Mapping[str, int]) -> str:
    """The difference of two plans of a stream in counts by decision, in words."""
    if before is None:
        told = ", ".join(f"{_words(name)} {rows:,}" for name, rows in sorted(now.items()) if rows)
        return f"now {told or 'nothing'} (what it was is not kept here any more)"
    changed = [
        f"{_words(name)} {before.get(name, 0):,} → {now.get(name, 0):,}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name, 0) != now.get(name, 0)
    ]
    return ", ".join(changed) or "the counts are the same, but not what is in the rows"


def _words(decision: str) -> str:
    return decision.replace("_", " ")


def _read(file: Path) -> PlanCard:
    told = orjson.loads(file.read_bytes())
    streams = {
        str(kind): StreamCard(str(s["digest"]), {str(k): int(n) for k, n in s["rows"].items()})
        for kind, s in told["streams"].items()
    }
    return PlanCard(str(told["month"]), str(told["digest"]), streams)
