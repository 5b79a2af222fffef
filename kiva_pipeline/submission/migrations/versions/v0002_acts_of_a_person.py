"""Closed and extended months, approvals of a person, and a ledger that can be told from another.

Written out in full rather than taken from ``tables.py``: a migration never changes once released.
"""

import uuid

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import VARCHAR

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.String().with_variant(VARCHAR(collation="C"), "postgresql")
_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add two tables, and an id to the ledger's identity card."""
    op.create_table(
        "report_month",
        sa.Column("month", sa.String, primary_key=True),
        sa.Column("closed_at", sa.String),
        sa.Column("extended_until", sa.String),
    )
    op.create_table(
        "approval",
        sa.Column("id", _KEY, primary_key=True, autoincrement=True),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("why", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("period", sa.String, nullable=False),
        sa.Column("business_id", _ID, nullable=False),
        sa.Column("payload_hash", sa.String, nullable=False),
    )
    op.create_index("approval_of", "approval", ["kind", "period", "business_id"])
    op.add_column(
        "ledger",
        # A ledger that was born before gets its id here; SQLite wants a default for the column.
        sa.Column("ledger_id", sa.String, nullable=False, server_default=str(uuid.uuid4())),
    )
