"""What must hold before anything is written or sent, and again before each batch."""

from collections.abc import Callable

import sqlalchemy as sa

from kiva_pipeline.errors import NotAllowedNowError
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.periods import Phase
from kiva_pipeline.settings import Environment, Settings
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.month_submission import Submission
from kiva_pipeline.submission.reporting_period import month_marks, report_phase
from kiva_pipeline.submission.tables import ledger as ledger_table


def may_write(ledger: Ledger, settings: Settings) -> None:
    """Raise unless this ledger may send at all.

    Raises:
        NotAllowedNowError: Sending is paused, or the ledger is not adopted.
    """
    card = ledger.card()
    if card.paused_by:
        raise NotAllowedNowError(
            f"Sending is paused by {card.paused_by}: {card.paused_why}.",
            "`kiva-pipeline resume` lets it go on.",
        )
    if settings.environment is not Environment.SANDBOX and not card.adopted_at:
        raise NotAllowedNowError(
            f"The ledger of partner {settings.partner.id} in {settings.environment} is new:"
            " it does not know what Kiva already has.",
            "An empty ledger sends nothing, because it would send everything twice. Adopt what is"
            " at Kiva first.",
        )


def gate(submission: Submission, ledger: Ledger, settings: Settings) -> Callable[[], str]:
    """Asked before each batch: a pause or the end of the month stops a run that is under way."""

    def why_not() -> str:
        with ledger.reading() as connection:
            paused = connection.execute(sa.select(ledger_table.c.paused_by)).scalar_one()
            marks = month_marks(connection) if submission.kind is PostKind.REPAYMENT else ()
        if paused:
            return "paused"
        if (
            submission.kind is PostKind.REPAYMENT
            and report_phase(settings, submission.month, marks) is not Phase.OPEN
        ):
            return "the month's report is not open any more"
        return ""

    return why_not
