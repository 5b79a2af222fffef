"""What people read after a run: the numbers of a month, and what they must do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from kiva_pipeline.assets import checks
from kiva_pipeline.assets.describe import OWNERS, counted, shape, table
from kiva_pipeline.assets.failures import explained
from kiva_pipeline.assets.partitions import month_of
from kiva_pipeline.assets.resources import LedgerResource, PartnerResource
from kiva_pipeline.frames import StoredFrame, private_folder
from kiva_pipeline.reporting.csv_file import write_csv
from kiva_pipeline.reporting.reconciliation import RECONCILIATION_COLUMNS, reconcile
from kiva_pipeline.reporting.words import words
from kiva_pipeline.reporting.worklist import (
    WORKLIST_COLUMNS,
    WORKLIST_STATES,
    month_worklist,
)
from kiva_pipeline.submission.limits import LIMIT_REASONS
from kiva_pipeline.submission.states import State

_FIGURES = ["business_id", "decision", "reason_code", "mis_rows", "amount", "currency",
            "currency_digits"]  # fmt: skip


def reporting_assets(months: dg.PartitionsDefinition) -> Sequence[dg.AssetsDefinition]:
    """Reconciliation and worklist on these partitions."""
    common: dict[str, Any] = {
        "group_name": "reporting",
        "owners": OWNERS,
        "kinds": {"table", "csv"},
        "tags": {"domain": "reporting", "effect": "none"},
        "partitions_def": months,
    }

    @dg.asset(
        **common,
        metadata=shape(RECONCILIATION_COLUMNS),
        check_specs=[
            checks.spec(
                checks.NOTHING_LEFT,
                "reconciliation",
                "Nothing of the month waits to be sent or is in doubt, but what a limit put off.",
                months,
            )
        ],
    )
    def reconciliation(
        context: dg.AssetExecutionContext,
        partner: PartnerResource,
        loan_draft_submissions: StoredFrame,
        repayment_submissions: StoredFrame,
        journal_submissions: StoredFrame,
    ):
        """Rows and money of the month by stream, decision and reason; the same as a CSV.

        **One row** is one decision with one reason in one stream. **Window:** the month.
        **A second run** adds the month up anew.
        """
        streams = {
            "loan drafts": loan_draft_submissions,
            "repayments": repayment_submissions,
            "journals": journal_submissions,
        }
        with explained():
            totals = pd.concat(
                [reconcile(name, stored.read(_FIGURES)) for name, stored in streams.items()],
                ignore_index=True,
            )
            file = _csv(partner, "reconciliation", context.partition_key, totals.to_dict("records"),
                        list(RECONCILIATION_COLUMNS))  # fmt: skip
            waiting = totals["decision"].isin(
                [State.PLANNED.value, State.DEFERRED.value, State.UNCERTAIN.value]
            ) & ~totals["reason_code"].isin(["month_not_open_yet", *LIMIT_REASONS])
            left = int(totals.loc[waiting, "rows"].sum())
            return dg.MaterializeResult(
                value=totals,
                metadata={
                    **{name: dg.MarkdownMetadataValue(_markdown(totals, name)) for name in streams},
                    **counted(len(totals), **{"rows decided": int(totals["rows"].sum())}),
                    "file": dg.PathMetadataValue(str(file)),
                },
                check_results=[checks.nothing_left_result(left)],
            )

    @dg.asset(
        **common,
        metadata=shape(WORKLIST_COLUMNS),
        deps=["loan_draft_submissions", "repayment_submissions", "journal_submissions"],
    )
    def worklist(
        context: dg.AssetExecutionContext, partner: PartnerResource, ledger: LedgerResource
    ):
        """What a person must do for the month, most urgent first; the same as a CSV.

        **One row** is one thing to do, in words, without a borrower's name. **Window:** what the
        ledger decided for the month. **A second run** lists what is still to do.
        """
        month = month_of(context)
        with explained(), ledger.open() as book:
            lines = month_worklist(book, partner.settings.clock.today(), str(month))
            file = _csv(partner, "worklist", str(month), lines, list(WORKLIST_COLUMNS))
            frame = pd.DataFrame(lines, columns=list(WORKLIST_COLUMNS)).astype(WORKLIST_COLUMNS)
            return dg.MaterializeResult(
                value=frame,
                metadata={
                    **counted(len(frame), **_to_do(frame["state"])),
                    "file": dg.PathMetadataValue(str(file)),
                },
            )

    return [reconciliation, worklist]


def _csv(
    partner: PartnerResource,
    name: str,
    month: str,
    rows: Sequence[dict[Any, Any]],
    columns: list[str],
) -> Path:
    folder = private_folder(partner.settings.state.folder / name)
    return write_csv(folder / f"{month}.csv", rows, columns)


def _to_do(states: "pd.Series[str]") -> dict[str, int]:
    """Things to do by what was decided, most urgent first; the same keys in every run."""
    counts = states.value_counts()
    return {_TO_DO[state]: int(counts.get(state, 0)) for state in WORKLIST_STATES}


def _markdown(reconciled: pd.DataFrame, stream: str) -> str:
    rows = reconciled[reconciled["stream"] == stream]
    if rows.empty:
        return "There is nothing in this month."
    return table(
        ["decision", "why", "rows", "money"],
        (
            (words(r.decision), words(r.reason_code) if r.reason_code != r.decision else "",
             f"{r.rows:,}", r.money)
            for r in rows.itertuples(index=False)
        ),
    )  # fmt: skip


_TO_DO = {
    State.UNCERTAIN: "to do: look in PA2 (uncertain)",
    State.REJECTED: "to do: correct what Kiva refused (rejected)",
    State.NEEDS_PERSON: "to do: amend in PA2 (needs person)",
    State.HELD: "to do: approve or correct (held)",
    State.MISSING: "to do: find it in the MIS (missing)",
    State.BLOCKED: "to do: correct in the MIS (blocked)",
    State.DEFERRED: "to do: run again (deferred)",
    State.ACCEPTED: "to do: review and publish in PA2 (accepted)",
}
