"""What must hold before anything is written or sent, and again before each batch.

What must not break: every refusal says in words what may have happened and which command leads on.
"""

from collections.abc import Callable
from datetime import date

import pandas as pd
import sqlalchemy as sa

from kiva_pipeline.errors import NotAllowedNowError
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.periods import Phase
from kiva_pipeline.settings import Environment, Settings
from kiva_pipeline.submission.crosscheck import strangers
from kiva_pipeline.submission.ledger import Ledger, drafts_at_kiva
from kiva_pipeline.submission.month_submission import Submission
from kiva_pipeline.submission.reporting_period import month_marks, report_phase
from kiva_pipeline.submission.tables import ledger as ledger_table
from kiva_pipeline.submission.witness import refuse_untrusted

_TOLD_IDS = 5


def may_write(ledger: Ledger, settings: Settings) -> None:
    """Raise unless this ledger may send at all; call it before the lock is taken, and after.

    Raises:
        NotAllowedNowError: Sending is paused, or the ledger is not adopted or not trusted.
    """
    card = ledger.card()
    if card.paused_by:
        raise NotAllowedNowError(
            f"Sending is paused by {card.paused_by}: {card.paused_why}.",
            "`kiva-pipeline resume` lets it go on.",
        )
    refuse_untrusted(ledger, settings.state.folder)
    if settings.environment is not Environment.SANDBOX and not card.adopted_at:
        raise NotAllowedNowError(
            f"The ledger of partner {settings.partner.id} in {settings.environment} is new:"
            " it does not know what Kiva already has.",
            "An empty ledger sends nothing, because it would send everything twice. If there was"
            " one before, restore it; then, or if there was none, run `kiva-pipeline adopt` (see"
            " docs/go-live.md).",
        )


def no_strangers(ledger: Ledger, kiva_loans: pd.DataFrame) -> None:
    """Raise if Kiva lists a loan made after go-live that this ledger never sent or adopted.

    Args:
        ledger: One that nobody adopted (in the sandbox) has no day to begin with: all may pass.
        kiva_loans: ``KIVA_LOAN_COLUMNS``, today's.

    Raises:
        NotAllowedNowError: There is such a loan; up to five are named.
    """
    go_live_on = ledger.card().go_live_on
    if not go_live_on:
        return
    with ledger.reading() as connection:
        known = drafts_at_kiva(connection)
    found = strangers(kiva_loans, known, date.fromisoformat(go_live_on))
    if not found:
        return
    shown = ", ".join(found[:_TOLD_IDS])
    if len(found) > _TOLD_IDS:
        shown += f" and {len(found) - _TOLD_IDS:,} more"
    raise NotAllowedNowError(
        f"Kiva lists {len(found):,} loan(s) made since {go_live_on} that this ledger never sent:"
        f" {shown}. Somebody posted them by hand in PA2, or another pipeline posts for this"
        " partner, or this ledger is not the one it was (lost, or restored from a backup).",
        "Nothing is sent until it is clear which. By hand: `kiva-pipeline adopt`. Another pipeline:"
        " stop it, then adopt. Another ledger: put the right one back, or adopt with the list of"
        " drafts that wait in PA2.",
    )


def objections(ledger: Ledger, settings: Settings, kiva_loans: pd.DataFrame) -> list[str]:
    """Why a run would send nothing now, in words; for those who only plan."""
    found = []
    try:
        may_write(ledger, settings)
    except NotAllowedNowError as refused:
        found.append(str(refused))
    try:
        no_strangers(ledger, kiva_loans)
    except NotAllowedNowError as refused:
        found.append(str(refused))
    return found


def gate(submission: Submission, ledger: Ledger, settings: Settings) -> Callable[[], str]:
    """Asked before each batch: a pause or the end of the month stops a run that is under way."""

    def why_not() -> str:
        with ledger.reading() as connection:
            card = connection.execute(sa.select(ledger_table)).one()
            marks = month_marks(connection) if submission.kind is PostKind.REPAYMENT else ()
        if card.paused_by:
            return f"paused by {card.paused_by}: {card.paused_why}"
        if (
            submission.kind is PostKind.REPAYMENT
            and report_phase(settings, submission.month, marks) is not Phase.OPEN
        ):
            return "the month's report is not open any more"
        return ""

    return why_not
