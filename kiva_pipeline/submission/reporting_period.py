"""Whose month it is: the marks that persons set on months, and what follows from them today.

What must not break: the clock and the marks are read anew each time, because a run may outlive the
day on which it began, and a month may be closed while it is being sent.
"""

from datetime import date

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.periods import Month, MonthMark, Phase
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.ledger import Ledger, ledger_exists
from kiva_pipeline.submission.tables import report_month


def month_marks(connection: Connection) -> tuple[MonthMark, ...]:
    """The marks of all months that a person ever closed or extended: a handful a year."""
    return tuple(
        MonthMark(
            Month.parse(row.month),
            closed=row.closed_at is not None,
            extended_until=row.extended_until and date.fromisoformat(row.extended_until),
        )
        for row in connection.execute(sa.select(report_month).order_by(report_month.c.month))
    )


def marks_of_ledger(ledger: Ledger) -> tuple[MonthMark, ...]:
    """The marks of a ledger that is open."""
    with ledger.reading() as connection:
        return month_marks(connection)


def marks_of_partner(settings: Settings) -> tuple[MonthMark, ...]:
    """The marks of a partner's ledger; none where no ledger was born yet.

    Raises:
        LedgerError: The ledger can't be read.
    """
    if not ledger_exists(settings.ledger_url):
        return ()
    ledger = Ledger.open(
        settings.ledger_url,
        environment=settings.environment.value,
        partner_id=settings.partner.id,
    )
    try:
        return marks_of_ledger(ledger)
    finally:
        ledger.close()


def report_phase(settings: Settings, month: Month, marks: tuple[MonthMark, ...]) -> Phase:
    """Whether the month's report may be posted at this moment."""
    return settings.calendar.reporting.phase(month, settings.clock.today(), marks)
