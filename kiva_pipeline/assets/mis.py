"""What the MIS has for a month, as canonical records."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pandas as pd

from kiva_pipeline.assets import checks
from kiva_pipeline.assets.describe import OWNERS, counted, shape
from kiva_pipeline.assets.failures import EXTRACTION_RETRY, explained
from kiva_pipeline.assets.partitions import month_of
from kiva_pipeline.assets.resources import LedgerResource, MisResource, PartnerResource
from kiva_pipeline.frames import FrameSpool, StoredFrame
from kiva_pipeline.mis import records
from kiva_pipeline.rulebook import Rulebook
from kiva_pipeline.streams import (
    ASKED_BALANCE_COLUMNS,
    asked_balances,
    group_members,
)

_TAGS = {"domain": "mis", "effect": "none"}


def mis_assets(months: dg.PartitionsDefinition) -> Sequence[dg.AssetsDefinition]:
    """The four record assets on these partitions."""
    common: dict[str, Any] = {
        "group_name": "mis",
        "owners": OWNERS,
        "kinds": {"sql", "parquet"},
        "tags": _TAGS,
        "partitions_def": months,
        "retry_policy": EXTRACTION_RETRY,
    }

    def extraction_checks(asset: str) -> list[dg.AssetCheckSpec]:
        return [
            checks.spec(
                checks.ROWS_MATCH_SOURCE,
                asset,
                "As many rows as the MIS itself counts for the month.",
                months,
            ),
            checks.spec(
                checks.RECORDS_READABLE, asset, "Every value has the type it must have.", months
            ),
        ]

    @dg.asset(
        **common,
        metadata=shape(records.LOAN_COLUMNS, records.LOAN_RECORDS),
        check_specs=extraction_checks("mis_loans"),
    )
    def mis_loans(context: dg.AssetExecutionContext, mis: MisResource):
        """Loans tagged for Kiva, as the MIS has them now.

        **One row** is one borrower's loan; members of a group share a group id. **Window:** the
        disbursal day (actual, else expected) is in the month. Rows that can't be read are kept and
        marked. **A second run** reads the MIS again and replaces the month.
        """
        month = month_of(context)
        with explained(), mis.open() as source:
            expected = source.counts(month).loans
            frame = records.canonical_loans(source.loans(month))
            return _extracted(frame, expected, records.LOAN_RECORDS)

    @dg.asset(
        **common,
        metadata=shape(records.INSTALMENT_COLUMNS, records.INSTALMENT_RECORDS),
        check_specs=extraction_checks("mis_instalments"),
    )
    def mis_instalments(
        context: dg.AssetExecutionContext, mis: MisResource, mis_loans: StoredFrame
    ):
        """The schedules of the month's loans: original due principal and interest.

        **One row** is one instalment. **Window:** those of the loans in `mis_loans`. **A second
        run** reads them again and replaces the month.
        """
        month = month_of(context)
        with explained(), mis.open() as source:
            loans = mis_loans.read(["loan_id", "currency_digits"])
            expected = source.counts(month).instalments
            frame = records.canonical_instalments(source.instalments(month), loans)
            return _extracted(frame, expected, records.INSTALMENT_RECORDS)

    @dg.asset(
        **common,
        metadata=shape(records.NOTE_COLUMNS, records.NOTE_RECORDS),
        check_specs=extraction_checks("mis_notes"),
    )
    def mis_notes(context: dg.AssetExecutionContext, mis: MisResource):
        """Notes that the MIS marks for Kiva's lenders; staff remarks never come out.

        **One row** is one note. **Window:** written in the month. **A second run** reads them
        again and replaces the month.
        """
        month = month_of(context)
        with explained(), mis.open() as source:
            expected = source.counts(month).notes
            frame = records.canonical_notes(source.notes(month))
            return _extracted(frame, expected, records.NOTE_RECORDS)

    @dg.asset(
        **common,
        metadata=shape(ASKED_BALANCE_COLUMNS, records.BALANCE_RECORDS),
        check_specs=[
            checks.spec(
                checks.RECORDS_READABLE,
                "mis_balances",
                "Every value has the type it must have.",
                months,
            )
        ],
    )
    def mis_balances(
        context: dg.AssetExecutionContext,
        mis: MisResource,
        ledger: LedgerResource,
        partner: PartnerResource,
        expected_loans: StoredFrame,
    ):
        """Cumulative principal of every loan that Kiva expects, as of the month's last day.

        **One row** is one MIS loan that answers for an expected loan: itself, or a member of its
        group; `known` is false where the MIS has no such loan. **Window:** dated transactions up
        to and with the last day of the month, never a "current balance". **A second run** sums
        them again, so that back-dated and reversed repayments show.
        """
        month = month_of(context)
        expected = expected_loans.read()
        counts: dict[str, int] = dict.fromkeys(records.BALANCE_RECORDS.counts(_NO_BITS), 0)
        known = 0
        empty = records.empty_frame(ASKED_BALANCE_COLUMNS)
        with (
            explained(),
            mis.open() as source,
            ledger.open() as book,
            FrameSpool(partner.spool_folder, empty) as spool,
        ):
            members = group_members(expected, book, source)
            for chunk in asked_balances(source, expected, members, month.last_day):
                spool.append(chunk)
                known += int(chunk["known"].sum())
                found = records.BALANCE_RECORDS.counts(chunk["problems"].to_numpy())
                counts = {code: counts[code] + rows for code, rows in found.items()}
        return dg.MaterializeResult(
            value=spool.finished,
            metadata=counted(
                spool.rows,
                **{"expected loans": len(expected), "known to the MIS": known},
                **{"unknown to the MIS": spool.rows - known},
            ),
            check_results=[checks.rules_result(checks.RECORDS_READABLE, counts)],
        )

    return [mis_loans, mis_instalments, mis_notes, mis_balances]


_NO_BITS = records.empty_frame({"problems": "int64"})["problems"].to_numpy()


def _extracted(
    frame: pd.DataFrame, expected: int, rules: Rulebook
) -> dg.MaterializeResult[pd.DataFrame]:
    counts = rules.counts(frame["problems"].to_numpy())
    unreadable = int((frame["problems"] != 0).sum())
    return dg.MaterializeResult(
        value=frame,
        metadata=counted(len(frame), **{"rows with problems": unreadable}),
        check_results=[
            checks.equal_result(
                checks.ROWS_MATCH_SOURCE, "rows that the MIS counts", len(frame), expected
            ),
            checks.rules_result(checks.RECORDS_READABLE, counts),
        ],
    )
