"""The ledger's schema, version by version; Alembic brings a ledger up to date when it is opened."""
