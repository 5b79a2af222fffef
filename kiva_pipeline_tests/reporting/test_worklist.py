"""What a person must do: in words, most urgent first, as a table and as a private CSV."""

import csv
import json
from datetime import date

import dagster as dg
import pytest

from kiva_pipeline.reporting.csv_file import write_csv
from kiva_pipeline.reporting.reconciliation import RECONCILIATION_COLUMNS
from kiva_pipeline.reporting.unsent import unsent_rows
from kiva_pipeline.reporting.worklist import WORKLIST_COLUMNS, WORKLIST_STATES, worklist
from kiva_pipeline.submission.states import SENTENCES, State
from kiva_pipeline_tests.pipelines import Pipeline
from kiva_pipeline_tests.reporting.test_reconciliation import decisions
from kiva_pipeline_tests.worlds import OPEN_MONTH, PRACTICE_DAY, RUNNING_MONTH, demo_world

TODAY = date(2026, 10, 6)


def row(state, *, kind="loan_draft", code="", reasons=(), on="2026-10-01", url="", name="L1"):
    return {
        "kind": kind, "month": "2026-10", "business_id": name, "state": state,
        "reason_code": code or str(state), "reasons": json.dumps(list(reasons)) if reasons else "",
        "effective_on": on, "confirm_url": url,
    }  # fmt: skip


def reason(**more):
    return {
        "code": "no_waiver", "field": "client_waiver_signed", "value_class": "missing",
        "severity": "block", "sentence": "Have the waiver signed.", "detail": "",
    } | more  # fmt: skip


def test_the_most_urgent_come_first_whatever_the_order_of_the_ledger():
    rows = [row(state, name=str(state)) for state in reversed(WORKLIST_STATES)]
    assert [line["state"] for line in worklist(rows, TODAY)] == [*WORKLIST_STATES]


def test_every_line_says_what_to_do_in_words():
    for state in WORKLIST_STATES:
        (line,) = worklist([row(state)], TODAY)
        assert set(line) == set(WORKLIST_COLUMNS)
        assert line["to_do"]


def test_each_reason_of_a_row_is_a_line_of_its_own_with_its_field():
    told = [reason(), reason(code="no_photo", field="image_encoded", sentence="Take a photo.")]
    lines = worklist([row("blocked", reasons=told)], TODAY)
    assert [(line["field"], line["to_do"], line["detail"]) for line in lines] == [
        ("client_waiver_signed", "Have the waiver signed.", "missing"),
        ("image_encoded", "Take a photo.", "missing"),
    ]


def test_a_month_that_is_held_as_a_whole_is_one_thing_to_do():
    of_month = {"kind": "repayment", "code": "month_held", "on": "2026-09-30"}
    told = [reason(code="month_held", detail="6 of 98 loans")]
    rows = [row("held", name=f"L{n}", reasons=told, **of_month) for n in range(1200)]
    rows += [row("held", name="X", kind="repayment", code="jump", reasons=[reason(code="jump")])]
    whole, one = worklist(rows, TODAY)
    assert (whole["id"], whole["code"], one["id"]) == ("1,200 loans", "month_held", "X")
    assert "6 of 98 loans" in whole["detail"]
    assert whole["command"] == "kiva-pipeline held 2026-10"


def test_an_accepted_draft_waits_to_be_published_until_pa2s_window_shuts():
    (line,) = worklist([row("accepted", on="2026-10-01")], TODAY)
    assert line["to_do"] == "Review the draft in PA2 and publish it."
    assert line["by"] == "2026-10-30"
    assert worklist([row("accepted", on="2026-09-07")], TODAY)  # its last day is today
    assert worklist([row("accepted", on="2026-09-06")], TODAY) == []


def test_nobody_is_asked_to_publish_what_kiva_lists_already():
    told = [reason(code="adopted", sentence="Kiva had it before."), reason()]
    for code in ("adopted", "seen_at_kiva"):
        assert worklist([row("accepted", code=code, reasons=told)], TODAY) == []
        assert worklist([row("accepted", kind="repayment", code=code, reasons=told)], TODAY) == []
    # A draft that waited in PA2 when the ledger was adopted is still to be published there.
    (line,) = worklist([row("accepted", code="adopted_waiting", reasons=told)], TODAY)
    assert line["code"] == "publish"


def test_drafts_whose_window_shuts_first_come_first():
    rows = [row("accepted", on=f"2026-10-0{day}", name=f"L{day}") for day in (3, 1, 2)]
    assert [line["id"] for line in worklist(rows, TODAY)] == ["L1", "L2", "L3"]


def test_an_accepted_journal_has_its_link_and_a_repayment_leaves_nothing_to_do():
    (line,) = worklist([row("accepted", kind="journal", url="https://pa2/j/1")], TODAY)
    assert line["link"] == "https://pa2/j/1"
    assert line["by"] == ""
    assert worklist([row("accepted", kind="repayment")], TODAY) == []


def test_a_decision_without_reasons_of_its_own_is_explained_by_its_code():
    (line,) = worklist([row("held", kind="repayment", code="jump")], TODAY)
    assert line["to_do"] == SENTENCES["jump"]


def test_rows_that_went_or_are_there_are_not_listed_as_unsent():
    frame = decisions(
        ("accepted", "accepted", 1, 5, "KES", 2), ("unchanged", "same", 1, 5, "KES", 2),
        ("planned", "new", 1, 5, "KES", 2), ("held", "jump", 1, 5, "KES", 2),
    )  # fmt: skip
    (line,) = unsent_rows(frame)
    assert (line["id"], line["decision"], line["sentence"]) == ("L3", "held", SENTENCES["jump"])


def test_a_csv_is_its_owners_alone_also_where_another_left_it_open(tmp_path):
    file = tmp_path / "2026-10.csv"
    file.touch(mode=0o644)
    write_csv(file, [{"id": "Ж, 1", "to_do": 'a "word"\nand another'}], ["id", "to_do"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")  # spreadsheets need it to see UTF-8
    with file.open(encoding="utf-8-sig", newline="") as opened:
        assert list(csv.DictReader(opened)) == [{"id": "Ж, 1", "to_do": 'a "word"\nand another'}]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    with (
        demo_world(tmp_path_factory, loans=300) as world,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        pipeline = Pipeline(world, instance)
        yield world, {str(m): pipeline.run(str(m)) for m in (OPEN_MONTH, RUNNING_MONTH)}


def lines_of(world, name, month):
    file = world.settings.state.folder / name / f"{month}.csv"
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600
    with file.open(encoding="utf-8-sig", newline="") as opened:
        return list(csv.DictReader(opened))


def test_the_worklists_file_is_the_worklist(ran):
    world, runs = ran
    for month, run in runs.items():
        lines = lines_of(world, "worklist", month)
        assert list(lines[0]) == list(WORKLIST_COLUMNS)
        assert lines == run.frame("worklist").to_dict("records")
        to_do = {n: v for n, v in run.numbers("worklist").items() if n.startswith("to do: ")}
        assert sum(to_do.values()) == len(lines) == run.numbers("worklist")["dagster/row_count"]
        assert len(to_do) == len(WORKLIST_STATES)


def test_the_worklist_names_all_that_waits_and_nothing_that_does_not(ran):
    world, runs = ran
    run = runs[str(RUNNING_MONTH)]
    rows = run.frame("loan_draft_submissions")
    lines = [ln for ln in lines_of(world, "worklist", run.month) if ln["stream"] == "loan drafts"]
    waits = rows[rows["decision"].isin(["accepted", "blocked", "held", "rejected"])]
    assert {line["id"] for line in lines} == set(waits["business_id"])
    assert any(line["code"] == "publish" for line in lines)
    for line in lines:
        assert line["to_do"]
        assert line["state"] != "accepted" or line["by"] >= str(PRACTICE_DAY)


def test_the_reconciliations_file_adds_up_to_the_decisions_of_each_stream(ran):
    world, runs = ran
    for month, run in runs.items():
        lines = lines_of(world, "reconciliation", month)
        assert list(lines[0]) == list(RECONCILIATION_COLUMNS)
        for stream, asset in (
            ("loan drafts", "loan_draft_submissions"), ("repayments", "repayment_submissions"),
            ("journals", "journal_submissions"),
        ):  # fmt: skip
            decided = run.frame(asset)
            of_stream = [line for line in lines if line["stream"] == stream]
            assert sum(int(line["rows"]) for line in of_stream) == len(decided)
            assert sum(int(line["mis_rows"]) for line in of_stream) == decided["mis_rows"].sum()
        assert run.numbers("reconciliation")["rows decided"] == sum(int(ln["rows"]) for ln in lines)


def test_a_second_run_does_not_ask_twice(ran):
    world, runs = ran
    before = lines_of(world, "worklist", str(OPEN_MONTH))
    with dg.DagsterInstance.ephemeral() as instance:
        Pipeline(world, instance).run(str(OPEN_MONTH))
    assert lines_of(world, "worklist", str(OPEN_MONTH)) == before
    assert {line["state"] for line in before} <= {state.value for state in State}
    assert runs
