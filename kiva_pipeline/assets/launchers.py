"""Where Dagster's runs run, and whether a ledger in a file can be meant by all of them.

What must not break: a run in a container of its own finds an empty folder where the ledger's file
would be, and takes a partner for new.
"""

import dagster as dg

from kiva_pipeline.errors import LedgerError

# These start a run on this machine. Of any other one it can't be known.
_ON_THIS_MACHINE = frozenset({"DefaultRunLauncher", "SyncInMemoryRunLauncher"})


def launcher_of(instance: dg.DagsterInstance | None) -> str:
    """The name of the class that starts the runs of an instance; "" where there is none."""
    if instance is None:
        return ""
    if instance.is_persistent:  # by its name in dagster.yaml: its package need not be here
        data = instance.get_ref().run_launcher_data
        return data.class_name if data else "DefaultRunLauncher"
    return type(instance.run_launcher).__name__


def refuse_file_ledger(launcher: str, ledger_url: str) -> None:
    """Raise if runs may start on other machines, and the ledger is a file of this one.

    Args:
        launcher: From ``launcher_of``.
        ledger_url: SQLAlchemy's URL of the ledger.

    Raises:
        LedgerError: As said.
    """
    if ledger_url.startswith("sqlite") and launcher and launcher not in _ON_THIS_MACHINE:
        raise LedgerError(
            f"Dagster starts each run with {launcher}, perhaps in a container of its own, and the"
            " ledger is a file: two runs could each have one, and send everything twice.",
            "Keep the ledger in PostgreSQL (state.ledger_url: postgresql+psycopg://USER@HOST/"
            "DATABASE), or let Dagster start runs on this machine (DefaultRunLauncher).",
        )
