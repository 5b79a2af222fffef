"""Plans a month of one stream: the pure planner, fed from the stored rows and the ledger.

What must not break: the ranges of ids that are planned one after the other cover every id, so that
what the ledger knows and the month no longer has is met in its place; and a month's report is
judged as a whole, by one clock, before a single figure of it may go.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
from sqlalchemy.engine import Connection

from kiva_pipeline.frames import FrameSpool, StoredFrame
from kiva_pipeline.lookups import among
from kiva_pipeline.mis.records import empty_frame
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.approvals import approved_figures
from kiva_pipeline.submission.baselines import baselines_frame
from kiva_pipeline.submission.conflicts import CLAIM_COLUMNS, normalised_ids
from kiva_pipeline.submission.known import known_frame
from kiva_pipeline.submission.ledger import Ledger, draft_members, known_rows, now_text
from kiva_pipeline.submission.limits import RunLimits
from kiva_pipeline.submission.month_submission import Submission
from kiva_pipeline.submission.plan import PLAN_COLUMNS, ReportTerms, plan_creates, plan_reports
from kiva_pipeline.submission.report_guards import mass_change
from kiva_pipeline.submission.reporting_period import month_marks, report_phase
from kiva_pipeline.submission.summaries import drafts_made_since

# A daily schedule must find yesterday's refusal a day old, also when it ran a little later then.
_A_DAY = timedelta(hours=20)


class MonthPlanner:
    """Plans a month chunk by chunk, so that memory grows with a chunk and not with the month.

    Args:
        submission: What is to be planned.
        ledger: Only read.
        settings: The partner's.
        spool_folder: Where the plan is spooled.

    Attributes:
        month_held: Why nothing of the month goes until a person approved its table; "" if it does.
    """

    def __init__(
        self, submission: Submission, ledger: Ledger, settings: Settings, spool_folder: Path
    ) -> None:
        self._submission = submission
        self._ledger = ledger
        self._settings = settings
        self._folder = spool_folder
        self._kiva_ids: frozenset[str] = frozenset()
        self._kiva_loans: pd.DataFrame | None = None
        self.month_held = ""

    def made(self, kiva_loans: pd.DataFrame) -> StoredFrame:
        """``PLAN_COLUMNS`` of the whole month, in a spooled file.

        Args:
            kiva_loans: ``KIVA_LOAN_COLUMNS`` of today.
        """
        if self._submission.kind is PostKind.LOAN_DRAFT:
            self._kiva_loans = kiva_loans
            self._kiva_ids = normalised_ids(kiva_loans["internal_loan_id"])
        with self._ledger.reading() as connection:
            if self._submission.kind is not PostKind.REPAYMENT:
                return self._spooled(connection, None)[0]
            terms = self._terms(connection)
            plan, suspicions = self._spooled(connection, terms)
            mass = self._settings.repayments.mass_change
            self.month_held = mass_change(
                suspicions, len(self._submission.rows), share=mass.share, at_least=mass.at_least
            )
            if not self.month_held:
                return plan
            # Seldom: so the month is planned once more instead of being kept twice.
            Path(str(plan.path)).unlink(missing_ok=True)
            return self._spooled(connection, replace(terms, month_held=self.month_held))[0]

    def _spooled(
        self, connection: Connection, terms: ReportTerms | None
    ) -> tuple[StoredFrame, Counter[str]]:
        """The plan of the whole month, and how many of its rows count against it, by suspicion."""
        suspicions: Counter[str] = Counter()
        limits = self._limits(connection)
        with FrameSpool(self._folder, empty_frame(PLAN_COLUMNS), lasting=False) as spool:
            for wanted, above, up_to in self._ranges():
                chunk = self._chunk(connection, wanted, terms, above, up_to)
                suspicions.update(chunk["suspicion"].value_counts().to_dict())
                spool.append(limits.within(chunk))
        return spool.finished, suspicions

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
        self,
        connection: Connection,
        wanted: pd.DataFrame,
        terms: ReportTerms | None,
        above: str,
        up_to: str | None,
    ) -> pd.DataFrame:
        submission, kind = self._submission, self._submission.kind
        known = known_frame(
            known_rows(connection, kind.value, submission.period, above=above, up_to=up_to)
        )
        if terms is not None:
            baselines = baselines_frame(connection, wanted["business_id"], above, up_to)
            approvals = _approvals(connection, kind, submission.period, above, up_to)
            return plan_reports(wanted, known, baselines, terms, approvals)
        of_month = str(submission.month)
        mine = (
            among(known["business_id"], wanted["business_id"])
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
            kiva_loans=self._kiva_loans,
            approvals=_approvals(connection, kind, ""),
        )

    def _limits(self, connection: Connection) -> RunLimits:
        settings, kind = self._settings, self._submission.kind
        today = 0
        if kind is PostKind.LOAN_DRAFT and settings.limits.drafts_per_day is not None:
            today = drafts_made_since(connection, now_text(settings.clock.day_began()))
        return RunLimits.of(settings.limits, kind, today)

    def _terms(self, connection: Connection) -> ReportTerms:
        settings, month = self._settings, self._submission.month
        repayments = settings.repayments
        return ReportTerms(
            month=month,
            phase=report_phase(settings, month, month_marks(connection)),
            refused_since=now_text(settings.clock.now() - _A_DAY),
            replaces=repayments.repayments_replace,
            hold_jump_above=repayments.hold_jump_above,
            leap_above=repayments.mass_change.jump_above,
        )


def _approvals(
    connection: Connection, kind: PostKind, period: str, above: str = "", up_to: str | None = None
) -> pd.DataFrame:
    rows = approved_figures(connection, kind.value, period, above=above, up_to=up_to)
    return pd.DataFrame.from_records(
        [(row.business_id, row.payload_hash) for row in rows],
        columns=["business_id", "payload_hash"],
    )


def claims_frame(connection: Connection) -> pd.DataFrame:
    """``CLAIM_COLUMNS`` of every draft that has a claim on its loans."""
    rows = draft_members(connection)
    names = list(CLAIM_COLUMNS)
    claims = pd.DataFrame.from_records(
        [tuple(getattr(row, name) for name in names) for row in rows], columns=names
    )
    # Beside an empty amount pandas would take the others for floats, exact to 2⁵³ only.
    claims["amount"] = pd.array([row.amount for row in rows], dtype="Int64")
    return claims.astype(CLAIM_COLUMNS)
