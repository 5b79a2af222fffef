"""The digest of a plan: two plans with the same digest send the same things. Pure.

What must not break: it covers what would be at Kiva (the payload hash) and what was decided for
every row, and nothing that changes without that, such as a sentence or the order of the rows.
"""

import hashlib
from collections.abc import Mapping

import pandas as pd

_COLUMNS = ["business_id", "decision", "payload_hash"]


class PlanDigest:
    """The digest of one stream's plan of a month, added up chunk by chunk.

    Args:
        kind: The kind of effect.
        month: The partition; two empty months are two plans.
    """

    def __init__(self, kind: str, month: str) -> None:
        self._kind = kind
        self._sha = hashlib.sha256(f"{kind} {month}\n".encode())

    def add(self, plan: pd.DataFrame) -> None:
        """Add a chunk of ``PLAN_COLUMNS``; chunks come in the order of ``business_id``."""
        rows = plan[_COLUMNS].sort_values("business_id", kind="stable")
        for row in rows.itertuples(index=False, name=None):
            # Lengths keep apart what separators inside ids could blur.
            told = "".join(f"{len(text)}:{text}" for text in (self._kind, *row))
            self._sha.update(told.encode() + b"\n")

    @property
    def hex(self) -> str:
        """The digest so far, in hexadecimal digits."""
        return self._sha.hexdigest()


def digest_of_streams(digests: Mapping[str, str]) -> str:
    """One digest for the plans of several kinds of effect, whatever their order."""
    told = "\n".join(f"{kind} {digest}" for kind, digest in sorted(digests.items()))
    return hashlib.sha256(told.encode()).hexdigest()
