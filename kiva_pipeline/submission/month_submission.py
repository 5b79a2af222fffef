"""One kind of effect of one month, as the streams hand it to the send path."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from kiva_pipeline.frames import StoredFrame
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.periods import Month
from kiva_pipeline.submission.bodies import BodyWriter


@dataclass(frozen=True, slots=True)
class Submission:
    """One kind of effect of one month, to be planned and sent.

    Attributes:
        kind: Loan drafts, repayments or journals.
        month: The partition.
        rows: What the rules made of the month (``rules.rows``), sorted by ``business_id``.
        bodies: Makes each request's bytes.
        kiva_loans: Gives ``KIVA_LOAN_COLUMNS`` of what ``GET /loans`` lists. Called once, under the
            lock; for loan drafts it asks Kiva at that moment.
    """

    kind: PostKind
    month: Month
    rows: StoredFrame
    bodies: BodyWriter
    kiva_loans: Callable[[], pd.DataFrame]

    @property
    def period(self) -> str:
        """The ledger's period: a repayment's month; empty for what is created once."""
        return str(self.month) if self.kind is PostKind.REPAYMENT else ""
