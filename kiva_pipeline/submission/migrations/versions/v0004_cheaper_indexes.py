"""Indexes that cost a fraction to keep: the same promises, worded for the database's sake.

SQLite builds the list of an ``IN`` anew for each row that it writes; plain comparisons cost next to
nothing. What Kiva has of a loan is found by its months now, so that index is gone.

Written out in full rather than taken from ``tables.py``: a migration never changes once released.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_OPEN = "state <> 'accepted' AND state <> 'rejected' AND state <> 'withdrawn'"


def upgrade() -> None:
    """Make the index over open versions anew, and drop the one over what is at Kiva."""
    op.drop_index("submission_at_kiva", "submission")
    op.drop_index("submission_one_open", "submission")
    op.create_index(
        "submission_one_open",
        "submission",
        ["business_id", "kind", "period"],
        unique=True,
        sqlite_where=sa.text(_OPEN),
        postgresql_where=sa.text(_OPEN),
    )
