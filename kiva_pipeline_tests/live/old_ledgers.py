"""Ledgers as earlier versions of the program left them, with data in them.

Written out as literal SQL: what an earlier version wrote does not change with today's code.
"""

import json

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection

from kiva_pipeline.submission import schema
from kiva_pipeline_tests.submission import books

RUN, AT = "run-of-2025", "2026-09-20T08:00:00.000000Z"
_EVENT = sa.text(
    "INSERT INTO event (at, action, submission_id, attempt_id, from_state, to_state, who, why, run_id)"
    " VALUES (:at, :action, :row, :attempt, :was, :is, 'run', '', :run)"
)


def make(url: str, version: str, rows: list[books.Row], *, partner_id: str = books.PARTNER) -> None:
    """A ledger of that schema version in which these repayments were accepted, and a draft is in
    doubt."""
    engine = sa.create_engine(url)
    with engine.connect() as connection, connection.begin():
        config = Config()
        config.set_main_option("script_location", str(schema._MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        columns = {column["name"] for column in sa.inspect(connection).get_columns("ledger")}
        card = {"id": 1, "environment": "sandbox", "partner_id": partner_id, "born_at": AT}
        card |= {"ledger_id": "an-id"} if "ledger_id" in columns else {}
        _insert(connection, "ledger", card)
        for request, kind in (("A-1", "repayment"), ("A-2", "loan_draft")):
            _insert(connection, "attempt", {
                "id": request, "kind": kind, "month": "2026-09", "run_id": RUN, "items": 1,
                "total": 4_000_000_000_00, "body_sha256": "0" * 64, "started_at": AT,
                "verdict": "accepted" if kind == "repayment" else "uncertain",
            })  # fmt: skip
        for number, row in enumerate(rows, start=1):
            _insert(connection, "submission", _submission(row, number))
            connection.execute(_EVENT, {
                "at": AT, "action": "intended", "row": number, "attempt": "A-1", "run": RUN,
                "was": "planned", "is": "in_flight",
            })  # fmt: skip
        draft = _submission(books.draft_row("D-1"), len(rows) + 1) | {
            "kind": "loan_draft", "period": "", "state": "uncertain", "attempt_id": "A-2",
            "reason_code": "outcome_unknown",
        }  # fmt: skip
        _insert(connection, "submission", draft)
        if connection.dialect.name == "postgresql":  # the numbers go on where they are
            connection.execute(sa.text(
                "SELECT setval('submission_id_seq', (SELECT max(id) FROM submission))"
            ))  # fmt: skip
    engine.dispose()


def _submission(row: books.Row, number: int) -> dict[str, object]:
    return {
        "id": number, "kind": "repayment", "period": "2026-09", "business_id": row["business_id"],
        "version": 1, "month": "2026-09", "state": "accepted", "reason_code": "accepted",
        "reasons": "", "payload_hash": row["payload_hash"],
        "field_hashes": row.get("field_hashes", ""), "amount": row["amount"],
        "disbursed": row.get("disbursed"), "currency": row["currency"],
        "currency_digits": row["currency_digits"], "effective_on": f"{row['effective_on']:%Y-%m-%d}",
        "client_id": row["client_id"], "loan_ids": row["loan_ids"],
        "client_ids": json.dumps([row["client_id"]]), "attempt_id": "A-1", "remote_ref": "81234",
        "confirm_url": "", "run_id": RUN, "updated_at": AT,
    }  # fmt: skip


def _insert(connection: Connection, table: str, values: dict[str, object]) -> None:
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)
