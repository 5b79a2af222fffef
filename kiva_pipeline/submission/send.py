"""The loop that posts: intents are committed, then their requests are made, then settled.

One thread owns the ledger; worker threads only post. What must not break: a request is made only
after the transaction that holds its intent has committed, and no HTTP happens inside one.
Whatever leaves rows in flight, from ``kill -9`` to a power cut, is repaired by the next sender,
which turns them into ``uncertain``. An exception or Ctrl-C waits for the answers that are under
way and records them: an answer that is known is never thrown away.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Protocol

from kiva_pipeline.errors import NotAllowedNowError, PipelineError
from kiva_pipeline.partner_api.errors import CredentialsRejectedError
from kiva_pipeline.partner_api.exchange import Exchange, PostKind, Unanswered
from kiva_pipeline.submission import attempts
from kiva_pipeline.submission.attempts import Intent, Settlement
from kiva_pipeline.submission.bodies import BodyWriter, PhotoChangedError
from kiva_pipeline.submission.classify import Fate, Verdict, classify
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.outcomes import settlement_of
from kiva_pipeline.submission.plan_writes import defer_group
from kiva_pipeline.submission.planned_rows import column_of
from kiva_pipeline.submission.queue import Group, SendQueue
from kiva_pipeline.submission.states import State

MAX_UNCERTAIN = 3
MAX_REFUSALS_IN_A_ROW = 10
MAX_NOT_SENT_IN_A_ROW = 4
DEFAULT_RETRY_AFTER = 10.0


class Poster(Protocol):
    """What the loop needs of the Partner API."""

    def post(self, kind: PostKind, body: bytes, attempt_id: str) -> Exchange:
        """Make exactly one exchange; raise only when no token can be had before it."""
        ...


@dataclass(slots=True)
class SendSummary:
    """What a run of the loop did.

    Attributes:
        requests: Exchanges made.
        uncertain: Attempts whose outcome is not known.
        stopped: Why the loop ended before the queue was empty; "" if it did not.
        error: What to raise once everything is recorded; None if nothing.
    """

    requests: int = 0
    uncertain: int = 0
    stopped: str = ""
    error: PipelineError | None = None


@dataclass(slots=True)
class Sender:
    """Sends what a queue holds.

    Attributes:
        ledger: The sender lock of its partner must be held.
        api: Posts.
        kind: What is posted.
        period: The ledger's period of these rows; empty for what is created once.
        month: The partition that asks for it.
        bodies: Makes each request's bytes.
        actor: Who sends.
        max_in_flight: Requests at once.
        retry_after_cap: The longest wait that a 429 may ask for, in seconds.
        may_send: Asked before each batch; returns why not, or "".
        pause: Waits so many seconds; the tests' clock stands in for it.
        progress: Told how many rows each request settled, once that is recorded.
    """

    ledger: Ledger
    api: Poster
    kind: PostKind
    period: str
    month: str
    bodies: BodyWriter
    actor: Actor
    max_in_flight: int
    retry_after_cap: float
    may_send: Callable[[], str]
    pause: Callable[[float], None]
    progress: Callable[[int], None] = lambda _rows: None
    summary: SendSummary = field(default_factory=SendSummary)
    _running: "dict[Future[Exchange], _Posted]" = field(default_factory=dict)
    _refusals: int = 0
    _not_sent: int = 0
    _throttled: int = 0
    _wait: float | None = None

    def run(self, queue: SendQueue) -> SendSummary:
        """Send until the queue is empty or the stop rule fires.

        Returns:
            The summary; ``error`` in it is for the caller to raise after its own bookkeeping.
        """
        with ThreadPoolExecutor(self.max_in_flight, thread_name_prefix="kiva-post") as pool:
            try:
                self._until_done(queue, pool)
            finally:  # nothing is under way any more, unless something was raised
                wait(self._running)
                self._record(self._answered(queue), [])
        return self.summary

    def _until_done(self, queue: SendQueue, pool: ThreadPoolExecutor) -> None:
        while True:
            answered = self._answered(queue)
            ready = self._next(queue, free=self.max_in_flight - len(self._running) + len(answered))
            intents = [self._intent(group, body) for group, body in ready]
            self._record(answered, intents)
            for (group, body), intent in zip(ready, intents, strict=True):
                self.summary.requests += 1
                future = pool.submit(self.api.post, self.kind, body, intent.attempt_id)
                written = replace(group, written=True)
                self._running[future] = _Posted(written, intent.attempt_id)
            if self._running:
                wait(self._running, return_when=FIRST_COMPLETED)
            elif self._wait is not None and not self.summary.stopped:
                self.pause(self._wait)
                self._wait = None
            elif not ready:
                return

    def _answered(self, queue: SendQueue) -> "dict[Future[Exchange], Settlement]":
        """What to record for the requests that are over; each is judged once."""
        done = {}
        for future, posted in self._running.items():
            if future.done():
                if posted.settlement is None:
                    posted.settlement = self._settlement(future, posted, queue)
                done[future] = posted.settlement
        return done

    def _record(
        self, answered: "dict[Future[Exchange], Settlement]", intents: list[Intent]
    ) -> None:
        """Answers and the next intents in one transaction."""
        if not (answered or intents):
            return
        # An intent needs the sender lock; an answer that is known is kept also when that is lost.
        with self.ledger.writing() if intents else self.ledger.settling() as connection:
            attempts.settle_all(connection, list(answered.values()), self.actor)
            attempts.write_intents(connection, intents, self.actor)
        settled = [(self._running.pop(future), s.state) for future, s in answered.items()]
        rows = sum(len(p.group.rows) for p, state in settled if state is not State.PLANNED)
        if rows:
            self.progress(rows)

    def _next(self, queue: SendQueue, *, free: int) -> list[tuple[Group, bytes]]:
        """The next groups with their bodies; none while stopping or waiting."""
        made: list[tuple[Group, bytes]] = []
        while len(made) < free and not self.summary.stopped and self._wait is None:
            groups = queue.take(free - len(made))
            if not groups:
                break
            if why_not := self.may_send():
                queue.put_back(*groups)
                self._stop(why_not, NotAllowedNowError(why_not))
                break
            for group in groups:
                try:
                    made.append((group, self.bodies(group.rows)))
                except PhotoChangedError:
                    self._set_aside(group)
        return made

    def _set_aside(self, group: Group) -> None:
        with self.ledger.writing() as connection:
            defer_group(connection, group, self.kind.value, self.period, self.month,
                        "photo_changed", self.actor)  # fmt: skip

    def _intent(self, group: Group, body: bytes) -> Intent:
        amounts = [each for each in column_of(group.rows, "amount") if each is not None]
        return Intent(
            attempt_id=str(uuid.uuid4()),
            kind=self.kind.value,
            period=self.period,
            month=self.month,
            group=group,
            total=sum(amounts) if amounts else None,
            body_sha256=hashlib.sha256(body).hexdigest(),
        )

    def _settlement(
        self, future: Future[Exchange], posted: "_Posted", queue: SendQueue
    ) -> Settlement:
        group, attempt_id = posted.group, posted.attempt_id
        try:
            exchange = future.result()
        except PipelineError as error:  # raised before the POST: no token could be had
            self._stop("credentials", error)
            return Settlement(attempt_id, Fate.NOT_SENT.value, State.PLANNED, "run_ended")
        except Exception as error:  # noqa: BLE001  a fault of ours says nothing about the server
            exchange = Unanswered(type(error).__name__)
        verdict = classify(self.kind, exchange, _loan_ids(self.kind, group))
        self._react(verdict, group, queue)
        return settlement_of(verdict, group, attempt_id)

    def _react(self, verdict: Verdict, group: Group, queue: SendQueue) -> None:
        """Count, put back, wait or stop, as the verdict asks."""
        fate = verdict.fate
        if fate in _GETS_ON:
            self._not_sent = self._throttled = 0
        if fate is Fate.ACCEPTED:
            self._refusals = 0
        elif fate is Fate.REFUSED and len(group.rows) > 1:
            queue.put_back(*group.halves())
        elif fate is Fate.REFUSED:
            self._refusals += 1
            if self._refusals >= MAX_REFUSALS_IN_A_ROW:
                self._stop(f"{self._refusals} refusals in a row")
        elif fate is Fate.UNCERTAIN:
            self.summary.uncertain += 1
            if verdict.foreign:
                self._stop("an answer names a loan that was not sent")
            elif self.summary.uncertain >= MAX_UNCERTAIN:
                self._stop(f"{self.summary.uncertain} answers were lost")
        elif fate is Fate.UNAUTHORISED:
            self._unauthorised(verdict, group, queue)
        else:
            queue.put_back(group)
            self._back_off(verdict)

    def _unauthorised(self, verdict: Verdict, group: Group, queue: SendQueue) -> None:
        if not group.refused_token:  # the client has dropped the token: the next has a fresh one
            queue.put_back(replace(group, refused_token=True))
            return
        self._stop(
            "credentials",
            CredentialsRejectedError(
                f"Kiva answers {verdict.http_status} to a fresh token when posting"
                f" {self.kind.value}.",
                f"Check the credentials, and that Kiva granted them the scope {self.kind.scope}.",
            ),
        )

    def _back_off(self, verdict: Verdict) -> None:
        """Wait, but give up in the end; requests that were under way together count once."""
        first = self._wait is None
        if verdict.fate is Fate.NOT_SENT:
            self._not_sent += first
            seconds = min(2.0 ** max(self._not_sent - 1, 0), self.retry_after_cap)
            if self._not_sent >= MAX_NOT_SENT_IN_A_ROW:
                self._stop("Kiva can't be reached")
        else:
            self._throttled += first
            asked = verdict.retry_after_seconds
            seconds = DEFAULT_RETRY_AFTER if asked is None else asked
            if seconds > self.retry_after_cap or self._throttled > 1:
                self._stop("Kiva asks to slow down")
        self._wait = max(self._wait or 0.0, seconds)

    def _stop(self, why: str, error: PipelineError | None = None) -> None:
        self.summary.stopped = self.summary.stopped or why
        self.summary.error = self.summary.error or error


@dataclass(slots=True)
class _Posted:
    group: Group
    attempt_id: str
    settlement: Settlement | None = None


# Kiva took the request in hand: whatever kept the ones before it from arriving is over.
_GETS_ON = frozenset({Fate.ACCEPTED, Fate.REFUSED, Fate.UNCERTAIN})


def _loan_ids(kind: PostKind, group: Group) -> Sequence[str]:
    if kind is PostKind.REPAYMENT:
        return column_of(group.rows, "business_id")
    return [loan for ids in column_of(group.rows, "loan_ids") for loan in json.loads(ids or "[]")]
