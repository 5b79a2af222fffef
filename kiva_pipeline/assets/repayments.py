"""The month's repayment report: cumulative principal of every loan that Kiva expects."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import dagster as dg

from kiva_pipeline.assets import checks
from kiva_pipeline.assets.describe import OWNERS, counted, shape
from kiva_pipeline.assets.failures import explained
from kiva_pipeline.assets.partitions import month_of
from kiva_pipeline.assets.resources import KivaResource, LedgerResource, PartnerResource
from kiva_pipeline.assets.submissions import POOL, SubmitConfig, send_month, submission_checks
from kiva_pipeline.expected import EXPECTED_COLUMNS, ExpectedLists
from kiva_pipeline.frames import FrameSpool, StoredFrame
from kiva_pipeline.mis.records import empty_frame
from kiva_pipeline.rules.rows import REPORT_COLUMNS
from kiva_pipeline.streams import repayment_report as report_chunks
from kiva_pipeline.streams import report_submission
from kiva_pipeline.submission.decisions import DECISION_COLUMNS
from kiva_pipeline.submission.reporting_period import marks_of_ledger, report_phase


def repayment_assets(months: dg.PartitionsDefinition) -> Sequence[dg.AssetsDefinition]:
    """The report and its submission on these partitions."""
    common: dict[str, Any] = {
        "group_name": "repayments",
        "owners": OWNERS,
        "partitions_def": months,
    }

    @dg.asset(
        # What Kiva expects is Kiva's side: in the group of the report, the MIS would hang on that.
        **common | {"group_name": "kiva"},
        kinds={"parquet"},
        tags={"domain": "kiva", "effect": "none"},
        metadata=shape(EXPECTED_COLUMNS),
    )
    def expected_loans(
        context: dg.AssetExecutionContext,
        partner: PartnerResource,
        ledger: LedgerResource,
        kiva_loans: StoredFrame,
    ):
        """The loans that the month's report answers for: paying back or defaulted at Kiva.

        **One row** is one loan. **Window:** while the month's report is open, today's list, which
        is kept; once it is final, the list that was kept, and where there is none today's: the
        metadata says which. Empty for a month that is not over. **A second run** keeps today's list
        again while the month is open, and never writes over the list of one that is final.
        """
        month = month_of(context)
        with explained(), ledger.open() as book:
            settings = partner.settings
            listed = ExpectedLists(settings.expected_folder).of_month(
                month,
                kiva_loans.read(),
                phase=report_phase(settings, month, marks_of_ledger(book)),
                today=settings.clock.today(),
                keep=True,
            )
            rows, gone = len(listed.loans), int((~listed.loans["still_expected"]).sum())
            return dg.MaterializeResult(
                value=listed.loans,
                metadata={
                    "what happened": dg.MarkdownMetadataValue(
                        f"{rows:,} loans are expected in the report of {month}: {listed.frozen}."
                        + (f" {gone:,} of them Kiva expects no more today." if gone else "")
                    ),
                    **counted(rows, **{"not expected any more": gone}),
                    "frozen": listed.frozen,
                },
            )

    @dg.asset(
        **common,
        kinds={"pandera", "parquet"},
        tags={"domain": "repayments", "effect": "none"},
        metadata=shape(REPORT_COLUMNS),
        check_specs=[
            checks.spec(
                checks.RULES_KEPT, "repayment_report", "No figure breaks a rule or guard.", months
            ),
            checks.spec(
                checks.EVERY_EXPECTED,
                "repayment_report",
                "Every loan that Kiva expects has a row.",
                months,
            ),
        ],
    )
    def repayment_report(
        context: dg.AssetExecutionContext,
        partner: PartnerResource,
        expected_loans: StoredFrame,
        mis_balances: StoredFrame,
    ):
        """The report of the month: what each loan's borrowers have repaid of the principal so far.

        **One row** is one loan that Kiva expects (paying back or defaulted), also where the MIS has
        no answer: that is `missing`, never 0. **Window:** as of the month's last day; empty for a
        month that is not over. **A second run** builds it anew; nothing is sent here.
        """
        month = month_of(context)
        broken: Counter[str] = Counter()
        states: Counter[str] = Counter(dict.fromkeys(_STATES, 0))
        empty = empty_frame(REPORT_COLUMNS)
        with explained(), FrameSpool(partner.spool_folder, empty) as spool:
            expected = expected_loans.read()
            for judged in report_chunks(mis_balances, expected, partner.settings, month):
                spool.append(judged.rows)
                broken.update(judged.counts)
                states.update(judged.rows["state"].value_counts().to_dict())
        return dg.MaterializeResult(
            value=spool.finished,
            metadata=counted(spool.rows, **{f"rows {s}": n for s, n in states.items()}),
            check_results=[
                checks.rules_result(checks.RULES_KEPT, broken),
                checks.equal_result(
                    checks.EVERY_EXPECTED, "expected loans with a row", spool.rows, len(expected)
                ),
            ],
        )

    @dg.asset(
        **common,
        kinds={"api", "parquet"},
        tags={"domain": "repayments", "effect": "external"},
        metadata=shape(DECISION_COLUMNS),
        pool=POOL,
        check_specs=submission_checks("repayment_submissions", months),
    )
    def repayment_submissions(
        context: dg.AssetExecutionContext,
        config: SubmitConfig,
        partner: PartnerResource,
        kiva: KivaResource,
        ledger: LedgerResource,
        kiva_loans: StoredFrame,
        repayment_report: StoredFrame,
    ):
        """What became of every figure of the month's report; new and changed ones are posted.

        **One row** is one loan that Kiva expects, or one that was reported for the month before.
        **Window:** only the month whose reporting period is open is ever posted: a closed one is
        compared and carried forward. **A second run** posts only the figures that changed.
        """
        with explained():
            yield from send_month(
                context,
                report_submission(
                    month_of(context), repayment_report, partner.settings, kiva_loans.read
                ),
                len(repayment_report),
                config=config,
                partner=partner,
                kiva=kiva,
                ledger=ledger,
            )

    return [expected_loans, repayment_report, repayment_submissions]


_STATES = ("good", "blocked", "held", "missing", "needs_person")
