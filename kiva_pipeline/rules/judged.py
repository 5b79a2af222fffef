"""What a rule module hands on: the rows, and how often each rule was broken."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Judged:
    """Rows with a decision each.

    Attributes:
        rows: With the columns of ``rules.rows``; nothing that came in is missing from it.
        counts: For every rule, also the unbroken ones, how many of ``rows`` name it as a reason.
    """

    rows: pd.DataFrame
    counts: dict[str, int]


def shaped(columns: dict[str, object], shape: dict[str, str]) -> pd.DataFrame:
    """A frame of these columns with exactly the names, order and dtypes of ``shape``."""
    return pd.DataFrame(columns)[list(shape)].astype(shape)
