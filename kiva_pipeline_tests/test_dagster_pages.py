"""Dagster's pages in a real browser: a person finds what they need, and nothing leaves the machine."""

import importlib.util
import re
import shutil

import dagster as dg
import pytest

from kiva_pipeline_tests.dagster_dev import DagsterDev, new_home
from kiva_pipeline_tests.live import need
from kiva_pipeline_tests.pipelines import Pipeline
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, demo_world

pytestmark = pytest.mark.live

MONTH = str(OPEN_MONTH)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 60_000  # milliseconds, for a busy machine
LOCATION = "/locations/kiva_pipeline.definitions"


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    need(chromium, "there is no browser: apt-get install chromium")
    need(
        importlib.util.find_spec("playwright"),
        "playwright is not installed: pip install -c requirements.lock -e '.[dev]'",
    )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def dev(browser, tmp_path_factory):
    """A month that failed, then one that was run, and Dagster's pages on both."""
    home = new_home(tmp_path_factory.mktemp("home"))
    with demo_world(tmp_path_factory, loans=120) as world:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            lost = world.settings_with(partner={"id": "999"})
            failed = Pipeline(world, instance, lost).run(str(RUNNING_MONTH))
            assert not failed.result.success
            assert Pipeline(world, instance).run(MONTH).result.success
        with DagsterDev(home, world.settings_file) as running:
            running.failed_run = failed.result.run_id
            yield running


@pytest.fixture
def page(browser, dev):
    """A page on Dagster, which must neither complain nor ask another host for anything."""
    context = browser.new_context(base_url=dev.url, viewport={"width": 1400, "height": 1600})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    complaints, elsewhere = [], []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    own = (f"{dev.url}/", dev.url.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(own) else elsewhere.append(r.url))
    page.on("websocket", lambda s: None if s.url.startswith(own) else elsewhere.append(s.url))
    yield page
    context.close()
    assert complaints == []
    assert elsewhere == []


def shows(page, *texts):
    """Wait until each text stands on the page."""
    for text in texts:
        wanted = text if isinstance(text, re.Pattern) else re.compile(re.escape(text))
        page.get_by_text(wanted).filter(visible=True).first.wait_for()


def test_an_assets_page_says_what_a_row_is_who_owns_it_and_what_the_columns_mean(page):
    page.goto("/assets/repayment_submissions")
    shows(
        page, "What became of every figure of the month's report", "One row", "A second run",
        "kiva-data-engineering", "repayments_of_a_month", "Decimals of the currency in this loan",
    )  # fmt: skip


def test_a_months_page_says_first_what_happened_to_it(page):
    page.goto(f"/assets/repayment_submissions?view=partitions&partition={MONTH}")
    shows(page, "what happened", re.compile("missing"), "money accepted", "requests", "doubts")
    first = page.get_by_role("row").filter(has_text="what happened")
    assert re.search(r"accepted\s+[0-9]+", first.first.inner_text())


def test_the_checks_of_a_month_are_on_its_own_page(page):
    page.goto("/assets/repayment_report?view=checks")
    shows(page, "every_expected_loan_has_a_row", "Every loan that Kiva expects has a row.", MONTH)


def test_the_lineage_shows_the_boxes_of_the_design(page):
    page.goto("/asset-groups")
    shows(page, "kiva", "mis", "loan_drafts", "repayments", "journals", "reporting")


def test_the_runs_page_shows_the_month_of_each_run(page):
    page.goto("/runs")
    shows(page, "whole_month", f"partition: {MONTH}", "Success", "Failure")


def test_a_failed_run_says_in_our_words_what_to_do(page, dev):
    page.goto(f"/runs/{dev.failed_run}")
    shows(page, "RUN_FAILURE", "The credentials belong to partner 145, the settings say 999.")


def test_the_launch_pad_offers_dry_run_and_limit_for_the_month_that_is_chosen(page):
    page.goto(f"{LOCATION}/jobs/whole_month/playground")
    page.get_by_placeholder("Partition").click()
    page.keyboard.type(MONTH)
    page.get_by_text(MONTH, exact=True).filter(visible=True).last.click()
    shows(page, re.compile("dry_run"), re.compile("limit"), "No errors", "Launch Run")


def test_the_schedules_are_there_in_the_partners_zone_and_off(page):
    page.goto(f"{LOCATION}/schedules/repayments_daily")
    shows(page, "The month whose report is open", "Africa/Kigali", "repayments_of_a_month")
    assert page.get_by_role("checkbox").first.is_checked() is False
