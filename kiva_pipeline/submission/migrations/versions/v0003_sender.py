"""Who holds the sender lock, for those who wait for it.

Written out in full rather than taken from ``tables.py``: a migration never changes once released.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table of one row."""
    op.create_table(
        "sender",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="one_sender"),
                  primary_key=True),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("process", sa.Integer, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("os_user", sa.String, nullable=False),
        sa.Column("since", sa.String, nullable=False),
        sa.Column("backend", sa.Integer),
    )  # fmt: skip
