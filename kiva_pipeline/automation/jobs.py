"""Jobs: a stream each, and one that takes a month through all of them.

One run is one month through all its stages, in one process: a step of its own process would import
everything anew. Nothing here submits because somebody clicked something upstream.
"""

from typing import Any

import dagster as dg

# What the launch pad shows, to be changed for one run. All else has its place in the settings.
_AS_USUAL: dict[str, Any] = {"config": {"dry_run": False, "limit": None, "digest": ""}}
_DRAFTS, _REPORT, _JOURNALS = (
    "loan_draft_submissions", "repayment_submissions", "journal_submissions",
)  # fmt: skip
_TO_DRAFTS = ["kiva_lists", "kiva_loans", "mis_loans", "mis_instalments", "loan_drafts"]
_TO_REPORT = ["kiva_loans", "expected_loans", "mis_balances", "repayment_report"]
_TO_JOURNALS = ["kiva_loans", "mis_notes", "journal_updates"]

LOAN_DRAFTS_JOB, REPAYMENTS_JOB = "loan_drafts_of_a_month", "repayments_of_a_month"
JOURNALS_JOB, MONTH_JOB = "journals_of_a_month", "whole_month"


def jobs() -> list[Any]:
    """The four jobs; their months are those of their assets."""
    made: dict[str, tuple[list[str] | dg.AssetSelection, list[str], str]] = {
        LOAN_DRAFTS_JOB: (
            [*_TO_DRAFTS, _DRAFTS],
            [_DRAFTS],
            "New loan drafts of a month to Kiva: extract, judge, plan, post what is new.",
        ),
        REPAYMENTS_JOB: (
            [*_TO_REPORT, _REPORT],
            [_REPORT],
            "The repayment report of a month: only the open month is posted, only what changed.",
        ),
        JOURNALS_JOB: (
            [*_TO_JOURNALS, _JOURNALS],
            [_JOURNALS],
            "Journals of a month: notes marked for Kiva, each posted once.",
        ),
        MONTH_JOB: (
            dg.AssetSelection.all(),
            [_DRAFTS, _REPORT, _JOURNALS],
            (
                "A month through all streams, then its reconciliation and worklist. Run it again"
                " after any correction: it sends only the difference."
            ),
        ),
    }
    return [
        dg.define_asset_job(
            name,
            selection=selection,
            description=description,
            executor_def=dg.in_process_executor,
            config={"ops": dict.fromkeys(senders, _AS_USUAL)},
        )
        for name, (selection, senders, description) in made.items()
    ]
