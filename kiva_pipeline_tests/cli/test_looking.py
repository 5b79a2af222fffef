"""``status``, ``trace``, ``doubts``, ``worklist``: what the ledger knows, for people and scripts."""

import csv
from collections import Counter

import pytest

from kiva_pipeline.reporting.worklist import WORKLIST_COLUMNS
from kiva_pipeline_tests.cli.conftest import MONTHS
from kiva_pipeline_tests.cli.terminal import kiva
from kiva_pipeline_tests.worlds import RUNNING_MONTH, demo_world


@pytest.fixture
def look(ran):
    return ("--settings", ran.world.settings_file)


def decisions(ran, month, stream):
    (run,) = [run for run in ran.second.told["runs"] if run["month"] == month]
    counts = Counter()
    for line in run["decisions"]:
        counts[line["decision"]] += line["rows"] * (line["stream"] == stream)
    return counts


def test_status_counts_what_the_runs_decided(ran, look):
    told = kiva("status", *look, "--json").told
    assert (told["partner"], told["environment"], told["today"]) == ("145", "sandbox", "2026-10-06")
    assert (told["open_report"], told["open_report_until"]) == ("2026-09", "2026-10-15")
    assert told["practice_day"]
    assert told["doubts"] == 0
    by_state = {(r["stream"], r["month"], r["state"]): r["rows"] for r in told["rows"]}
    drafts = decisions(ran, str(RUNNING_MONTH), "loan drafts")
    assert by_state["loan drafts", str(RUNNING_MONTH), "accepted"] == drafts["unchanged"]
    assert by_state["loan drafts", str(RUNNING_MONTH), "blocked"] == drafts["blocked"]
    of_months = [line for line in told["requests"] if line["month"] in MONTHS]
    assert sum(line["requests"] for line in of_months) == ran.posts


def test_status_of_one_month_is_that_months(look):
    told = kiva("status", "2026-09", *look, "--json").told
    assert {row["month"] for row in told["rows"]} == {"2026-09"}
    assert told["month"] == "2026-09"
    nothing = kiva("status", "2026-12", *look)
    assert "The ledger has no rows of 2026-12." in nothing.out


def test_status_for_people_says_what_to_type_next_on_lines_that_can_be_copied(look):
    done = kiva("status", *look)
    assert (done.code, done.err) == (0, "")
    assert "Partner 145 in sandbox, 2026-10-06 (practice day)" in done.out
    assert "Open for repayments: 2026-09, until 2026-10-15" in done.out
    assert "\n  kiva-pipeline worklist 2026-10\n" in done.out
    commands = [line for line in done.out.splitlines() if line.startswith("  kiva-pipeline ")]
    assert len(commands) == len(set(commands))
    assert all(line == line.rstrip() for line in done.out.splitlines())


def test_trace_tells_a_loans_whole_story(ran, look):
    (run,) = [run for run in ran.first.told["runs"] if run["month"] == str(RUNNING_MONTH)]
    blocked = next(line for line in run["unsent"] if line["decision"] == "blocked")
    told = kiva("trace", blocked["id"], *look, "--json").told
    assert {row["business_id"] for row in told["submissions"]} == {blocked["id"]}
    assert not any("hash" in key for row in told["submissions"] for key in row)
    people = kiva("trace", blocked["id"], *look)
    assert people.code == 0
    assert "blocked" in people.out
    assert blocked["sentence"] in people.words


def test_trace_of_what_was_sent_names_the_request_and_what_kiva_called_it(ran, look):
    worklist = kiva("worklist", *look, "--json").told["worklist"]
    sent = next(ln for ln in worklist if (ln["state"], ln["code"]) == ("accepted", "publish"))
    told = kiva("trace", sent["id"], *look, "--json").told
    (attempt,) = [a for a in told["attempts"] if a["verdict"] == "accepted"]
    people = kiva("trace", sent["id"], *look)
    assert f"request  {attempt['id']} at " in people.out
    assert " with 1 row: accepted, HTTP 200" in people.words
    assert "in flight → accepted" in people.words
    assert told["submissions"][-1]["remote_ref"] in people.out


def test_trace_finds_a_group_by_one_of_its_members(look):
    worklist = kiva("worklist", *look, "--json").told["worklist"]
    group = next(line["id"] for line in worklist if line["id"].startswith("G-"))
    submissions = kiva("trace", group, *look, "--json").told["submissions"]
    members = submissions[0]["loan_ids"].strip('[]"').split('","')
    found = kiva("trace", members[0], *look, "--json").told["submissions"]
    assert {row["business_id"] for row in found} >= {group}


def test_trace_of_nobody_says_so_without_obeying_what_was_typed(look):
    done = kiva("trace", "0000\x1b[31m", *look)
    assert (done.code, done.out) == (1, "")
    assert "The ledger knows no loan 0000\N{REPLACEMENT CHARACTER}[31m." in done.error


def test_without_doubts_there_is_nothing_to_settle(look):
    assert kiva("doubts", *look, "--json").told == {"doubts": []}
    done = kiva("doubts", *look)
    assert (done.code, done.out) == (0, "No doubts: the outcome of every request is known.\n")


def test_the_worklist_asks_for_each_thing_once_and_for_no_loan_that_kiva_lists_already(ran, look):
    lines = kiva("worklist", *look, "--json").told["worklist"]
    assert all(set(line) == set(WORKLIST_COLUMNS) for line in lines)
    assert all(line["to_do"] for line in lines)
    publish = {
        line["id"] for line in lines if line["code"] == "publish" and "draft" in line["to_do"]
    }
    facts = ran.world.facts()
    assert len(publish) == facts["drafts"]
    people = kiva("worklist", *look)
    assert people.code == 0
    assert f"{len(lines)} things to do." in people.out
    for line in lines:
        assert line["id"] in people.out
    of_month = kiva("worklist", "2026-09", *look, "--json").told["worklist"]
    assert {line["month"] for line in of_month} == {"2026-09"}
    assert len(of_month) < len(lines)


def test_the_worklist_as_a_csv_is_the_same_and_its_owners_only(tmp_path, look):
    lines = kiva("worklist", *look, "--json").told["worklist"]
    file = tmp_path / "worklist.csv"
    done = kiva("worklist", "--csv", file, *look)
    assert (done.code, done.out) == (0, "")
    assert f"{len(lines)} lines in {file}" in " ".join(done.err.split())
    assert file.stat().st_mode & 0o777 == 0o600
    with file.open(encoding="utf-8-sig", newline="") as text:
        assert list(csv.DictReader(text)) == lines


def test_before_the_first_run_there_is_nothing_to_see_and_looking_makes_no_ledger(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=20, adopted=False) as unborn:
        look = ("--settings", unborn.settings_file)
        assert "There is no ledger yet" in kiva("status", *look).out
        assert kiva("status", *look, "--json").told["ledger_born_at"] is None
        assert kiva("worklist", *look).out == "Nothing to do.\n"
        assert kiva("doubts", *look).code == 0
        done = kiva("trace", "1", *look)
        assert done.code == 1
        assert "There is no ledger yet" in done.error
        assert not list(unborn.folder.glob("ledger*"))
