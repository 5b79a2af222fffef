"""A ledger in a file is refused where Dagster starts runs in containers."""

from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.launcher import DefaultRunLauncher

from kiva_pipeline.assets.launchers import launcher_of, refuse_file_ledger
from kiva_pipeline.assets.resources import LedgerResource, PartnerResource
from kiva_pipeline.errors import LedgerError
from kiva_pipeline_tests.live.partners import Partner

SQLITE, POSTGRES = "sqlite+pysqlite:////state/ledger.sqlite", "postgresql+psycopg://db/ledger"


class DockerRunLauncher(DefaultRunLauncher):
    """Stands for the one of Dagster's own package, by its name."""


@dg.op
def read_ledger(ledger: LedgerResource) -> str:
    with ledger.open() as book:
        return str(book.card().partner_id)


@dg.job
def reading():
    read_ledger()


def read(folder: Path, launcher: type | None) -> dg.ExecuteInProcessResult:
    """What a run of an instance finds, whose runs this launcher starts."""
    partner = Partner(folder, f"sqlite+pysqlite:///{folder / 'ledger.sqlite'}")
    settings = {"telemetry": {"enabled": False}}
    if launcher:
        settings["run_launcher"] = {"module": launcher.__module__, "class": launcher.__name__}
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        return reading.execute_in_process(
            instance=instance,
            raise_on_error=False,
            resources={
                "ledger": LedgerResource(partner=PartnerResource(settings_file=str(partner.file)))
            },
        )


@pytest.mark.parametrize("launcher", [None, DefaultRunLauncher])
def test_runs_on_this_machine_share_the_file(tmp_path, launcher):
    assert read(tmp_path, launcher).output_for_node("read_ledger") == "145"


def test_a_run_in_a_container_of_its_own_makes_no_ledger(tmp_path):
    result = read(tmp_path, DockerRunLauncher)
    assert not result.success
    told = str(result.failure_data_for_node("read_ledger").error.to_string())
    assert "DockerRunLauncher" in told
    assert "PostgreSQL" in told
    assert not (tmp_path / "ledger.sqlite").exists()


def test_an_instance_in_memory_runs_on_this_machine():
    with dg.DagsterInstance.ephemeral() as instance:
        refuse_file_ledger(launcher_of(instance), SQLITE)
    refuse_file_ledger(launcher_of(None), SQLITE)


@pytest.mark.parametrize(
    "launcher",
    ["DockerRunLauncher", "K8sRunLauncher", "CeleryK8sRunLauncher", "EcsRunLauncher", "OurOwn"],
)
def test_a_server_serves_every_launcher_and_a_file_only_those_of_this_machine(launcher):
    refuse_file_ledger(launcher, POSTGRES)
    with pytest.raises(LedgerError, match=launcher) as refused:
        refuse_file_ledger(launcher, SQLITE)
    assert "state.ledger_url" in refused.value.fix
