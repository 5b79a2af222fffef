"""Looking up many texts among many others."""

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
