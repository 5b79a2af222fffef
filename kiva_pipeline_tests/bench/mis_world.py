"""The bench's larger MIS files: the demo MIS's own tables, filled by the bench's formula.

One holds loans with photos and schedules for drafts; the other as many loans with bookings as a
report may answer for.
"""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from kiva_pipeline.frames import write_frame
from kiva_pipeline.partner_api.listings import lists_frame
from kiva_pipeline.sandbox.demo_mis.mis_file import create_indexes, create_tables
from kiva_pipeline_tests.bench import facts
from kiva_pipeline_tests.bench.noop_server import LISTS

DRAFT_MONTH, DISBURSED_ON = "2026-10", "2026-10-05"
PHOTO_BYTES = 150_000
INSTALMENTS = 12

_LOAN = "INSERT INTO loans VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_DESCRIPTION = (
    "Amina is a farmer in Kisumu. She has grown maize for eleven years and sells it at the market"
    " on Tuesdays. With a larger store she can wait for a better price. " * 4
)


def make_drafts(file: Path, rows: int, photo_bytes: int = PHOTO_BYTES) -> None:
    """Loans of one month that PA2 would take, each with twelve instalments and a photo."""
    file.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as connection, connection:
        create_tables(connection)
        connection.executemany(
            "INSERT INTO clients VALUES (?, 'Amina', 'Otieno', 'f', 'latin')",
            ((facts.client_id(n),) for n in range(rows)),
        )
        connection.executemany(_LOAN, (_loan(n, photo=photo_bytes > 0) for n in range(rows)))
        connection.executemany(
            "INSERT INTO instalments VALUES (NULL, ?, ?, ?, ?, ?)", _instalments(rows)
        )
        if photo_bytes:
            connection.executemany(
                "INSERT INTO photos VALUES (?, ?)",
                ((f"P{n}", _photo(n, photo_bytes)) for n in range(rows)),
            )
        create_indexes(connection)


def make_portfolio(file: Path, rows: int) -> None:
    """As many loans as Kiva expects, each with a disbursal and two repayments before the month's end.

    Made inside SQLite by the same formula as ``facts``, because a million rows take long otherwise.
    """
    file.unlink(missing_ok=True)
    price = "(100 + n * 7 % 400 * 50) * 100"
    with closing(sqlite3.connect(file)) as connection, connection:
        create_tables(connection)
        connection.execute("CREATE TEMP TABLE numbers (n INTEGER PRIMARY KEY)")
        connection.execute(
            "WITH RECURSIVE all_of (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM all_of"
            f" WHERE n < {rows - 1}) INSERT INTO numbers SELECT n FROM all_of"
        )
        connection.execute(
            "INSERT INTO loans SELECT n, printf('L-%09d', n), printf('C-%09d', n), NULL,"
            f" ({price}) / 100, 'KES', 2, '2026-02-01', NULL, '2026-02-03', 'active', 'OWN', NULL,"
            " NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1 FROM numbers"
        )
        bookings = (
            ("disbursement", "2026-02-03", price),
            ("repayment", "2026-05-10", f"{price} * (n % 97) / 100 / 2"),
            ("repayment", "2026-08-10", f"{price} * (n % 97) / 100 - {price} * (n % 97) / 100 / 2"),
        )
        for kind, day, amount in bookings:
            connection.execute(
                f"INSERT INTO transactions SELECT NULL, n, '{kind}', '{day}', '{day}', {amount}, 0, 0"
                " FROM numbers"
            )
        create_indexes(connection)


def make_kiva_lists(file: Path) -> None:
    """Kiva's lists as the asset ``kiva_lists`` stores them."""
    write_frame(lists_frame({name: {name: entries} for name, entries in LISTS.items()}), file)


def _loan(number: int, *, photo: bool) -> tuple[Any, ...]:
    return (
        number, facts.loan_id(number), facts.client_id(number), None,
        f"{facts.price_minor(number) // 100}.00", "KES", 2, "2026-09-20", None, DISBURSED_ON,
        "active", "KIVA", "Farming", "Rural", "Kisumu: Kenya", "English", _DESCRIPTION,
        "to buy seeds and fertiliser.", "2026-09-21", f"P{number}" if photo else None, 1,
    )  # fmt: skip


def _instalments(rows: int) -> Iterator[tuple[Any, ...]]:
    first = date.fromisoformat(DISBURSED_ON)
    for n in range(rows):
        each, rest = divmod(facts.price_minor(n), INSTALMENTS)
        for i in range(1, INSTALMENTS + 1):
            principal = each + (rest if i == INSTALMENTS else 0)
            due = first + timedelta(days=30 * i)
            yield n, i, due.isoformat(), f"{principal / 100:.2f}", f"{12 * i}.50"


def _photo(number: int, size: int) -> bytes:
    return b"\xff\xd8\xff\xe0" + random.Random(number).randbytes(size - 4)
