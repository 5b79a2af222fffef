"""Acts of a person: who and why, and the acts on the ledger as a whole or on a month's report.

What must not break: an act and its event are one transaction, and neither ``pause`` nor ``close``
waits for the sender lock: a sender that is at work reads them before its next batch and stops.
Acts on single rows are in ``resolve``, ``retry`` and ``approve``.
"""

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.errors import NotAllowedNowError, SenderBusyError, SettingsError
from kiva_pipeline.periods import Month, Phase
from kiva_pipeline.settings import BY_VARIABLE, Settings
from kiva_pipeline.submission.ledger import Ledger, Rows, now_text
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.lock import sender_lock
from kiva_pipeline.submission.reporting_period import month_marks
from kiva_pipeline.submission.states import State
from kiva_pipeline.submission.tables import event, ledger, report_month, submission
from kiva_pipeline.submission.witness import keep_witness_if_possible

_LONGEST_NAME, _LONGEST_REASON = 100, 500

# What a person did that concerns no single row; a month's acts carry the month behind the word.
PAUSED, RESUMED = "paused", "resumed"
CLOSED, REOPENED, EXTENDED = "closed", "reopened", "extended"


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts, and the reason they gave; both are kept in the ledger's events for ever.

    Attributes:
        name: Never empty.
        why: Never empty.
        run_id: Dagster's, where the act was done there.
    """

    name: str
    why: str
    run_id: str = ""

    @property
    def actor(self) -> Actor:
        """The same for the ledger's writers."""
        return Actor(self.name, self.run_id)


def person(by: str | None, why: str | None, *, run_id: str = "") -> Person:
    """A person who may act, from what was typed.

    Raises:
        SettingsError: The name or the reason is missing, empty or too long.
    """
    name, reason = _one_line(by), _one_line(why)
    if not name:
        raise SettingsError(
            "A person's act needs the name of the person.",
            f"Add --by NAME, or set {BY_VARIABLE}: it is kept with the act.",
        )
    if not reason:
        raise SettingsError(
            "A person's act needs a reason.",
            "Add --why REASON in your own words, without a borrower's name: it is kept for ever.",
        )
    for what, text, longest in (
        ("name", name, _LONGEST_NAME),
        ("reason", reason, _LONGEST_REASON),
    ):
        if len(text) > longest:
            raise SettingsError(
                f"The {what} has {len(text)} characters; it may have {longest}.", "Shorten it."
            )
    return Person(name, reason, run_id)


@contextlib.contextmanager
def among_senders(book: Ledger, settings: Settings, act: str, who: Person) -> Iterator[None]:
    """Hold the sender lock for an act on rows, so that it never races a sender.

    Raises:
        SenderBusyError: A sender is at work, and stayed so for ``state.wait_for_lock_seconds``.
    """
    with sender_lock(
        book,
        run_id=who.run_id or f"{act} by {who.name}",
        wait_seconds=settings.state.wait_for_lock_seconds,
    ):
        yield
        keep_witness_if_possible(book, settings.state.folder)


def _witnessed(book: Ledger, settings: Settings) -> None:
    # A backup that was restored must not forget the act. A sender that is at work sees to it at
    # its end; nobody waits for that here.
    with contextlib.suppress(SenderBusyError), sender_lock(book, run_id="act", wait_seconds=0):
        keep_witness_if_possible(book, settings.state.folder)


def _one_line(text: str | None) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text or "")
    return " ".join(shown.split())


def pause(book: Ledger, settings: Settings, who: Person) -> None:
    """Stop all sending: a run that is at work stops before its next batch.

    Raises:
        NotAllowedNowError: It is paused already.
    """
    with book.writing() as connection:
        card = connection.execute(sa.select(ledger)).one()
        if card.paused_by:
            raise NotAllowedNowError(
                f"Sending is paused already, by {card.paused_by}: {card.paused_why}.",
                "`kiva-pipeline resume` lets it go on.",
            )
        connection.execute(ledger.update().values(paused_by=who.name, paused_why=who.why))
        note_act(connection, PAUSED, who)
    _witnessed(book, settings)


def resume(book: Ledger, settings: Settings, who: Person) -> tuple[str, str]:
    """Let sending go on.

    Returns:
        Who had paused it, and why.

    Raises:
        NotAllowedNowError: It is not paused.
    """
    with book.writing() as connection:
        card = connection.execute(sa.select(ledger)).one()
        if not card.paused_by:
            raise NotAllowedNowError("Sending is not paused.", "There is nothing to resume.")
        connection.execute(ledger.update().values(paused_by=None, paused_why=None))
        note_act(connection, RESUMED, who)
    _witnessed(book, settings)
    return card.paused_by, card.paused_why


@dataclass(frozen=True, slots=True)
class Unreported:
    """A loan of a month's report whose figure Kiva does not have, or may not have.

    Attributes:
        business_id: The loan as sent to Kiva.
        state: Its newest state.
        reason_code: Why.
        currency: Of the amount.
        currency_digits: Of the currency.
        amount: The figure, in minor units; None where the MIS has none.
    """

    business_id: str
    state: str
    reason_code: str
    currency: str
    currency_digits: int | None
    amount: int | None


def close_month(book: Ledger, settings: Settings, month: Month, who: Person) -> list[Unreported]:
    """The month's report was finalized in PA2: nothing more of it is ever posted.

    Returns:
        The loans of the report that Kiva has no figure for from here (it invoices them as if they
        had paid on schedule), and those where that is not known.

    Raises:
        NotAllowedNowError: The month is not over, or its report is closed already.
    """
    _over(month, settings.clock.today())
    with book.writing() as connection:
        known = _known_month(connection, month)
        if known and known.closed_at:
            raise NotAllowedNowError(
                f"The report of {month} is closed already, since {known.closed_at[:19]} UTC"
                f"{_by_whom(connection, CLOSED, month)}.",
                "There is nothing to do.",
            )
        _write_month(connection, month, closed_at=now_text())
        note_act(connection, f"{CLOSED} {month}", who)
        left = unreported(connection, month)
    _witnessed(book, settings)
    return left


def reopen_month(book: Ledger, settings: Settings, month: Month, who: Person) -> None:
    """Take back a ``close`` that was a mistake: the report is not final in PA2 after all.

    Raises:
        NotAllowedNowError: The month's report is not closed.
    """
    with book.writing() as connection:
        known = _known_month(connection, month)
        if not (known and known.closed_at):
            raise NotAllowedNowError(
                f"The report of {month} was not closed by anybody.",
                "`kiva-pipeline status` says which month is open.",
            )
        _write_month(connection, month, closed_at=None)
        note_act(connection, f"{REOPENED} {month}", who)
    _witnessed(book, settings)


def extend_month(book: Ledger, settings: Settings, month: Month, until: date, who: Person) -> None:
    """Kiva gave more time: the month's report may be posted until the end of a later day.

    Args:
        book: The ledger.
        settings: The partner's; the day is one of their time zone.
        month: Which report.
        until: The last day.
        who: The person.

    Raises:
        NotAllowedNowError: The month is not over or is closed, the day is in the past, no later
            than the calendar's own or so late that the next month could not be reported; or the
            month was over already and a later one may be open in PA2: Kiva's API knows no months,
            what is posted lands in the one that is open there.
    """
    today, calendar = settings.clock.today(), settings.calendar.reporting
    _over(month, today)
    own, following = calendar.closes_on(month), month.plus(1)
    if until < today:
        raise NotAllowedNowError(
            f"{until} is in the past: it is {today}.", "Name a day from today on."
        )
    if until >= calendar.closes_on(following):
        raise NotAllowedNowError(
            f"The report of {month} can't be open until {until}: that of {following}, which waits"
            f" meanwhile, must be posted by {calendar.closes_on(following)}.",
            f"The last possible day is {calendar.closes_on(following) - timedelta(days=1)}.",
        )
    if until <= own:
        raise NotAllowedNowError(
            f"The report of {month} is open until {own} anyway.", "Name a later day."
        )
    with book.writing() as connection:
        known = _known_month(connection, month)
        if known and known.closed_at:
            raise NotAllowedNowError(
                f"The report of {month} is closed since {known.closed_at[:19]} UTC"
                f"{_by_whom(connection, CLOSED, month)}.",
                "A report that is final in PA2 takes no more figures: what is missing goes with"
                " the next month's. If it was closed by mistake: `kiva-pipeline close --undo`.",
            )
        phase = calendar.phase(month, today, month_marks(connection))
        if phase is not Phase.OPEN and today >= calendar.opens_on(following):
            raise NotAllowedNowError(
                f"The report of {month} was over before that of {following} opened on"
                f" {calendar.opens_on(following)}: its figures would land in a later month's.",
                "What is missing goes with the report that is open: `kiva-pipeline status`.",
            )
        _write_month(connection, month, extended_until=until.isoformat())
        note_act(connection, f"{EXTENDED} {month}", who, f" (until {until})")
    _witnessed(book, settings)


def unreported(connection: Connection, month: Month) -> list[Unreported]:
    """The loans of a month's report without a figure at Kiva, by the newest version of each."""
    s = submission.c
    newest = (
        sa.select(sa.func.max(s.id))
        .where(s.kind == "repayment", s.period == str(month))
        .group_by(s.business_id)
    )
    has_figure = sa.select(s.business_id).where(
        s.kind == "repayment", s.period == str(month), s.state == State.ACCEPTED.value
    )
    rows = connection.execute(
        sa.select(
            s.business_id, s.state, s.reason_code, s.currency, s.currency_digits, s.amount
        )
        .where(
            s.id.in_(newest),
            s.state != State.NOT_EXPECTED.value,
            s.business_id.not_in(has_figure),
        )
        .order_by(s.state, s.business_id)
    ).all()  # fmt: skip
    return [Unreported(**row._mapping) for row in rows]  # noqa: SLF001  public Row API


def acts_of_persons(connection: Connection, *, newest: int) -> Rows:
    """``at, action, who, why`` of the newest acts on the ledger or a month, the newest first."""
    e = event.c
    words = (PAUSED, RESUMED, CLOSED, REOPENED, EXTENDED)
    return connection.execute(
        sa.select(e.at, e.action, e.who, e.why)
        .where(
            e.submission_id.is_(None),
            e.attempt_id.is_(None),
            sa.or_(*(e.action.startswith(word) for word in words)),
        )
        .order_by(e.id.desc())
        .limit(newest)
    ).all()


def acts_on_months(connection: Connection, months: Collection[str]) -> Rows:
    """``id, at, action, who, why`` of what persons did to the reports of these months."""
    e = event.c
    actions = [f"{word} {month}" for word in (CLOSED, REOPENED, EXTENDED) for month in months]
    return connection.execute(
        sa.select(e.id, e.at, e.action, e.who, e.why)
        .where(e.submission_id.is_(None), e.action.in_(actions))
        .order_by(e.id)
    ).all()


def note_act(connection: Connection, action: str, who: Person, added: str = "") -> None:
    """Write down an act that concerns no single row."""
    connection.execute(
        event.insert().values(
            at=now_text(), action=action, who=who.name, why=who.why + added, run_id=who.run_id
        )
    )


def _over(month: Month, today: date) -> None:
    if month.last_day >= today:
        raise NotAllowedNowError(
            f"{month} is not over: its report can't have been made yet.",
            "Check the month: the report of a month is posted in the month after it.",
        )


def _known_month(connection: Connection, month: Month) -> Any:  # noqa: ANN401  a row or None
    return connection.execute(
        sa.select(report_month).where(report_month.c.month == str(month))
    ).one_or_none()


def _write_month(connection: Connection, month: Month, **columns: str | None) -> None:
    this = report_month.c.month == str(month)
    if not connection.execute(report_month.update().where(this).values(**columns)).rowcount:
        connection.execute(report_month.insert().values(month=str(month), **columns))


def _by_whom(connection: Connection, action: str, month: Month) -> str:
    e = event.c
    who = connection.execute(
        sa.select(e.who).where(e.action == f"{action} {month}").order_by(e.id.desc()).limit(1)
    ).scalar()
    return f", by {who}" if who else ""
