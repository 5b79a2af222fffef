"""``adopt`` as a person types it: what is checked, what is shown, what the ledger knows after."""

import json
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kiva_pipeline.cli.main import command_line
from kiva_pipeline.practice_adoption import pa2_files
from kiva_pipeline.settings import Settings, load_settings
from kiva_pipeline.submission.adoption_files import AdoptionFiles
from kiva_pipeline.submission.lock import sender_lock
from kiva_pipeline_tests.submission.sending import DRAFTS, REPAYMENTS, open_ledger, send
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, World, demo_world

SIGNED = ("--by", "Ana", "--why", "go-live", "--yes")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Kiva and the MIS; each test has a ledger of its own."""
    with demo_world(tmp_path_factory, loans=120, adopted=False) as world:
        yield world


@pytest.fixture(scope="module")
def given(world: World) -> AdoptionFiles:
    """What a person finds in PA2, all of it right."""
    return pa2_files(world.settings, world.sandbox, world.folder / "pa2")


@dataclass
class Desk:
    """A person at a terminal, with a ledger that is not born yet."""

    world: World
    settings_file: Path
    folder: Path
    given: AdoptionFiles
    read: Callable[[], tuple[str, str]]

    @property
    def settings(self) -> Settings:
        return load_settings(self.settings_file)

    @property
    def ledger(self) -> Path:
        return self.settings.state.folder / "ledger.sqlite"

    def types(self, *words: object) -> tuple[int, str]:
        """The exit code, and all that was shown, in one line."""
        code = command_line(["adopt", *map(str, words), "--settings", str(self.settings_file)])
        out, err = self.read()
        return code, re.sub(r"\s+", " ", f"{out} {err}")

    def json(self, *words: object) -> Any:
        code = command_line(
            ["adopt", *map(str, words), "--settings", str(self.settings_file), "--json"]
        )
        out, err = self.read()
        assert code == 0, err
        return json.loads(out)

    def adopts(self, *words: object, drafts: Path | None = None) -> Any:
        """Adopt all that there is, rightly."""
        return self.json(
            "--drafts", drafts or self.given.drafts, "--reported", self.given.reported,
            "--groups", self.given.groups, *SIGNED, *words,
        )  # fmt: skip

    def file(self, name: str, *lines: str, encoding: str = "utf-8") -> Path:
        file = self.folder / name
        file.write_bytes("\n".join(lines).encode(encoding))
        return file

    def rows(self, sql: str) -> list[tuple]:
        with sqlite3.connect(self.ledger) as ledger:
            return ledger.execute(sql).fetchall()

    def at_kiva(self, sql: str, *values: object) -> list[tuple]:
        with sqlite3.connect(self.world.sandbox) as sandbox:
            return sandbox.execute(sql, values).fetchall()

    def one_at_kiva(self, where: str) -> tuple:
        (found, *_) = self.at_kiva(
            "SELECT internal_loan_id, currency, price, borrower_count FROM loan"
            f" WHERE status = 'payingBack' AND currency <> 'USD' AND {where} ORDER BY 1"
        )
        return found


@pytest.fixture
def desk(world, given, tmp_path, capsys) -> Desk:
    settings = world.settings_with(f"{tmp_path.name}.yaml", state={"folder": str(tmp_path / "s")})
    return Desk(world, settings, tmp_path, given, capsys.readouterr)


# --- what is adopted


def test_all_that_kiva_has_is_known_afterwards_and_nothing_of_it_is_sent(desk):
    told = desk.adopts("--go-live", "2026-10-01")
    listed = desk.at_kiva("SELECT internal_loan_id FROM loan ORDER BY 1")
    adopted = "SELECT business_id FROM submission WHERE kind = 'loan_draft' AND state = 'accepted'"
    assert sorted(desk.rows(adopted)) == listed
    assert told["loans"] == len(listed)
    assert told["go_live_on"] == "2026-10-01"
    assert desk.rows("SELECT go_live_on FROM ledger") == [("2026-10-01",)]
    ((who, why),) = desk.rows("SELECT who, why FROM event WHERE submission_id IS NULL")
    assert who == "Ana"
    assert why.startswith("go-live (")
    sent = send(desk.settings, DRAFTS, RUNNING_MONTH)
    assert not {(draft,) for draft in sent.ids("accepted")} & set(listed)
    assert desk.world.facts()["duplicate_effects"] == []


def test_a_dry_run_shows_what_would_be_adopted_and_makes_no_ledger(desk):
    told = desk.json("--drafts", desk.given.drafts, "--reported", desk.given.reported, "--dry-run")
    assert told["loans"] > 0
    assert told["adopted"] is False
    assert not desk.ledger.exists()
    code, shown = desk.types("--drafts", desk.given.drafts, "--dry-run")
    assert code == 0
    assert "Nothing was adopted: this was a dry run." in shown
    assert f"{told['loans']} 0" in shown  # the table: to be adopted, known already


def test_the_person_is_asked_and_may_say_no(desk, monkeypatch):
    monkeypatch.setattr("typer.confirm", lambda question: question != "Adopt this?")
    code, shown = desk.types("--drafts", desk.given.drafts, "--by", "Ana", "--why", "go-live")
    assert code == 1
    assert "Nothing was adopted." in shown
    assert not desk.ledger.exists()


def test_adopting_again_changes_nothing_that_is_known(desk):
    desk.adopts()
    rows = "SELECT * FROM submission ORDER BY id"
    before = desk.rows(rows)
    again = desk.adopts("--go-live", "2026-09-01")
    assert {again[name] for name in ("loans", "drafts", "figures", "groups_named")} == {0}
    assert desk.rows(rows) == before
    assert again["go_live_on"] == "2026-10-06"


def test_a_draft_that_was_planned_before_it_was_adopted_ends_with_an_event(desk):
    desk.adopts()
    planned = send(desk.settings, DRAFTS, RUNNING_MONTH, limit=0).ids("deferred")[0]
    told = desk.adopts(drafts=desk.file("d.csv", "loan_id", planned))
    assert told["drafts"] == 1
    of_draft = f"SELECT id, state FROM submission WHERE business_id = '{planned}' ORDER BY version"
    (old, withdrawn), (new, accepted) = desk.rows(of_draft)
    assert (withdrawn, accepted) == ("withdrawn", "accepted")
    story = "SELECT submission_id, from_state, to_state FROM event WHERE why LIKE 'adopted%'"
    assert {(old, "deferred", "withdrawn"), (new, None, "accepted")} <= set(desk.rows(story))
    assert send(desk.settings, DRAFTS, RUNNING_MONTH).reason(planned) == "adopted"


def test_groups_may_be_named_later(desk):
    words = ("--drafts", desk.given.drafts, "--reported", desk.given.reported, *SIGNED)
    first = desk.json(*words)
    unnamed = set(first["groups_without_members"])
    assert unnamed
    group = sorted(unnamed)[0]
    members = (
        f"SELECT loan_ids FROM submission WHERE business_id = '{group}' AND kind <> 'repayment'"
    )
    assert desk.rows(members) == [(json.dumps([group]),)]
    assert send(desk.settings, REPAYMENTS, OPEN_MONTH, dry_run=True).rows.loc[group, "decision"] in {
        "missing", "held"
    }  # fmt: skip
    later = desk.json("--groups", desk.given.groups, *SIGNED)
    assert later["groups_named"] == len(unnamed) - len(later["groups_without_members"]) > 0
    ((named,),) = desk.rows(members)
    assert len(json.loads(named)) > 1


def test_what_is_not_told_is_said_before_the_person_agrees(desk):
    code, shown = desk.types("--drafts", desk.given.drafts, "--dry-run")
    assert code == 0
    assert "Group loans without members" in shown
    assert "Loans that Kiva expects, without a last reported figure" in shown


def test_a_figure_that_differs_from_the_ledgers_is_said_and_changes_nothing(desk):
    desk.adopts()
    loan_id, _, price, _ = desk.one_at_kiva("borrower_count = 1 AND last_reported IS NOT NULL")
    figures = "SELECT business_id, amount FROM submission WHERE kind = 'repayment' ORDER BY id"
    before = desk.rows(figures)
    lines = desk.file("r.csv", "loan_id,month,principal_repaid", f"{loan_id},2026-08,{price}")
    told = desk.json("--reported", lines, *SIGNED)
    assert told["other_figures"] == [loan_id]
    assert desk.rows(figures) == before


def test_a_sender_at_work_is_waited_for_and_then_named(desk):
    desk.adopts()
    ledger = open_ledger(desk.settings)
    file = desk.world.settings_with(
        f"{desk.folder.name}-b.yaml",
        state={"folder": str(desk.folder / "s"), "wait_for_lock_seconds": 0},
    )
    desk.settings_file = file
    with sender_lock(ledger, run_id="run-7", wait_seconds=0):
        code, shown = desk.types("--drafts", desk.given.drafts, *SIGNED)
    ledger.close()
    assert code == 6
    assert "run run-7" in shown


# --- what it needs


def test_the_first_adoption_needs_to_know_which_drafts_wait(desk):
    code, shown = desk.types("--reported", desk.given.reported, *SIGNED)
    assert code == 2
    assert "The ledger is new. Kiva's API can't show the drafts that wait in PA2" in shown
    assert "Add --drafts FILE" in shown
    assert not desk.ledger.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "needs the name of the person"),
        (("--by", "Ana"), "needs a reason"),
        (("--go-live", "2026-10-07", *SIGNED), "2026-10-07 is in the future"),
        (("--by", "Ana", "--why", "x", "--json"), "--json can't ask you"),
    ],
)
def test_an_adoption_that_lacks_something_says_so(desk, words, told):
    code, shown = desk.types("--drafts", desk.given.drafts, *words)
    assert code == 2
    assert told in shown
    assert not desk.ledger.exists()


# --- templates


def test_the_templates_list_what_kiva_expects_and_what_the_mis_proposes(desk):
    folder = desk.folder / "adoption"
    code, shown = desk.types("--template", folder)
    assert code == 0
    assert "Leave only the heading if none waits." in shown
    assert {f.name for f in folder.iterdir()} == {"drafts.csv", "reported.csv", "groups.csv"}
    assert {stat.S_IMODE(f.stat().st_mode) for f in folder.iterdir()} == {0o600}
    reported = (folder / "reported.csv").read_text("utf-8-sig").splitlines()
    expected = desk.at_kiva(
        "SELECT internal_loan_id, currency, price, status FROM loan"
        " WHERE status IN ('payingBack', 'defaulted') ORDER BY 1"
    )
    assert sorted(reported[1:]) == sorted(
        f"{loan_id},2026-08,,{currency},{price},{status}"
        for loan_id, currency, price, status in expected
    )
    assert (folder / "drafts.csv").read_text("utf-8-sig").split() == ["loan_id"]
    told = desk.json(
        "--drafts", folder / "drafts.csv", "--reported", folder / "reported.csv", "--dry-run"
    )
    assert told["lines_left_empty"] == len(expected)
    assert told["figures"] == 0


def test_a_template_takes_no_filled_in_files_place(desk):
    desk.file("drafts.csv", "loan_id", "mine")
    code, shown = desk.types("--template", desk.folder)
    assert code == 2
    assert "nothing was written over it" in shown
    assert (desk.folder / "drafts.csv").read_text() == "loan_id\nmine"
    assert not (desk.folder / "reported.csv").exists()


# --- files with faults


def refused(desk: Desk, *words: object) -> str:
    """The refusal; no ledger was born."""
    code, shown = desk.types(*words, *SIGNED)
    assert code == 2
    assert "nothing was adopted" in shown
    assert not desk.ledger.exists()
    return shown


def test_every_fault_of_every_file_is_told_at_once(desk):
    loan, currency, _price, _ = desk.one_at_kiva("borrower_count = 1 AND currency = 'RWF'")
    group, _, _, borrowers = desk.one_at_kiva("borrower_count > 1")
    (member, *_) = [
        line.split(",")[1] for line in desk.given.groups.read_text("utf-8-sig").split()[1:]
    ]
    drafts = desk.file("d.csv", "loan_id", "NOBODY", "NOBODY")
    reported = desk.file(
        "r.csv", "loan_id,month,principal_repaid",
        "NOBODY,2026-08,1",
        f"{loan},2026-08,1.5",
        f"{loan},2026-08,1",
    )  # fmt: skip
    groups = desk.file(
        "g.csv", "group_id,loan_id", f"{group},{member}", f"{group},{loan}", f"OTHER,{member}",
        "OTHER,NOBODY",
    )  # fmt: skip
    told = refused(desk, "--drafts", drafts, "--reported", reported, "--groups", groups)
    for fault in (
        "d.csv, line 2: neither the MIS nor Kiva knows “NOBODY”",
        "d.csv, line 3: the draft “NOBODY” stands here twice",
        "r.csv, line 2: Kiva lists no loan “NOBODY”",
        f"r.csv, line 3: 1.5 has more decimals than {currency} has (0)",
        f"r.csv, line 4: the loan “{loan}” stands here twice",
        f"g.csv, line 3: “{loan}” is a loan of its own at Kiva",
        f"g.csv, line 4: the loan “{member}” is a member of “{group}” already",
        "g.csv, line 5: the MIS knows no loan “NOBODY”",
        "g.csv, line 4: neither Kiva nor the file of drafts has a group “OTHER”",
    ):
        assert fault in told
    if borrowers != 2:
        assert f"has {borrowers} borrower(s), and 2 member(s) are named" in told


@pytest.mark.parametrize(
    ("month", "figure", "told"),
    [
        ("2026-09", "1", "the report of 2026-09 is not final yet"),
        ("2026-12", "1", "the report of 2026-12 is not final yet"),
        ("August", "1", "“August” is not a month such as 2026-10"),
        ("2026-08", "-1", "-1 is below zero"),
        ("2026-08", "1,000", "“1,000” is not an amount; write plain digits such as 1234.50"),
        ("2026-08", "ten", "“ten” is not an amount"),
        ("2026-08", "99999999999", "99999999999 is above the loan's principal at Kiva"),
    ],
)
def test_a_figure_that_can_not_be_is_refused(desk, month, figure, told):
    loan, *_ = desk.one_at_kiva("borrower_count = 1")
    lines = desk.file("r.csv", "loan_id,month,principal_repaid", f'{loan},{month},"{figure}"')
    shown = refused(desk, "--drafts", desk.given.drafts, "--reported", lines)
    assert f"r.csv, line 2: {told}" in shown


def test_a_figure_may_be_given_as_outstanding_but_not_as_both(desk):
    loan, _, price, _ = desk.one_at_kiva("borrower_count = 1")
    lines = desk.file("r.csv", "loan_id,month,principal_outstanding", f"{loan},2026-08,{price}")
    desk.json("--drafts", desk.given.drafts, "--reported", lines, *SIGNED)
    figure = "SELECT business_id, amount, period FROM submission WHERE kind = 'repayment'"
    assert desk.rows(figure) == [(loan, 0, "2026-08")]
    desk.ledger.unlink()
    both = desk.file(
        "r.csv", "loan_id,month,principal_repaid,principal_outstanding", f"{loan},2026-08,1,1"
    )
    assert "not both" in refused(desk, "--drafts", desk.given.drafts, "--reported", both)


def test_zeros_that_a_spreadsheet_cut_are_found(desk):
    loan, *_ = desk.one_at_kiva("internal_loan_id LIKE '0%'")
    lines = desk.file("r.csv", "loan_id,month,principal_repaid", f"{loan.lstrip('0')},2026-08,0")
    shown = refused(desk, "--drafts", desk.given.drafts, "--reported", lines)
    assert f"a spreadsheet may have cut its zeros: there is “{loan}”" in shown


@pytest.mark.parametrize(
    ("lines", "encoding", "told"),
    [
        (("loan",), "utf-8", "there is no column loan_id"),
        (("",), "utf-8", "there is no column loan_id"),
        (("loan_id", "é"), "windows-1252", "is not UTF-8"),
        (("loan_id", "é"), "utf-16", "is not UTF-8"),
        (("loan_id", '"open'), "utf-8", "is not a CSV file"),
        (("loan_id,note", ",a note"), "utf-8", "line 2: there is no loan id"),
    ],
)
def test_a_file_that_can_not_be_read_is_refused_with_the_others_faults(desk, lines, encoding, told):
    drafts = desk.file("d.csv", *lines, encoding=encoding)
    reported = desk.file("r.csv", "loan_id,month", "X,2026-08")
    shown = refused(desk, "--drafts", drafts, "--reported", reported)
    assert told in shown
    assert "there is no column principal_repaid" in shown


def test_a_file_that_is_not_there_is_refused(desk):
    assert "nowhere.csv can't be read" in refused(desk, "--drafts", desk.folder / "nowhere.csv")


def test_a_spreadsheets_semicolons_and_other_columns_are_read(desk):
    loan, *_ = desk.one_at_kiva("borrower_count = 1")
    lines = desk.file(
        "r.csv", "Note;Loan_ID;Month;Principal_Repaid", f"a; {loan} ;2026-08;0", ";;;"
    )
    told = desk.json("--drafts", desk.given.drafts, "--reported", lines, "--dry-run")
    assert told["figures"] == 1
