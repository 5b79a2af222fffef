"""Journals of a month: notes for lenders, written in the MIS and marked for Kiva."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from kiva_pipeline.assets import checks
from kiva_pipeline.assets.describe import OWNERS, counted, shape
from kiva_pipeline.assets.failures import explained
from kiva_pipeline.assets.partitions import month_of
from kiva_pipeline.assets.resources import KivaResource, LedgerResource, PartnerResource
from kiva_pipeline.assets.submissions import POOL, SubmitConfig, send_month, submission_checks
from kiva_pipeline.frames import StoredFrame
from kiva_pipeline.rules.journals import build_journal_updates
from kiva_pipeline.rules.rows import JOURNAL_COLUMNS
from kiva_pipeline.streams import journal_submission
from kiva_pipeline.submission.decisions import DECISION_COLUMNS


def journal_assets(months: dg.PartitionsDefinition) -> Sequence[dg.AssetsDefinition]:
    """Journal updates and their submissions on these partitions."""
    common: dict[str, Any] = {"group_name": "journals", "owners": OWNERS, "partitions_def": months}

    @dg.asset(
        **common,
        kinds={"pandera", "parquet"},
        tags={"domain": "journals", "effect": "none"},
        metadata=shape(JOURNAL_COLUMNS),
        check_specs=[
            checks.spec(checks.RULES_KEPT, "journal_updates", "No journal breaks a rule.", months),
            checks.spec(
                checks.EVERY_ROW_DECIDED,
                "journal_updates",
                "Every note is a journal or has a reason.",
                months,
            ),
        ],
    )
    def journal_updates(
        partner: PartnerResource,
        ledger: LedgerResource,
        kiva_loans: StoredFrame,
        mis_notes: StoredFrame,
    ):
        """Journals as Kiva takes them, and the notes that can't be one, each with its reasons.

        **One row** is one note marked for Kiva. **Window:** written in the month. **A second run**
        judges the month anew; nothing is sent here.
        """
        with explained():
            notes = mis_notes.read()
            judged = build_journal_updates(
                notes, kiva_loans.read(), settings=partner.settings, field_key=ledger.field_key
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
                        checks.EVERY_ROW_DECIDED, "notes", int(rows["mis_rows"].sum()), len(notes)
                    ),
                ],
            )

    @dg.asset(
        **common,
        kinds={"api", "parquet"},
        tags={"domain": "journals", "effect": "external"},
        metadata=shape(DECISION_COLUMNS),
        pool=POOL,
        check_specs=submission_checks("journal_submissions", months),
    )
    def journal_submissions(
        context: dg.AssetExecutionContext,
        config: SubmitConfig,
        partner: PartnerResource,
        kiva: KivaResource,
        ledger: LedgerResource,
        kiva_loans: StoredFrame,
        journal_updates: StoredFrame,
    ):
        """What became of every journal of the month; good new ones are posted, one a request.

        **One row** is one note. **Window:** the month's notes against the ledger. **A second run**
        posts only what is new; a journal can't be looked up at Kiva, so one whose answer was lost
        waits for a person.
        """
        with explained():
            rows_in = int(journal_updates.read(["mis_rows"])["mis_rows"].sum())
            yield from send_month(
                context,
                journal_submission(
                    month_of(context), journal_updates, partner.settings, kiva_loans.read
                ),
                rows_in,
                config=config,
                partner=partner,
                kiva=kiva,
                ledger=ledger,
            )

    return [journal_updates, journal_submissions]


_STATES = ("good", "blocked", "held", "missing")
