"""Makes a new demo MIS: one call, one SQLite file.

What must not break: the file appears whole or not at all, and its content follows from the
practice day, the number of loans and the seed alone.
"""

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from random import Random

from kiva_pipeline.frames import private_folder
from kiva_pipeline.periods import Month
from kiva_pipeline.sandbox.demo_mis.days import DemoCalendar
from kiva_pipeline.sandbox.demo_mis.facts import DemoFacts, Memory, demo_facts
from kiva_pipeline.sandbox.demo_mis.mis_file import MisWriter, create_indexes, create_tables
from kiva_pipeline.sandbox.demo_mis.mixture import Mixture

Progress = Callable[[int, int], None]

DEFAULT_LOANS = 600
MONTHS_BACK = 12
_TELL_EVERY = 500


def create_demo_mis(
    path: Path,
    *,
    today: date,
    loans: int = DEFAULT_LOANS,
    seed: int = 7,
    first_month: Month | None = None,
    progress: Progress | None = None,
) -> DemoFacts:
    """Make a demo MIS; a file that is there is replaced.

    Args:
        path: The SQLite file.
        today: The practice day. Loans disbursed before PA2's window of that day are at Kiva.
        loans: How many loans it holds, exactly; 300 or more hold the 150 real schedules and
            every kind of dirt.
        seed: Another seed, another portfolio.
        first_month: The month of the oldest loans; by default a year before today's.
        progress: Is told now and then how many loans of how many are written.

    Returns:
        What is in it, in numbers.

    Raises:
        ValueError: ``loans`` is not positive or ``first_month`` is not before PA2's window.
    """
    if loans < 1:
        raise ValueError(f"{loans} is no number of loans")
    calendar = DemoCalendar(today, first_month or Month.of(today).plus(-MONTHS_BACK))
    private_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".demo-mis-") as folder:
        unfinished = Path(folder) / "demo_mis.sqlite"
        unfinished.touch(mode=0o600)
        with closing(sqlite3.connect(unfinished)) as connection:
            # Nothing to protect: a file that isn't finished is thrown away.
            connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
            create_tables(connection)
            memory = _fill(connection, calendar, loans, seed, progress)
            create_indexes(connection)
            memory.keep(connection)
            connection.commit()
            connection.execute("ANALYZE")
            facts = demo_facts(connection)
        unfinished.replace(path)
    return facts


def _fill(
    connection: sqlite3.Connection,
    calendar: DemoCalendar,
    loans: int,
    seed: int,
    progress: Progress | None,
) -> Memory:
    writer = MisWriter(connection)
    mixture = Mixture(calendar, loans, Random(seed), writer)  # noqa: S311  no secret
    done, told = 0, 0
    for unit in mixture.units():
        done += writer.unit(unit)
        if progress and (done - told >= _TELL_EVERY or done == loans):
            progress(done, loans)
            told = done
    writer.flush()
    connection.commit()
    made = mixture.portfolio
    return Memory(calendar.today, calendar.first_month, seed, 0, made.next_pk, made.next_group)
