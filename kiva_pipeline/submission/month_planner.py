"""Plans a month of one stream: the pure planner, fed from the stored rows and the ledger.

What must not break: the ranges of ids that are planned one after the other cover every id, so that
what the ledger knows and the month no longer has is met in its place.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pandas as pd
from sqlalchemy.engine import Connection

from kiva_pipeline.frames import FrameSpool, StoredFrame
from kiva_pipeline.mis.records import empty_frame
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.conflicts import members_of, normalised_ids
from kiva_pipeline.submission.figures_sent import last_sent
from kiva_pipeline.submission.known import known_frame
from kiva_pipeline.submission.ledger import Ledger, draft_members, known_rows, now_text
from kiva_pipeline.submission.month_submission import Submission
from kiva_pipeline.submission.plan import PLAN_COLUMNS, ReportTerms, plan_creates, plan_reports
from kiva_pipeline.submission.reporting_period import report_phase

# A daily schedule must find yesterday's refusal a day old, also when it ran a little later then.
_A_DAY = timedelta(hours=20)


class MonthPlanner:
    """Plans a month chunk by chunk, so that memory grows with a chunk and not with the month.

    Args:
        submission: What is to be planned.
        ledger: Only read.
        settings: The partner's.
        spool_folder: Where the plan is spooled.
    """

    def __init__(
        self, submission: Submission, ledger: Ledger, settings: Settings, spool_folder: Path
    ) -> None:
        self._submission = submission
        self._ledger = ledger
        self._settings = settings
        self._folder = spool_folder
        self._kiva_ids: frozenset[str] = frozenset()

    def made(self, kiva_loans: pd.DataFrame) -> StoredFrame:
        """``PLAN_COLUMNS`` of the whole month, in a spooled file.

        Args:
            kiva_loans: ``KIVA_LOAN_COLUMNS`` of today.
        """
        if self._submission.kind is PostKind.LOAN_DRAFT:
            self._kiva_ids = normalised_ids(kiva_loans["internal_loan_id"])
        with (
            FrameSpool(self._folder, empty_frame(PLAN_COLUMNS), lasting=False) as spool,
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
            figures = last_sent(
                connection, kind.value, wanted["business_id"].tolist(), above=above, up_to=up_to
            )
            newest = pd.DataFrame.from_records(
                figures, columns=["business_id", "period", "amount", "digits"]
            ).astype({"business_id": "str", "period": "str", "amount": "Int64"})
            newest = newest.drop(columns="digits")
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
