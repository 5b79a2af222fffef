"""Nothing that Dagster keeps quotes a borrower, a photo or a secret, also when things go wrong."""

import dagster as dg
import pytest
import stamina
import yaml

from kiva_pipeline.assets import journals, loan_drafts, mis, reporting
from kiva_pipeline_tests.dagster_dev import new_home
from kiva_pipeline_tests.pipelines import Pipeline
from kiva_pipeline_tests.privacy import everything_kept, people, quoted
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, demo_world

MONTHS = (str(OPEN_MONTH), str(RUNNING_MONTH))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A world and Dagster's home after both its months were run, and one of them again."""
    home = new_home(tmp_path_factory.mktemp("home"))
    with (
        demo_world(tmp_path_factory, loans=300) as world,
        dg.DagsterInstance.from_config(str(home)) as instance,
    ):
        pipeline = Pipeline(world, instance)
        for month in (*MONTHS, MONTHS[0]):
            assert pipeline.run(month).result.success
        yield world, home


@pytest.fixture
def world(ran):
    return ran[0]


@pytest.fixture
def home(tmp_path):
    return new_home(tmp_path)


@pytest.fixture
def instance(home):
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def test_the_search_finds_a_name_in_any_script_where_there_is_one(home, instance):
    @dg.op
    def careless(context):
        context.log.info("Азиза owes 5")

    dg.GraphDefinition(name="loan_drafts", node_defs=[careless]).to_job().execute_in_process(
        instance=instance
    )
    assert quoted(home, {"Азиза", "owes", "Ази"}) == {"Азиза", "owes"}


def test_no_name_text_or_photo_is_in_anything_that_runs_leave_behind(ran):
    world, home = ran
    words = people(world)
    assert len(words) > 500
    assert quoted(home, words) == set()
    kept = everything_kept(home)
    assert "data:image" not in kept
    assert "/9j/" not in kept
    assert "access_token" not in kept
    assert "Bearer " not in kept


@pytest.mark.parametrize(
    ("module", "function", "step", "month"),
    [
        (mis, "canonical_loans", "mis_loans", 1),
        (loan_drafts, "build_loan_drafts", "loan_drafts", 1),
        (journals, "build_journal_updates", "journal_updates", 0),
        (journals, "journal_submission", "journal_submissions", 0),
        (reporting, "month_worklist", "worklist", 0),
        (reporting, "reconcile", "reconciliation", 0),
    ],
)
def test_a_bug_that_quotes_a_row_is_told_without_the_row(
    world, home, instance, monkeypatch, module, function, step, month
):
    def careless(*_arguments, **_more):
        cause = KeyError("Азиза Рахимова")
        raise ValueError("invalid literal for int(): 'Grace Wanjiku'") from cause

    where = mis.records if module is mis else module
    monkeypatch.setattr(where, function, careless)
    run = Pipeline(world, instance).run_only(MONTHS[month], step)
    words = run.failures[step]
    assert "Something unexpected failed (ValueError), at " in words
    assert "careless" in words
    assert ".py:" in words
    kept = everything_kept(home)
    assert "Something unexpected failed" in kept
    for private in ("Азиза", "Рахимова", "Grace", "Wanjiku"):
        assert private not in kept


def test_a_secret_is_in_nothing_that_dagster_keeps(world, home, instance, monkeypatch):
    monkeypatch.setenv("KIVA_CLIENT_ID", "client-5d1c")
    monkeypatch.setenv("KIVA_CLIENT_SECRET", "secret-8e27")
    content = yaml.safe_load(world.settings_file.read_text(encoding="utf-8"))
    content["environment"] = "staging"
    del content["calendar"]["practice_today"]
    content["state"]["folder"] = "staging"
    nowhere = "https://kiva.invalid"
    content["api"] = {"base_url": nowhere, "auth_url": nowhere, "audience": nowhere}
    file = world.folder / "staging.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with stamina.set_testing(True, attempts=1):
        run = Pipeline(world, instance, file).run(MONTHS[0], "repayments_of_a_month")
    assert "kiva_loans" in run.failures
    kept = everything_kept(home)
    assert "kiva.invalid" in kept
    assert "secret-8e27" not in kept
    assert "client-5d1c" not in kept
