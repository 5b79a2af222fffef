"""Repayment reports: every upload is kept, the latest value of a loan counts in its period.

What must not break: uploads of one period replace each other loan by loan, they are never added
(figures are cumulative), and a post lands in the period that is open when it arrives, because a
row carries no period of its own.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

import orjson

from kiva_pipeline.errors import PipelineError
from kiva_pipeline.periods import Month
from kiva_pipeline.sandbox.answers import SUCCESS
from kiva_pipeline.sandbox.drafts import principal_due
from kiva_pipeline.sandbox.messages import Repayment, Repayments
from kiva_pipeline.sandbox.report_problems import KnownLoan, complaints_about
from kiva_pipeline.sandbox.store import Store


def receive_repayments(
    store: Store, partner_id: str, report: Repayments, request_id: str | None
) -> dict[str, Any]:
    """Keep an upload, apply its rows without error, and answer ``POST /repayments``."""
    rows = report.repayments
    problems: list[dict[str, str]] = []
    kept: list[tuple[Any, ...]] = []
    with store.transaction():
        partner = store.row("SELECT * FROM partner WHERE partner_id = ?", partner_id)
        if partner is None:
            raise _no_partner()
        period = partner["open_period"]
        upload_id = store.write(
            "INSERT INTO upload (partner_id, period, received_at, request_id) VALUES (?, ?, ?, ?)",
            partner_id,
            period,
            store.now().timestamp(),
            request_id,
        )
        loans = _known_loans(store, partner_id, rows, Month.parse(period).last_day)
        for row in rows:
            found = complaints_about(row, loans.get(row.loan_id), partner["column_format"])
            problems += [complaint.about(row.loan_id) for complaint in found]
            error = next((complaint.code for complaint in found if complaint.is_error), None)
            kept.append(
                (
                    upload_id,
                    partner_id,
                    row.loan_id,
                    row.client_id,
                    period,
                    f"{row.amount:f}",
                    error,
                )
            )
        store.write_many(
            "INSERT INTO repayment (upload_id, partner_id, loan_id, client_id, period, amount,"
            " error) VALUES (?, ?, ?, ?, ?, ?, ?)",
            kept,
        )
    return {
        "code": SUCCESS,
        "message": "Repayments received",
        "upload_id": upload_id,
        "problems": problems,
    }


def latest_values(store: Store, loan_id: str | None = None) -> list[dict[str, Any]]:
    """What counts for each loan in each period: its latest applied value.

    Args:
        store: The sandbox's store.
        loan_id: Only this loan; None for all.

    Returns:
        ``partner_id, loan_id, period, amount, upload_id``, the amount as exact decimal text.
    """
    # SQLite takes the other columns from the row that has the maximum.
    rows = store.rows(
        "SELECT partner_id, loan_id, period, amount, upload_id, max(id) AS latest FROM repayment"
        " WHERE error IS NULL AND (?1 IS NULL OR loan_id = ?1)"
        " GROUP BY partner_id, loan_id, period",
        loan_id,
    )
    return [{name: row[name] for name in row.keys() if name != "latest"} for row in rows]  # noqa: SIM118


def finalize_period(store: Store, partner_id: str) -> str:
    """What a person does in PA2 when the report is right: close the open period, open the next.

    The figures become final, and a loan that is repaid in full ends. A loan that was not reported
    keeps its last figure.

    Returns:
        The period that is open now.

    Raises:
        PipelineError: There is no such partner.
    """
    with store.transaction():
        partner = store.row("SELECT open_period FROM partner WHERE partner_id = ?", partner_id)
        if partner is None:
            raise _no_partner()
        closed = partner["open_period"]
        final = {
            value["loan_id"]: value["amount"]
            for value in latest_values(store)
            if value["partner_id"] == partner_id and value["period"] == closed
        }
        now = int(store.now().timestamp())
        store.write_many(
            "UPDATE loan SET last_reported = ? WHERE partner_id = ? AND internal_loan_id = ?",
            ((amount, partner_id, loan_id) for loan_id, amount in final.items()),
        )
        prices = store.rows(
            "SELECT internal_loan_id, price FROM loan WHERE partner_id = ? AND internal_loan_id IN"
            " (SELECT value FROM json_each(?))",
            partner_id,
            orjson.dumps(list(final)).decode(),
        )
        store.write_many(
            "UPDATE loan SET status = 'ended', status_since = ?"
            " WHERE partner_id = ? AND internal_loan_id = ?",
            (
                (now, partner_id, loan_id)
                for loan_id, price in prices
                if Decimal(final[loan_id]) == Decimal(price)
            ),
        )
        opened = str(Month.parse(closed).plus(1))
        store.write("UPDATE partner SET open_period = ? WHERE partner_id = ?", opened, partner_id)
    return opened


def _known_loans(
    store: Store, partner_id: str, rows: Iterable[Repayment], by: date
) -> dict[str, KnownLoan]:
    found = store.rows(
        "SELECT internal_loan_id, internal_client_id, status, price, last_reported, schedule"
        " FROM loan WHERE partner_id = ? AND internal_loan_id IN (SELECT value FROM json_each(?))",
        partner_id,
        orjson.dumps([row.loan_id for row in rows]).decode(),
    )
    return {
        loan_id: KnownLoan(
            client_id,
            status,
            Decimal(price),
            None if last is None else Decimal(last),
            principal_due(schedule, by),
        )
        for loan_id, client_id, status, price, last, schedule in found
    }


def _no_partner() -> PipelineError:
    return PipelineError("The sandbox has no such partner.", "Seed it first.")
