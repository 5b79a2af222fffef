"""Runs the migrations on the connection that ``Ledger.open`` hands over."""

from alembic import context

from kiva_pipeline.submission.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
