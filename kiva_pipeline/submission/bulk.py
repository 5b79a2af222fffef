"""Many new versions in few statements: what is the same in all rows is bound once.

One SQL for every database, only its placeholders differ. What must not break: values are bound,
never written into the SQL.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy.engine import Connection

# SQLite took no more than 999 parameters a statement for a long time.
_PARAMETERS_AT_ONCE = 990
_ROWS_AT_ONCE = 64


def insert_versions(
    connection: Connection,
    shared: Mapping[str, Any],
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
) -> None:
    """Insert rows of ``submission``.

    Args:
        connection: An open transaction.
        shared: Columns that have the same value in every row.
        columns: The other columns.
        rows: Their values, a row each.
    """
    if not rows:
        return
    fixed, varying = dict(shared), []
    for name, values in zip(columns, zip(*rows, strict=True), strict=True):
        if values.count(values[0]) == len(values):
            fixed[name] = values[0]
        else:
            varying.append((name, values))
    if not varying:  # one row
        varying = [(columns[0], (fixed.pop(columns[0]),) * len(rows))]
    names = tuple(name for name, _ in varying)
    told = list(zip(*(values for _, values in varying), strict=True))
    at_once = min(_ROWS_AT_ONCE, (_PARAMETERS_AT_ONCE - len(fixed)) // len(names))
    for start in range(0, len(told), at_once):
        some = told[start : start + at_once]
        numbered = connection.dialect.paramstyle == "qmark"
        sql = _insert(tuple(fixed), names, len(some), numbered=numbered)
        values = (*fixed.values(), *chain.from_iterable(some))
        # A tuple binds numbered placeholders by their place, a dict binds named ones.
        bound: Any = values if numbered else {f"p{i}": v for i, v in enumerate(values, start=1)}
        connection.exec_driver_sql(sql, bound)


@lru_cache(maxsize=64)
def _insert(fixed: tuple[str, ...], varying: tuple[str, ...], rows: int, *, numbered: bool) -> str:
    """The statement; its parameters are ``fixed``, then ``varying`` row by row."""
    mark = "?{}".format if numbered else "%(p{})s".format
    same = [mark(i) for i in range(1, len(fixed) + 1)]
    width = len(varying)
    values = ",".join(
        "({})".format(
            ",".join([*same, *(mark(len(fixed) + row * width + i + 1) for i in range(width))])
        )
        for row in range(rows)
    )
    # Names of columns, ours; no value is in the text.
    return f"INSERT INTO submission ({','.join((*fixed, *varying))}) VALUES {values}"  # noqa: S608
