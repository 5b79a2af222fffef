"""``plan``: all that a run would send and why not the rest, and nothing is touched by asking."""

import hashlib

import pytest

from kiva_pipeline.mis.open import open_source
from kiva_pipeline_tests.cli.terminal import kiva, with_mis
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, demo_world

STREAMS = {"loan drafts", "repayments", "journals"}


def contents(folder):
    """Every file below a folder with its content, but for what only says that there was a plan.

    The sandbox writes down who asked it, and a plan leaves a card with its counts.
    """
    return {
        file.relative_to(folder): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith("sandbox.sqlite")
        and file.parent.name != "plans"
    }  # fmt: skip


@pytest.fixture(scope="module")
def plans(world):
    """The two months' plans, made twice."""
    asked = [("plan", month, "--settings", world.settings_file, "--json")
             for month in (OPEN_MONTH, RUNNING_MONTH)]  # fmt: skip
    before = contents(world.folder)
    made = [[kiva(*arguments) for arguments in asked] for _ in range(2)]
    assert contents(world.folder) == before
    return made


def test_a_plan_is_complete_and_the_same_each_time(world, plans):
    for month, done, again in zip((OPEN_MONTH, RUNNING_MONTH), *plans, strict=True):
        told = done.told
        assert told == again.told
        assert told["month"] == str(month)
        assert {line["stream"] for line in told["decisions"]} <= STREAMS
        assert len(told["digest"]) == 64
        for stream in told["sources"]:
            assert stream["decided"] == stream["rows_in"] or stream["stream"] == "repayment"
        with open_source(world.settings) as source:
            counts = source.counts(month)
        rows_in = {stream["stream"]: stream["rows_in"] for stream in told["sources"]}
        assert (rows_in["loan_draft"], rows_in["journal"]) == (counts.loans, counts.notes)
    assert plans[0][0].told["digest"] != plans[0][1].told["digest"]


def test_what_would_not_be_sent_is_listed_with_its_reason_and_the_most_urgent_first(plans):
    waiting = ["uncertain", "rejected", "needs_person", "held", "missing", "blocked"]
    for done in plans[0]:
        told = done.told
        unsent = told["unsent"]
        assert all(line["sentence"] for line in unsent)
        order = [*waiting, *sorted({line["decision"] for line in unsent} - {*waiting})]
        places = [order.index(line["decision"]) for line in unsent]
        assert places == sorted(places)
        rows = {(ln["stream"], ln["id"]) for ln in unsent if ln["decision"] in waiting}
        assert len(rows) == told["wait_for_person"] > 0
        assert done.code == 10


def test_people_are_shown_the_same_numbers_and_that_nothing_was_sent(world, plans):
    done = kiva("plan", RUNNING_MONTH, "--settings", world.settings_file)
    told = plans[0][1].told
    assert done.code == 10
    assert f"Plan of {RUNNING_MONTH}, nothing sent" in done.out
    assert f"{told['wait_for_person']} rows wait for a person." in done.words
    assert told["digest"] in done.out
    planned = [line for line in told["decisions"] if line["decision"] == "planned"]
    for line in planned:
        assert f"{line['stream']} planned {line['reason_code']} {line['rows']}" in done.words
    assert "lines more: `--all` shows them" in done.words
    everything = kiva("plan", RUNNING_MONTH, "--all", "--settings", world.settings_file)
    for line in told["unsent"]:
        assert line["id"] in everything.out
    assert world.posts() == 0


def test_what_a_plan_leaves_behind_are_counts_for_its_owners_eyes(world, plans):
    for done in plans[0]:
        (card,) = (world.folder / "plans").glob(f"{done.told['digest']}.json")
        assert (card.stat().st_mode & 0o777, card.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        for line in done.told["unsent"]:
            assert line["id"] not in card.read_text()


def test_one_stream_is_planned_alone(world):
    done = kiva(
        "plan", RUNNING_MONTH, "--stream", "drafts", "--json", "--settings", world.settings_file
    )
    assert {line["stream"] for line in done.told["decisions"]} == {"loan drafts"}
    assert len(done.told["sources"]) == 1


def test_an_empty_month_has_nothing_and_waits_for_nobody(world):
    untagged = with_mis(world, "UPDATE loans SET funding_source = 'OWN'", "DELETE FROM notes")
    done = kiva("plan", "2027-01", "--settings", untagged)
    assert done.code == 0
    assert "There is nothing in this month." in done.out
    assert "0 rows wait for a person." in done.words


def test_planning_writes_nothing_and_gives_birth_to_no_ledger(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=40, adopted=False) as unborn:
        before = contents(unborn.folder)
        for command in (["plan", RUNNING_MONTH], ["status"], ["doubts"], ["worklist"]):
            assert kiva(*command, "--settings", unborn.settings_file).code in {0, 7, 10}
        assert contents(unborn.folder) == before
        assert not unborn.settings.frames_folder.exists()
        assert unborn.posts() == 0


def test_a_plan_needs_no_folder_to_write_into(world):
    (world.folder / "a file").touch()
    elsewhere = world.settings_with("nowhere.yaml", state={"folder": "a file/state"})
    done = kiva("plan", RUNNING_MONTH, "--stream", "journals", "--settings", elsewhere)
    assert done.code in {0, 10}, done.err
