"""Loan drafts of a month: PA2's rules, then the send path."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from kiva_pipeline.assets import checks
from kiva_pipeline.assets.describe import OWNERS, counted, shape
from kiva_pipeline.assets.failures import explained
from kiva_pipeline.assets.partitions import month_of
from kiva_pipeline.assets.resources import (
    KivaResource,
    LedgerResource,
    MisResource,
    PartnerResource,
)
from kiva_pipeline.assets.submissions import POOL, SubmitConfig, send_month, submission_checks
from kiva_pipeline.frames import StoredFrame
from kiva_pipeline.rules.drafts import build_loan_drafts
from kiva_pipeline.rules.rows import DRAFT_COLUMNS
from kiva_pipeline.streams import draft_submission
from kiva_pipeline.submission.decisions import DECISION_COLUMNS


def loan_draft_assets(months: dg.PartitionsDefinition) -> Sequence[dg.AssetsDefinition]:
    """Drafts and their submissions on these partitions."""
    common: dict[str, Any] = {
        "group_name": "loan_drafts",
        "owners": OWNERS,
        "partitions_def": months,
    }

    @dg.asset(
        **common,
        kinds={"pandera", "parquet"},
        tags={"domain": "loan_drafts", "effect": "none"},
        metadata=shape(DRAFT_COLUMNS),
        check_specs=[
            checks.spec(checks.RULES_KEPT, "loan_drafts", "No draft breaks a PA2 rule.", months),
            checks.spec(
                checks.EVERY_ROW_DECIDED,
                "loan_drafts",
                "Every MIS row is in exactly one draft or has a reason.",
                months,
            ),
        ],
    )
    def loan_drafts(
        partner: PartnerResource,
        ledger: LedgerResource,
        kiva_lists: StoredFrame,
        mis_loans: StoredFrame,
        mis_instalments: StoredFrame,
    ):
        """Loan drafts as PA2 wants them, and the rows that can't be one, each with its reasons.

        **One row** is one draft: an individual loan or a whole group. **Window:** loans whose
        disbursal day is in the month; PA2 takes them less than 30 days back to 90 ahead. **A second
        run** judges the month anew; nothing is sent here.
        """
        with explained():
            loans = mis_loans.read()
            judged = build_loan_drafts(
                loans,
                mis_instalments.read(),
                kiva_lists.read(),
                settings=partner.settings,
                today=partner.settings.clock.today(),
                field_key=ledger.field_key,
            )
            rows = judged.rows.sort_values("business_id", ignore_index=True)
            return dg.MaterializeResult(
                value=rows,
                metadata=counted(
                    len(rows), **{f"rows {s}": int((rows["state"] == s).sum()) for s in _STATES}
                ),
                check_results=[
                    checks.rules_result(checks.RULES_KEPT, judged.counts),
                    checks.equal_result(
                        checks.EVERY_ROW_DECIDED,
                        "MIS rows",
                        int(rows["mis_rows"].sum()),
                        len(loans),
                    ),
                ],
            )

    @dg.asset(
        **common,
        kinds={"api", "parquet"},
        tags={"domain": "loan_drafts", "effect": "external"},
        metadata=shape(DECISION_COLUMNS),
        pool=POOL,
        check_specs=submission_checks("loan_draft_submissions", months),
        deps=["kiva_loans"],
    )
    def loan_draft_submissions(
        context: dg.AssetExecutionContext,
        config: SubmitConfig,
        partner: PartnerResource,
        mis: MisResource,
        kiva: KivaResource,
        ledger: LedgerResource,
        loan_drafts: StoredFrame,
    ):
        """What became of every draft of the month; good new ones are posted to Kiva.

        **One row** is one draft, or one that was sent before and is gone from the MIS. **Window:**
        the month's drafts against the ledger and Kiva's own list of loans, asked at this moment.
        **A second run** posts only what is new: a draft is never posted twice, and one whose answer
        was lost waits for evidence.
        """
        with explained(), mis.open() as source:
            rows_in = int(loan_drafts.read(["mis_rows"])["mis_rows"].sum())
            submission = draft_submission(month_of(context), loan_drafts, source, kiva.api.loans)
            yield from send_month(
                context,
                submission,
                rows_in,
                config=config,
                partner=partner,
                kiva=kiva,
                ledger=ledger,
            )

    return [loan_drafts, loan_draft_submissions]


_STATES = ("good", "blocked", "held", "missing")
