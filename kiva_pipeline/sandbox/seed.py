"""Fills a sandbox: a partner with its credentials, Kiva's lists, and the loans Kiva has already.

Seeding again adds the loans that are new and renews the credentials and lists; what has happened
since (drafts, reports, statuses, the open period) stays.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import orjson

from kiva_pipeline.periods import Month
from kiva_pipeline.sandbox.lists import config_lists, known_currencies
from kiva_pipeline.sandbox.loans import search_text
from kiva_pipeline.sandbox.seed_records import KivaLoanSeed
from kiva_pipeline.sandbox.store import Store
from kiva_pipeline.sandbox.tokens import ALL_SCOPES, AUDIENCE, TOKEN_SECONDS, hash_of


def seed(
    store_path: Path | str,
    *,
    partner_id: str,
    partner_name: str,
    loans: Iterable[KivaLoanSeed],
    client_id: str = "sandbox",
    client_secret: str = "sandbox",  # noqa: S107  well known, so that a rehearsal needs no key
    currencies: Sequence[str] | None = None,
    column_format: str | None = None,
    open_month: Month | None = None,
    scopes: Iterable[str] = ALL_SCOPES,
    token_seconds: int = TOKEN_SECONDS,
    audience: str = AUDIENCE,
) -> None:
    """Make a partner, or add to it; the sandbox may be running on the same file.

    Args:
        store_path: The sandbox's file; made when it is not there.
        partner_id: The Field Partner's id at Kiva.
        partner_name: Its name, as Kiva shows it.
        loans: The loans that Kiva has already; taken one by one, so any number will do.
        client_id: Who may ask for a token.
        client_secret: And with what; kept as a hash only.
        currencies: The partner's currencies; None for all in which Kiva's partners lend.
        column_format: ``two_column`` or ``three_column``, as in the partner's profile in PA2: rows
            of the other form are errors. None takes either.
        open_month: The month whose report is open when the partner is new; None for last month.
        scopes: What this client is authorised for.
        token_seconds: How long its tokens live.
        audience: What its token requests must name.
    """
    known = sorted(set(known_currencies() if currencies is None else currencies))
    with Store(store_path) as store, store.transaction():
        opened = open_month or Month.of(store.now().date()).plus(-1)
        store.write(
            "INSERT INTO partner VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET name = excluded.name, column_format = excluded.column_format",
            partner_id,
            partner_name,
            column_format,
            str(opened),
        )
        store.write(
            "INSERT OR REPLACE INTO client VALUES (?, ?, ?, ?, ?, ?)",
            client_id,
            hash_of(client_secret),
            partner_id,
            audience,
            " ".join(scopes),
            token_seconds,
        )
        store.write_many(
            "INSERT OR REPLACE INTO config_list VALUES (?, ?, ?)",
            (
                (partner_id, name, orjson.dumps(entries).decode())
                for name, entries in config_lists(known).items()
            ),
        )
        store.write_many(
            "INSERT OR IGNORE INTO loan (uuid, partner_id, internal_loan_id, internal_client_id,"
            " borrower_count, name, location, currency, price, status, created_at, last_reported,"
            " search_text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _loan_rows(partner_id, loans),
        )


def _loan_rows(partner_id: str, loans: Iterable[KivaLoanSeed]) -> Iterator[tuple[Any, ...]]:
    for loan in loans:
        loan_uuid = str(
            uuid.uuid5(uuid.NAMESPACE_URL, f"sandbox:{partner_id}:{loan.internal_loan_id}")
        )
        yield (
            loan_uuid,
            partner_id,
            loan.internal_loan_id,
            loan.internal_client_id,
            loan.borrower_count,
            loan.name,
            loan.location,
            loan.currency,
            loan.price,
            loan.status,
            int(datetime.combine(loan.disbursed_on, time(), UTC).timestamp()),
            loan.last_reported,
            search_text(loan.internal_loan_id, loan.internal_client_id, loan.name),
        )
