"""Looking up many texts among many others, and joining frames by the places where they are."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def among(texts: "pd.Series[str]", others: "Iterable[str] | pd.Series[str]") -> NDArray[np.bool_]:
    """Whether each text is one of the others.

    ``Series.isin`` of today's pandas turns each of the others into an object of Arrow's, which
    costs a hundred times as much as this.
    """
    known = set(others.tolist() if isinstance(others, pd.Series) else others)
    if not known:
        return np.zeros(len(texts), dtype=bool)
    return np.fromiter(map(known.__contains__, texts.tolist()), dtype=bool, count=len(texts))


def beside(left: pd.DataFrame, right: pd.DataFrame, on: str) -> pd.DataFrame:
    """The columns of ``right`` beside those of ``left``: a left join of two unique keys.

    Rows keep the order and the index of ``left``. A column of ``right`` must have a dtype that can
    be empty.

    Raises:
        ValueError: A key is not unique.
    """
    if not left[on].is_unique:
        raise ValueError(f"{on} is not unique")
    at = pd.Index(right[on]).get_indexer(pd.Index(left[on]))  # raises if right's is not
    others = right.drop(columns=on)
    if len(at) and (at >= 0).all():
        pulled = others.take(at)
    else:
        pulled = others.reset_index(drop=True).reindex(at)
    return pd.concat([left, pulled.set_axis(left.index, axis=0)], axis=1)
