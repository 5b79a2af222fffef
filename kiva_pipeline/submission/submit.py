"""The one way to Kiva: run, re-run, backfill, retry and the command line all call ``submit``.

Under the sender lock: recover orphans, look before sending, plan against the ledger, send, and say
what became of every row. A dry run takes no lock and writes nothing.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kiva_pipeline.frames import FrameSpool, StoredFrame
from kiva_pipeline.mis.records import empty_frame
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.attempts import recover_orphans
from kiva_pipeline.submission.decisions import DECISION_COLUMNS, Tally, final_decisions
from kiva_pipeline.submission.digest import PlanDigest
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.lock import sender_lock
from kiva_pipeline.submission.month_planner import MonthPlanner
from kiva_pipeline.submission.month_submission import Submission
from kiva_pipeline.submission.plan_cards import (
    SHORTEST_DIGEST,
    PlanMovedError,
    checked_digest,
    what_moved,
)
from kiva_pipeline.submission.plan_writes import apply_plan, defer_rest, entering_when_sent
from kiva_pipeline.submission.preflight import gate, may_write, no_strangers, objections
from kiva_pipeline.submission.queue import SendQueue
from kiva_pipeline.submission.run_outcomes import Outcomes
from kiva_pipeline.submission.send import Poster, Sender, SendSummary
from kiva_pipeline.submission.witness import keep_witness, keep_witness_if_possible


class Api(Poster, Protocol):
    """What the send path needs of the Partner API."""

    def check_grant(self, needed_scopes: list[str]) -> object:
        """Raise unless the credentials work and grant the scopes."""
        ...

    def loans_total(self) -> int:
        """One GET, to see that Kiva answers before anything is written."""
        ...


@dataclass(frozen=True, slots=True)
class ExpectedPlan:
    """The plan that a person saw.

    Attributes:
        digest: Of this stream's plan; the first twelve digits are enough.
        rows: Its rows by decision, to say what moved; None where that is not known.
    """

    digest: str
    rows: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """How to go about it.

    Attributes:
        dry_run: Plan only: no lock, no request, no write.
        limit: Send at most so many rows; the rest is deferred.
        expected: The plan that a person saw; another one is refused before anything is written.
        progress: Told of rows as they are settled.
        pause: Waits so many seconds.
    """

    dry_run: bool = False
    limit: int | None = None
    expected: "ExpectedPlan | None" = None
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
        objections: Of a dry run: why a run would send nothing now.
        month_held: Why nothing of the month goes until a person approved its table; "" if it does.
    """

    decisions: StoredFrame
    tally: "Tally"
    digest: str
    recovered: int = 0
    summary: SendSummary = field(default_factory=SendSummary)
    objections: list[str] = field(default_factory=list)
    month_held: str = ""


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
        NotAllowedNowError: The ledger is not adopted or not trusted, Kiva lists loans that it does
            not know, or sending is paused.
        PlanMovedError: The plan is not the expected one; nothing of it was written or sent.
        PartnerApiError: No token, a missing scope, another partner, or Kiva can't be reached.
    """
    planner = MonthPlanner(submission, ledger, settings, spool_folder)
    if options.dry_run:
        kiva_loans = submission.kiva_loans()
        made = planner.made(kiva_loans)
        _refuse_another(made, submission, options.expected)
        result = _report(made, submission, ledger, spool_folder, run_id=None)
        result.objections = objections(ledger, settings, kiva_loans)
        result.month_held = planner.month_held
        return result
    may_write(ledger, settings)
    with sender_lock(
        ledger, run_id=actor.run_id, wait_seconds=settings.state.wait_for_lock_seconds
    ):
        may_write(ledger, settings)
        keep_witness(ledger, settings.state.folder)
        try:
            return _sent_month(submission, planner, ledger, api, settings, actor, spool_folder,
                               options)  # fmt: skip
        finally:
            keep_witness_if_possible(ledger, settings.state.folder)


def _sent_month(
    submission: Submission,
    planner: MonthPlanner,
    ledger: Ledger,
    api: Api,
    settings: Settings,
    actor: Actor,
    spool_folder: Path,
    options: SubmitOptions,
) -> SubmitResult:
    """Recover, look, plan and send; the lock is held and the ledger is trusted."""
    with ledger.writing() as connection:
        recovered = recover_orphans(connection, actor)
    api.check_grant([submission.kind.scope])
    api.loans_total()
    kiva_loans = submission.kiva_loans()
    no_strangers(ledger, kiva_loans)
    made = planner.made(kiva_loans)
    try:
        _refuse_another(made, submission, options.expected)
        for chunk in made.chunks():
            with ledger.writing() as connection:
                apply_plan(connection, chunk[~entering_when_sent(chunk)], submission.kind.value,
                           submission.period, str(submission.month), actor)  # fmt: skip
        queue = SendQueue(made, group_size=_group_size(submission, settings), limit=options.limit)
        summary = _send(queue, submission, ledger, api, settings, actor, options)
        limited = options.limit is not None and not summary.stopped
        defer_rest(
            ledger,
            queue.rest(),
            submission.kind.value,
            submission.period,
            str(submission.month),
            "limit_reached" if limited else "run_ended",
            actor,
        )
        result = _report(made, submission, ledger, spool_folder, actor.run_id)
    finally:
        Path(str(made.path)).unlink(missing_ok=True)
    result.recovered, result.summary = recovered, summary
    result.month_held = planner.month_held
    return result


def _group_size(submission: Submission, settings: Settings) -> int:
    return settings.repayments.batch_size if submission.kind is PostKind.REPAYMENT else 1


def _refuse_another(
    made: StoredFrame, submission: Submission, expected: ExpectedPlan | None
) -> None:
    if expected is None:
        return
    digest, rows = PlanDigest(submission.kind.value, str(submission.month)), Counter[str]()
    for plan in made.chunks():
        digest.add(plan)
        rows.update(plan["decision"].value_counts().to_dict())
    if not digest.hex.startswith(checked_digest(expected.digest)):
        raise PlanMovedError(
            f"The plan of {submission.month} moved since {expected.digest[:SHORTEST_DIGEST]} was"
            f" made ({submission.kind.value.replace('_', ' ')}s:"
            f" {what_moved(expected.rows, rows)}).",
            "Nothing of it was sent. Plan again, look at it, and give the new digest.",
        )


def _send(
    queue: SendQueue,
    submission: Submission,
    ledger: Ledger,
    api: Api,
    settings: Settings,
    actor: Actor,
    options: SubmitOptions,
) -> SendSummary:
    sender = Sender(
        ledger=ledger,
        api=api,
        kind=submission.kind,
        period=submission.period,
        month=str(submission.month),
        bodies=submission.bodies,
        actor=actor,
        max_in_flight=settings.api.max_in_flight,
        retry_after_cap=settings.api.retry_after_cap_seconds,
        may_send=gate(submission, ledger, settings),
        pause=options.pause,
        progress=options.progress,
    )
    return sender.run(queue)


def _report(
    made: StoredFrame,
    submission: Submission,
    ledger: Ledger,
    spool_folder: Path,
    run_id: str | None,
) -> SubmitResult:
    """What became of each row, and the totals; ``run_id`` is None where nothing was to be sent."""
    tally, digest = Tally(), PlanDigest(submission.kind.value, str(submission.month))
    with (
        FrameSpool(spool_folder, empty_frame(DECISION_COLUMNS)) as spool,
        ledger.reading() as connection,
    ):
        outcomes = None
        if run_id is not None:
            outcomes = Outcomes(connection, submission.kind.value, submission.period, run_id)
        for plan in made.chunks():
            digest.add(plan)
            chunk = final_decisions(plan, outcomes)
            tally.add(chunk)
            spool.append(chunk)
    with contextlib.suppress(OSError):
        Path(str(made.path)).unlink()
    return SubmitResult(spool.finished, tally, digest.hex)
