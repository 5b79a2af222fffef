"""The one way to Kiva: run, re-run, backfill, retry and the command line all call ``submit``.

Under the sender lock: recover orphans, look before sending, plan against the ledger, send, and say
what became of every row. A dry run takes no lock and writes nothing.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import pandas as pd
from sqlalchemy.engine import Connection

from kiva_pipeline.errors import NotAllowedNowError
from kiva_pipeline.frames import FrameSpool, StoredFrame
from kiva_pipeline.mis.records import empty_frame
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.periods import Month
from kiva_pipeline.settings import Environment, Settings
from kiva_pipeline.submission import ledger_writes as writes
from kiva_pipeline.submission.attempts import recover_orphans
from kiva_pipeline.submission.bodies import BodyWriter
from kiva_pipeline.submission.conflicts import members_of, normalised_ids
from kiva_pipeline.submission.decisions import DECISION_COLUMNS, Tally, final_decisions
from kiva_pipeline.submission.digest import PlanDigest
from kiva_pipeline.submission.known import known_frame
from kiva_pipeline.submission.ledger import (
    Ledger,
    draft_members,
    known_rows,
    last_sent,
    now_text,
)
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.lock import sender_lock
from kiva_pipeline.submission.plan import (
    PLAN_COLUMNS,
    Phase,
    ReportTerms,
    plan_creates,
    plan_reports,
)
from kiva_pipeline.submission.plan_writes import apply_plan
from kiva_pipeline.submission.queue import SendQueue
from kiva_pipeline.submission.send import Poster, Sender, SendSummary

# A daily schedule must find yesterday's refusal a day old, also when it ran a little later then.
_A_DAY = timedelta(hours=20)


class Api(Poster, Protocol):
    """What the send path needs of the Partner API."""

    def check_grant(self, needed_scopes: list[str]) -> object:
        """Raise unless the credentials work and grant the scopes."""
        ...

    def loans_total(self) -> int:
        """One GET, to see that Kiva answers before anything is written."""
        ...


@dataclass(frozen=True, slots=True)
class Submission:
    """One kind of effect of one month, to be planned and sent.

    Attributes:
        kind: Loan drafts, repayments or journals.
        month: The partition.
        rows: What the rules made of the month (``rules.rows``), sorted by ``business_id``.
        bodies: Makes each request's bytes.
        kiva_loan_ids: Asks for the loans that ``GET /loans`` lists now; called under the lock.
    """

    kind: PostKind
    month: Month
    rows: StoredFrame
    bodies: BodyWriter
    kiva_loan_ids: Callable[[], list[str]]

    @property
    def period(self) -> str:
        """The ledger's period: a repayment's month; empty for what is created once."""
        return str(self.month) if self.kind is PostKind.REPAYMENT else ""


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """How to go about it.

    Attributes:
        dry_run: Plan only: no lock, no request, no write.
        limit: Send at most so many rows; the rest is deferred.
        progress: Told of rows as they are settled.
        pause: Waits so many seconds.
    """

    dry_run: bool = False
    limit: int | None = None
    progress: Callable[[int], None] = lambda _rows: None
    pause: Callable[[float], None] = time.sleep


@dataclass(slots=True)
class SubmitResult:
    """What became of a month.

    Attributes:
        decisions: ``DECISION_COLUMNS``: one row for each id, in a spooled file.
        tally: Rows and money by decision.
        digest: Of the plan: another run with the same digest would have sent the same.
        recovered: Rows that a sender before this one left in flight.
        summary: What was sent.
    """

    decisions: StoredFrame
    tally: "Tally"
    digest: str
    recovered: int = 0
    summary: SendSummary = field(default_factory=SendSummary)


def submit(
    submission: Submission,
    *,
    ledger: Ledger,
    api: Api,
    settings: Settings,
    actor: Actor,
    spool_folder: Path,
    options: SubmitOptions,
) -> SubmitResult:
    """Bring Kiva up to date with one month of one stream.

    Raises:
        SenderBusyError: Another sender is at work for this partner.
        NotAllowedNowError: The ledger is not adopted, or sending is paused.
        PartnerApiError: No token, a missing scope, another partner, or Kiva can't be reached.
    """
    plan = _Planner(submission, ledger, settings, spool_folder)
    if options.dry_run:
        return _report(plan.made(), submission, ledger, spool_folder, planned_stay=True)
    _may_write(ledger, settings)
    with sender_lock(
        ledger, run_id=actor.run_id, wait_seconds=settings.state.wait_for_lock_seconds
    ):
        with ledger.writing() as connection:
            recovered = recover_orphans(connection, actor)
        _may_write(ledger, settings)
        api.check_grant([submission.kind.scope])
        api.loans_total()
        made = plan.made()
        try:
            for chunk in made.chunks():
                with ledger.writing() as connection:
                    apply_plan(connection, chunk, submission.kind.value, submission.period,
                               str(submission.month), actor)  # fmt: skip
            summary = _send(submission, ledger, api, settings, actor, options)
            with ledger.writing() as connection:
                limited = options.limit is not None and not summary.stopped
                why = "limit_reached" if limited else "run_ended"
                writes.defer_rest(
                    connection, submission.kind.value, str(submission.month), why, actor
                )
            result = _report(made, submission, ledger, spool_folder, planned_stay=False)
        finally:
            Path(str(made.path)).unlink(missing_ok=True)
    result.recovered, result.summary = recovered, summary
    return result


def report_phase(settings: Settings, month: Month) -> Phase:
    """Whether the month's report may be posted today."""
    today, calendar = settings.clock.today(), settings.calendar.reporting
    if calendar.open_month(today) == month:
        return Phase.OPEN
    return Phase.NOT_YET if today < calendar.opens_on(month) else Phase.CLOSED


def _may_write(ledger: Ledger, settings: Settings) -> None:
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


class _Planner:
    """Plans a month chunk by chunk, so that memory grows with a chunk and not with the month."""

    def __init__(
        self, submission: Submission, ledger: Ledger, settings: Settings, spool_folder: Path
    ) -> None:
        self._submission = submission
        self._ledger = ledger
        self._settings = settings
        self._folder = spool_folder
        self._kiva_ids: frozenset[str] = frozenset()

    def made(self) -> StoredFrame:
        """``PLAN_COLUMNS`` of the whole month, in a spooled file."""
        self._kiva_ids = normalised_ids(self._submission.kiva_loan_ids())
        with (
            FrameSpool(self._folder, empty_frame(PLAN_COLUMNS)) as spool,
            self._ledger.reading() as connection,
        ):
            for wanted, above, up_to in self._ranges():
                spool.append(self._chunk(connection, wanted, above, up_to))
        return spool.finished

    def _ranges(self) -> Iterator[tuple[pd.DataFrame, str, str | None]]:
        """Chunks of the wanted rows with the range of ids that each answers for.

        Together the ranges cover every id, so that what the ledger knows and the month no longer
        has is met in its place. What is created once is planned as a whole: a member's loan must be
        in one draft only, wherever in the month the other one is.
        """
        above, held, last = "", None, ""
        rows = self._submission.rows
        whole = self._submission.kind is not PostKind.REPAYMENT
        for chunk in rows.chunks(rows=max(len(rows), 1)) if whole else rows.chunks():
            ids = chunk["business_id"]
            if not (ids.is_monotonic_increasing and ids.is_unique and ids.iloc[0] > last):
                msg = "rows must be sorted by business_id and unique"
                raise ValueError(msg)
            if held is not None:
                yield held, above, last
                above = last
            held, last = chunk, ids.iloc[-1]
        yield (self._submission.rows.read() if held is None else held), above, None

    def _chunk(
        self, connection: Connection, wanted: pd.DataFrame, above: str, up_to: str | None
    ) -> pd.DataFrame:
        submission, kind = self._submission, self._submission.kind
        known = known_frame(
            known_rows(connection, kind.value, submission.period, above=above, up_to=up_to)
        )
        if kind is PostKind.REPAYMENT:
            newest = pd.DataFrame.from_records(
                [tuple(r) for r in last_sent(connection, kind.value, above=above, up_to=up_to)],
                columns=["business_id", "period", "amount", "version"],
            ).astype({"business_id": "str", "period": "str", "amount": "Int64"})
            newest = newest.drop_duplicates("business_id", keep="last").drop(columns="version")
            return plan_reports(wanted, known, newest, self._terms())
        of_month = str(submission.month)
        mine = (
            known["business_id"].isin(wanted["business_id"])
            | (known["last_month"] == of_month)
            | (known["sent_month"] == of_month)
        )
        drafts = kind is PostKind.LOAN_DRAFT
        return plan_creates(
            wanted,
            known[mine],
            month=submission.month,
            kiva_ids=self._kiva_ids,
            claims=claims_frame(connection) if drafts else None,
        )

    def _terms(self) -> ReportTerms:
        settings, month = self._settings, self._submission.month
        return ReportTerms(
            month=month,
            phase=report_phase(settings, month),
            refused_since=now_text(settings.clock.now() - _A_DAY),
            replaces=settings.repayments.repayments_replace,
            hold_jump_above=settings.repayments.hold_jump_above,
        )


def claims_frame(connection: Connection) -> pd.DataFrame:
    """``loan_id, business_id`` of every draft that has a claim on its loans."""
    return members_of(
        pd.DataFrame.from_records(
            [(row.business_id, row.loan_ids) for row in draft_members(connection)],
            columns=["business_id", "loan_ids"],
        ).astype("str")
    )


def _send(
    submission: Submission,
    ledger: Ledger,
    api: Api,
    settings: Settings,
    actor: Actor,
    options: SubmitOptions,
) -> SendSummary:
    group_size = settings.repayments.batch_size if submission.kind is PostKind.REPAYMENT else 1
    sender = Sender(
        ledger=ledger,
        api=api,
        kind=submission.kind,
        month=str(submission.month),
        bodies=submission.bodies,
        actor=actor,
        max_in_flight=settings.api.max_in_flight,
        retry_after_cap=settings.api.retry_after_cap_seconds,
        may_send=_gate(submission, ledger, settings),
        pause=options.pause,
        progress=options.progress,
    )
    queue = SendQueue(
        ledger,
        kind=submission.kind.value,
        month=str(submission.month),
        period=submission.period,
        group_size=group_size,
        limit=options.limit,
    )
    return sender.run(queue)


def _gate(submission: Submission, ledger: Ledger, settings: Settings) -> Callable[[], str]:
    """Asked before each batch: a pause or the end of the month stops a run that is under way."""

    def why_not() -> str:
        if ledger.card().paused_by:
            return "paused"
        if (
            submission.kind is PostKind.REPAYMENT
            and report_phase(settings, submission.month) is not Phase.OPEN
        ):
            return "the month's report is not open any more"
        return ""

    return why_not


def _report(
    made: StoredFrame,
    submission: Submission,
    ledger: Ledger,
    spool_folder: Path,
    *,
    planned_stay: bool,
) -> SubmitResult:
    """What became of each planned row, read back from the ledger, and the totals."""
    tally, digest = Tally(), PlanDigest(submission.kind.value)
    with (
        FrameSpool(spool_folder, empty_frame(DECISION_COLUMNS)) as spool,
        ledger.reading() as connection,
    ):
        for plan in made.chunks():
            digest.add(plan)
            chunk = final_decisions(
                connection,
                plan,
                submission.kind.value,
                submission.period,
                read_back=not planned_stay,
            )
            tally.add(chunk)
            spool.append(chunk)
    with contextlib.suppress(OSError):
        Path(str(made.path)).unlink()
    return SubmitResult(spool.finished, tally, digest.hex)
