"""Many new versions in few statements: what is the same in all rows is bound once.

One SQL for every database, only its placeholders differ. What must not break: values are bound,
never written into the SQL.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy.engine import Connection

# As many parameters as a statement may have: SQLite took 999 for a long time.
_PARAMETERS_AT_ONCE = 30_000 if sqlite3.sqlite_version_info >= (3, 32, 0) else 999
_ROWS_AT_ONCE = 250


def insert_versions(
    connection: Connection, shared: Mapping[str, Any], columns: Mapping[str, Sequence[Any]]
) -> None:
    """Insert rows of ``submission``.

    Args:
        connection: An open transaction.
        shared: Columns that have the same value in every row.
        columns: The values of the other columns, a row each.
    """
    rows = len(next(iter(columns.values())))
    if not rows:
        return
    fixed, varying = dict(shared), dict[str, Sequence[Any]]()
    for name, values in columns.items():
        if values.count(values[0]) == rows:
            fixed[name] = values[0]
        else:
            varying[name] = values
    if not varying:  # one row
        name, values = next(iter(columns.items()))
        varying[name] = values
        del fixed[name]
    numbered = connection.dialect.paramstyle == "qmark"
    at_once = min(_ROWS_AT_ONCE, (_PARAMETERS_AT_ONCE - len(fixed)) // len(varying))
    for start in range(0, rows, at_once):
        some = [values[start : start + at_once] for values in varying.values()]
        sql = _insert(tuple(fixed), tuple(varying), len(some[0]), numbered=numbered)
        told = (*fixed.values(), *chain.from_iterable(zip(*some, strict=True)))
        # A tuple binds numbered placeholders by their place, a dict binds named ones.
        bound: Any = told if numbered else {f"p{i}": v for i, v in enumerate(told, start=1)}
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
