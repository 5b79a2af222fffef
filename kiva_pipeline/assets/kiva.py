"""What Kiva has: its lists and its loans, fetched anew in every run.

Both belong to no month. Their data version is their content, so that fetching the same again does
not mark every month as out of date.
"""

from typing import Any

import dagster as dg

from kiva_pipeline.assets.describe import OWNERS, content_version, counted, shape
from kiva_pipeline.assets.failures import explained
from kiva_pipeline.assets.resources import KivaResource
from kiva_pipeline.expected import expected_loans
from kiva_pipeline.partner_api.records import KIVA_LIST_COLUMNS, KIVA_LOAN_COLUMNS

_COMMON: dict[str, Any] = {"group_name": "kiva", "owners": OWNERS, "kinds": {"api", "parquet"}}


@dg.asset(
    **_COMMON,
    tags={"domain": "kiva", "effect": "none"},
    metadata=shape(KIVA_LIST_COLUMNS),
)
def kiva_lists(kiva: KivaResource):
    """Kiva's activities, themes, languages and locations for this partner.

    **One row** is one entry of a list. **Window:** as of the run. **A second run** fetches them
    again and replaces the first; nothing is sent.
    """
    with explained():
        frame = kiva.api.lists()
        numbers = {f"{name} entries": int(n) for name, n in frame["list"].value_counts().items()}
        return dg.MaterializeResult(
            value=frame,
            metadata=counted(len(frame), **numbers),
            data_version=content_version(frame),
        )


@dg.asset(
    **_COMMON,
    tags={"domain": "kiva", "effect": "none"},
    metadata=shape(KIVA_LOAN_COLUMNS),
)
def kiva_loans(kiva: KivaResource):
    """Every loan that Kiva lists for this partner, by status; no borrower's name.

    **One row** is one loan of `GET /loans`, unique by `internal_loan_id`. **Window:** as of the
    run; a list that is shorter than Kiva says fails the step. Loans that pay back or are defaulted
    are the ones that the month's report must answer for. **A second run** fetches them again.
    """
    with explained():
        frame = kiva.api.loans()
        numbers = {f"status {name}": int(n) for name, n in frame["status"].value_counts().items()}
        expected = {"expected in a report": len(expected_loans(frame))}
        return dg.MaterializeResult(
            value=frame,
            metadata=counted(len(frame), **expected, **numbers),
            data_version=content_version(frame),
        )
