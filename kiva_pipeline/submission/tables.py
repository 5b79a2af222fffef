"""The ledger's tables. A ledger belongs to one partner in one environment: see ``ledger``.

What must not break: an attempt is committed before its request is made, and an identity
(``kind, business_id, period``) has at most one open version.

Instants are ISO 8601 in UTC with microseconds and days ISO 8601, both as text, so that one SQL
serves every database and an export reads the same everywhere. Money is minor units.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    text,
)
from sqlalchemy.dialects.postgresql import VARCHAR

from kiva_pipeline.submission.states import SETTLED

metadata = MetaData()

# Ids are compared and sorted by code point on every database, as Python does.
_ID = String().with_variant(VARCHAR(collation="C"), "postgresql")
_KEY = BigInteger().with_variant(Integer, "sqlite")

# What Kiva has, or may have.
AT_KIVA_CLAUSE = "(state = 'accepted' OR state = 'in_flight' OR state = 'uncertain')"
# A query that is to use the index over open versions must have it to the letter.
OPEN_CLAUSE = " AND ".join(f"state <> '{state.value}'" for state in sorted(SETTLED))

ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("environment", String, nullable=False),
    Column("partner_id", String, nullable=False),
    Column("born_at", String, nullable=False),
    Column("adopted_at", String),
    Column("go_live_on", String),
    Column("paused_by", String),
    Column("paused_why", String),
    Column("ledger_id", String, nullable=False),  # tells two ledgers of one partner apart
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", String, primary_key=True),  # also the X-Request-ID
    Column("kind", String, nullable=False),
    Column("month", String, nullable=False),
    Column("run_id", String, nullable=False),
    Column("items", Integer, nullable=False),
    Column("total", BigInteger),
    Column("body_sha256", String, nullable=False),
    Column("verdict", String),  # empty while the request is under way
    Column("http_status", SmallInteger),
    Column("cause", String),
    Column("remote_ref", String),
    Column("confirm_url", String),
    Column("started_at", String, nullable=False),
    Column("finished_at", String),
    Index("attempt_by_run", "run_id"),
)

submission = Table(
    "submission",
    metadata,
    Column("id", _KEY, primary_key=True, autoincrement=True),
    Column("kind", String, nullable=False),
    Column("period", String, nullable=False),  # a repayment's month; empty for what is created once
    Column("business_id", _ID, nullable=False),
    Column("version", Integer, nullable=False),
    Column("month", String, nullable=False),  # the partition that decided it last
    Column("state", String, nullable=False),
    Column("reason_code", String, nullable=False),
    Column("reasons", String, nullable=False),
    Column("payload_hash", String, nullable=False),
    Column("field_hashes", String, nullable=False),
    Column("amount", BigInteger),
    Column("disbursed", BigInteger),
    Column("currency", String, nullable=False),
    Column("currency_digits", SmallInteger),
    Column("effective_on", String, nullable=False),
    Column("client_id", String, nullable=False),
    Column("loan_ids", String, nullable=False),
    Column("client_ids", String, nullable=False),
    Column("attempt_id", String, ForeignKey("attempt.id")),
    Column("remote_ref", String, nullable=False),
    Column("confirm_url", String, nullable=False),
    Column("run_id", String, nullable=False),
    Column("updated_at", String, nullable=False),
    Index("submission_identity", "kind", "period", "business_id", "version", unique=True),
    Index(
        "submission_one_open",
        "business_id",
        "kind",
        "period",
        unique=True,
        sqlite_where=text(OPEN_CLAUSE),
        postgresql_where=text(OPEN_CLAUSE),
    ),
    Index("submission_by_attempt", "attempt_id"),
)

event = Table(
    "event",
    metadata,
    Column("id", _KEY, primary_key=True, autoincrement=True),
    Column("at", String, nullable=False),
    Column("action", String, nullable=False),
    Column("submission_id", _KEY, ForeignKey("submission.id")),
    Column("attempt_id", String, ForeignKey("attempt.id")),
    Column("from_state", String),
    Column("to_state", String),
    Column("who", String, nullable=False),
    Column("why", String, nullable=False),
    Column("run_id", String, nullable=False),
    Index("event_by_submission", "submission_id"),
    Index("event_by_attempt", "attempt_id"),
)

# A month's report that a person closed (it was finalized in PA2) or gave more days; a month without
# a row follows the calendar. Who and why are events.
report_month = Table(
    "report_month",
    metadata,
    Column("month", String, primary_key=True),
    Column("closed_at", String),
    Column("extended_until", String),
)

# What a person approved: this very figure (by the hash of what Kiva would see) of this effect, past
# the guards. Another figure needs another approval. "" as hash: a row without a figure (missing).
approval = Table(
    "approval",
    metadata,
    Column("id", _KEY, primary_key=True, autoincrement=True),
    Column("at", String, nullable=False),
    Column("who", String, nullable=False),
    Column("why", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("period", String, nullable=False),
    Column("business_id", _ID, nullable=False),
    Column("payload_hash", String, nullable=False),
    Index("approval_of", "kind", "period", "business_id"),
)

# Who holds the sender lock, for those who wait for it; the lock itself is elsewhere (``store``).
# Empty when nobody does, and stale after a crash: it is read only where the lock is held.
sender = Table(
    "sender",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_sender"), primary_key=True),
    Column("run_id", String, nullable=False),
    Column("process", Integer, nullable=False),
    Column("host", String, nullable=False),
    Column("os_user", String, nullable=False),
    Column("since", String, nullable=False),
    Column("backend", Integer),  # the session on the server, for its administrator
)
