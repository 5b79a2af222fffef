"""The first ledger: its identity card, attempts, submissions and events.

Written out in full rather than taken from ``tables.py``: a migration never changes once released.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import VARCHAR

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.String().with_variant(VARCHAR(collation="C"), "postgresql")
_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_OPEN = (
    "state IN ('planned', 'in_flight', 'uncertain', 'blocked', 'held', 'missing',"
    " 'already_at_kiva', 'not_expected', 'carried_forward', 'needs_person', 'deferred')"
)
_AT_KIVA = "state IN ('accepted', 'in_flight', 'uncertain')"


def upgrade() -> None:
    """Create the four tables with their indexes."""
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="one_row"), primary_key=True),
        sa.Column("environment", sa.String, nullable=False),
        sa.Column("partner_id", sa.String, nullable=False),
        sa.Column("born_at", sa.String, nullable=False),
        sa.Column("adopted_at", sa.String),
        sa.Column("go_live_on", sa.String),
        sa.Column("paused_by", sa.String),
        sa.Column("paused_why", sa.String),
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("month", sa.String, nullable=False),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("items", sa.Integer, nullable=False),
        sa.Column("total", sa.BigInteger),
        sa.Column("body_sha256", sa.String, nullable=False),
        sa.Column("verdict", sa.String),
        sa.Column("http_status", sa.SmallInteger),
        sa.Column("cause", sa.String),
        sa.Column("remote_ref", sa.String),
        sa.Column("confirm_url", sa.String),
        sa.Column("started_at", sa.String, nullable=False),
        sa.Column("finished_at", sa.String),
    )
    op.create_index("attempt_by_run", "attempt", ["run_id"])
    op.create_table(
        "submission",
        sa.Column("id", _KEY, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("period", sa.String, nullable=False),
        sa.Column("business_id", _ID, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("month", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("reason_code", sa.String, nullable=False),
        sa.Column("reasons", sa.String, nullable=False),
        sa.Column("payload_hash", sa.String, nullable=False),
        sa.Column("field_hashes", sa.String, nullable=False),
        sa.Column("amount", sa.BigInteger),
        sa.Column("disbursed", sa.BigInteger),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("currency_digits", sa.SmallInteger),
        sa.Column("effective_on", sa.String, nullable=False),
        sa.Column("client_id", sa.String, nullable=False),
        sa.Column("loan_ids", sa.String, nullable=False),
        sa.Column("client_ids", sa.String, nullable=False),
        sa.Column("attempt_id", sa.String, sa.ForeignKey("attempt.id")),
        sa.Column("remote_ref", sa.String, nullable=False),
        sa.Column("confirm_url", sa.String, nullable=False),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("updated_at", sa.String, nullable=False),
    )
    op.create_index(
        "submission_identity",
        "submission",
        ["kind", "period", "business_id", "version"],
        unique=True,
    )
    op.create_index(
        "submission_one_open",
        "submission",
        ["kind", "business_id", "period"],
        unique=True,
        sqlite_where=sa.text(_OPEN),
        postgresql_where=sa.text(_OPEN),
    )
    op.create_index(
        "submission_at_kiva",
        "submission",
        ["kind", "business_id", "period"],
        sqlite_where=sa.text(_AT_KIVA),
        postgresql_where=sa.text(_AT_KIVA),
    )
    op.create_index("submission_by_attempt", "submission", ["attempt_id"])
    op.create_table(
        "event",
        sa.Column("id", _KEY, primary_key=True, autoincrement=True),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("submission_id", _KEY, sa.ForeignKey("submission.id")),
        sa.Column("attempt_id", sa.String, sa.ForeignKey("attempt.id")),
        sa.Column("from_state", sa.String),
        sa.Column("to_state", sa.String),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("why", sa.String, nullable=False),
        sa.Column("run_id", sa.String, nullable=False),
    )
    op.create_index("event_by_submission", "event", ["submission_id"])
    op.create_index("event_by_attempt", "event", ["attempt_id"])
