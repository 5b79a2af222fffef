"""The ledger's schema: brought up to date when a ledger is opened, and looked over.

What must not break: what is only a part of a ledger (a restore that broke off) is refused, never
completed with empty tables: an empty table means that nothing was sent.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from kiva_pipeline.errors import LedgerError
from kiva_pipeline.submission.store import Store, transaction
from kiva_pipeline.submission.tables import attempt, event, ledger, metadata, submission

_MIGRATIONS = Path(__file__).parent / "migrations"
_VERSIONS = "alembic_version"


def bring_up_to_date(store: Store) -> None:
    """Make the tables of a new ledger, or change those of an older one; else only look.

    Raises:
        LedgerError: It is newer than this program, or not whole.
    """
    scripts = _scripts()
    newest = scripts.get_current_head()
    with transaction(store.engine, store.to_read) as connection:
        if _version(connection, scripts) == newest:
            _refuse_part(store, connection)
            return
    with transaction(store.engine, store.to_write) as connection:
        store.one_migration(connection)
        version = _version(connection, scripts)  # another program may have been faster
        if version is None:
            _refuse_strangers(store, connection)
        if version != newest:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        _refuse_part(store, connection)


def _version(connection: Connection, scripts: ScriptDirectory) -> str | None:
    found = MigrationContext.configure(connection).get_current_heads()
    if len(found) > 1:
        raise LedgerError(f"The ledger has {len(found)} schema versions at once.", _RESTORE)
    version = found[0] if found else None
    if version is not None and version not in {s.revision for s in scripts.walk_revisions()}:
        raise LedgerError(
            f"The ledger has schema {version}, which this program does not know.",
            "It was written by a newer kiva_pipeline: install that version or a later one.",
        )
    return version


def _refuse_strangers(store: Store, connection: Connection) -> None:
    """Without a version there may be no table of ours."""
    if found := sorted(store.parts(connection) & set(metadata.tables)):
        raise LedgerError(
            f"The ledger has no schema version, but tables: {', '.join(found)}.",
            f"{_RESTORE} If these are another program's tables, give the ledger a database of its"
            " own.",
        )


def _refuse_part(store: Store, connection: Connection) -> None:
    """All tables, indexes and references are there, and an identity card unless it is empty."""
    if missing := sorted(store.expected_parts() - store.parts(connection)):
        raise LedgerError(f"The ledger is not whole: {', '.join(missing)} is missing.", _RESTORE)
    if connection.execute(sa.select(ledger.c.id)).first() is None and any(
        connection.execute(sa.select(table.c.id).limit(1)).first()
        for table in (submission, attempt, event)
    ):
        raise LedgerError("The ledger has lost its identity card.", _RESTORE)


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


_RESTORE = (
    "It looks like a half-restored backup. Restore a whole one into an empty database or folder"
    " (see “Operate the ledger”); never start with an empty ledger."
)
