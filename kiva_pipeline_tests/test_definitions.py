"""What Dagster loads: complete, readable, and without a secret, a database or a network."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from kiva_pipeline import definitions as code_location
from kiva_pipeline.definitions import build_definitions
from kiva_pipeline.demo_home import demo_settings_file, unborn_demo_settings
from kiva_pipeline.errors import SettingsError
from kiva_pipeline.settings import parse_settings

ROOT = Path(__file__).parent.parent
SENDERS = {"loan_draft_submissions", "repayment_submissions", "journal_submissions"}
GROUPS = {
    "kiva": {"expected_loans", "kiva_lists", "kiva_loans"},
    "mis": {"mis_loans", "mis_instalments", "mis_balances", "mis_notes"},
    "loan_drafts": {"loan_drafts", "loan_draft_submissions"},
    "repayments": {"repayment_report", "repayment_submissions"},
    "journals": {"journal_updates", "journal_submissions"},
    "reporting": {"reconciliation", "worklist"},
}


@pytest.fixture(scope="module")
def defs():
    return build_definitions(unborn_demo_settings(), demo_settings_file())


@pytest.fixture(scope="module")
def specs(defs):
    return {spec.key.path[-1]: spec for spec in defs.resolve_all_asset_specs()}


def test_the_code_location_is_loadable(defs):
    dg.Definitions.validate_loadable(defs)


def test_every_asset_of_the_design_is_there_in_its_group(specs):
    grouped: dict[str, set[str]] = {}
    for name, spec in specs.items():
        grouped.setdefault(spec.group_name, set()).add(name)
    assert grouped == GROUPS


def test_every_asset_says_what_a_row_its_window_and_a_second_run_are(specs):
    for name, spec in specs.items():
        for words in ("**One row**", "**Window:**", "**A second"):
            assert words in spec.description, (name, words)


def test_every_asset_has_an_owner_kinds_tags_and_described_columns(specs):
    for name, spec in specs.items():
        assert spec.owners == ["team:kiva-data-engineering"], name
        assert 1 <= len(spec.kinds) <= 3, name
        assert spec.tags["domain"] == spec.group_name, name
        assert spec.tags["effect"] == ("external" if name in SENDERS else "none"), name
        columns = spec.metadata["dagster/column_schema"].columns
        assert columns, name
        assert [c.name for c in columns if not c.description] == [], name


def test_rules_are_shown_as_constraints_of_their_columns(specs):
    columns = specs["mis_loans"].metadata["dagster/column_schema"].columns
    (principal,) = [column for column in columns if column.name == "principal"]
    assert "principal_unreadable" in principal.constraints.other


def test_the_lineage_reads_as_the_month_goes(specs):
    upstream = {n: {d.asset_key.path[-1] for d in spec.deps} for n, spec in specs.items()}
    assert upstream["expected_loans"] == {"kiva_loans"}
    assert "expected_loans" in upstream["mis_balances"]
    assert {"mis_loans", "mis_instalments", "kiva_lists"} <= upstream["loan_drafts"]
    assert {"expected_loans", "mis_balances"} <= upstream["repayment_report"]
    assert {"kiva_loans", "mis_notes"} <= upstream["journal_updates"]
    assert {"kiva_loans", "loan_drafts"} <= upstream["loan_draft_submissions"]
    assert {"kiva_loans", "repayment_report"} <= upstream["repayment_submissions"]
    assert "journal_updates" in upstream["journal_submissions"]
    assert upstream["reconciliation"] == upstream["worklist"] == SENDERS


def test_what_belongs_to_a_month_has_months_in_the_partners_zone_up_to_pa2s_window(specs):
    for name, spec in specs.items():
        months = spec.partitions_def
        if name in {"kiva_lists", "kiva_loans"}:
            assert months is None, name
        else:
            assert isinstance(months, dg.MonthlyPartitionsDefinition), name
            assert months.timezone == "Africa/Kigali"
            assert months.end_offset == 4
            assert months.fmt == "%Y-%m"


def test_every_check_is_kept_by_month_and_blocks_nothing(defs):
    checks = [
        spec for asset in defs.resolve_asset_graph().assets_defs for spec in asset.check_specs
    ]
    assert len(checks) == 20
    for check in checks:
        assert check.partitions_def is not None, check.key
        assert check.blocking is False, check.key
        assert check.description, check.key


def test_one_run_is_one_month_because_no_backfill_policy_is_set(defs):
    # Any explicit policy stores a run's checks with no month.
    assert {a.backfill_policy for a in defs.resolve_asset_graph().assets_defs} == {None}


def test_only_extraction_is_ever_retried_and_senders_share_a_pool(defs):
    for asset in defs.resolve_asset_graph().assets_defs:
        (name,) = (key.path[-1] for key in asset.keys)
        retried = asset.op.retry_policy is not None
        assert retried == name.startswith("mis_"), name
        assert (asset.op.pool == "kiva_api") == (name in SENDERS), name


def test_every_job_runs_in_process_on_months(defs):
    jobs = {job.name: defs.resolve_job_def(job.name) for job in defs.jobs}
    of_months = {name for name in jobs if not name.startswith("act_")}
    assert of_months == {
        "whole_month", "loan_drafts_of_a_month", "repayments_of_a_month", "journals_of_a_month",
    }  # fmt: skip
    for name, job in jobs.items():
        assert job.executor_def is dg.in_process_executor, name
        assert (job.partitions_def is not None) == (name in of_months), name
        assert job.description, name
    assert defs.executor is dg.in_process_executor


@pytest.mark.parametrize(
    ("job", "assets"),
    [
        ("loan_drafts_of_a_month",
         {"kiva_lists", "kiva_loans", "mis_loans", "mis_instalments", *GROUPS["loan_drafts"]}),
        ("repayments_of_a_month", {"kiva_loans", "expected_loans", "mis_balances", *GROUPS["repayments"]}),
        ("journals_of_a_month", {"kiva_loans", "mis_notes", *GROUPS["journals"]}),
        ("whole_month", {name for names in GROUPS.values() for name in names}),
    ],
)  # fmt: skip
def test_each_job_makes_all_that_its_submission_needs(defs, job, assets):
    made = defs.resolve_job_def(job)
    assert {key.path[-1] for key in made.asset_layer.executable_asset_keys} == assets


def test_the_launch_pad_offers_a_dry_run_and_a_limit_and_sends_all_by_default(defs):
    job = defs.resolve_job_def("whole_month")
    shown = job.get_run_config_for_partition_key("2026-09")
    assert shown["ops"] == {
        name: {"config": {"dry_run": False, "limit": None, "digest": ""}} for name in SENDERS
    }
    fields = job.run_config_schema.config_type.fields["ops"].config_type.fields
    offered = fields["repayment_submissions"].config_type.fields["config"].config_type.fields
    assert "send nothing" in offered["dry_run"].description
    assert "Try 1 first" in offered["limit"].description


def partner(environment: str) -> dict:
    from kiva_pipeline.demo_home import demo_yaml
    from kiva_pipeline.periods import Month
    from kiva_pipeline_tests.worlds import PRACTICE_DAY

    text = yaml.safe_load(demo_yaml(PRACTICE_DAY, Month(2026, 1)))
    text["environment"] = environment
    text["calendar"].pop("practice_today")
    text.pop("api")
    return text


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_credentials_come_by_the_names_of_their_variables_and_are_not_read(
    environment, monkeypatch, tmp_path
):
    monkeypatch.setenv("KIVA_CLIENT_ID", "id-9f3")
    monkeypatch.setenv("KIVA_CLIENT_SECRET", "secret-71c")
    settings = parse_settings(partner(environment), tmp_path / "partner.yaml")
    defs = build_definitions(settings, tmp_path / "partner.yaml")
    kiva = defs.resources["kiva"]
    assert "9f3" not in repr(kiva)
    assert "71c" not in repr(kiva)
    pad = defs.resolve_job_def("whole_month").run_config_schema.config_type
    shown = str(pad.fields["resources"].config_type.fields["kiva"].default_value)
    assert "KIVA_CLIENT_SECRET" in shown
    assert "secret-71c" not in shown


def test_settings_that_are_named_but_not_there_are_an_error_that_names_the_file(monkeypatch):
    monkeypatch.setenv("KIVA_PIPELINE_SETTINGS", "/nowhere/partner.yaml")
    with pytest.raises(SettingsError, match=r"/nowhere/partner\.yaml"):
        code_location.definitions.load_fn()


def _dagster(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KIVA_", "DAGSTER_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "dagster", *arguments],
        cwd=cwd,
        env=inherited | {"PYTHONPATH": str(ROOT), "DAGSTER_DISABLE_TELEMETRY": "1"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_dagster_loads_the_projects_root_with_nothing_set():
    done = _dagster("definitions", "validate", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "kiva_pipeline" in done.stdout + done.stderr
    # What Dagster has in preview is the maintainers' concern; a user's screen has our words only.
    assert "PreviewWarning" not in done.stderr
    assert "BetaWarning" not in done.stderr
    assert "DeprecationWarning" not in done.stderr


def test_dagster_materializes_a_month_of_the_demo_from_its_command_line(tmp_path_factory):
    from kiva_pipeline_tests.worlds import demo_world

    with demo_world(tmp_path_factory, loans=60) as world:
        home = tmp_path_factory.mktemp("home")
        (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
        command = ("asset", "materialize", "-m", "kiva_pipeline.definitions",
                   "--select", "*", "--partition", "2026-09")  # fmt: skip
        where = {
            "DAGSTER_HOME": str(home), "KIVA_PIPELINE_SETTINGS": str(world.settings_file),
        }  # fmt: skip
        first = _dagster(*command, cwd=world.folder, **where)
        assert first.returncode == 0, first.stderr
        sent = world.posts()
        assert sent > 0
        again = _dagster(*command, cwd=world.folder, **where)
        assert again.returncode == 0, again.stderr
        assert world.posts() == sent
