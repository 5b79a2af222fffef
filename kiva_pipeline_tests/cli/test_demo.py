"""The demo, as a newcomer runs it: it proves itself, reads well on any screen, and harms nothing."""

import contextlib
import os
import re
import shlex
import socket
import subprocess
from dataclasses import replace

import pytest

from kiva_pipeline.cli import demo_story
from kiva_pipeline.demo_home import DEMO_PORT
from kiva_pipeline_tests.cli.terminal import PROGRAM, kiva


@pytest.fixture(scope="module")
def played():
    """The story of the one demo that these tests play, as soon as it was played."""
    return []


@pytest.fixture(scope="module")
def shown(tmp_path_factory, played):
    """The demo at its usual size, into a file that is as wide as a usual screen."""
    home = tmp_path_factory.mktemp("newcomer")
    play = demo_story.play
    with pytest.MonkeyPatch.context() as newcomer:
        newcomer.chdir(home)
        newcomer.setenv("COLUMNS", "80")
        for name in [name for name in os.environ if name.startswith(("KIVA_", "DAGSTER_"))]:
            newcomer.delenv(name)
        newcomer.setattr(demo_story, "play", lambda *a: played.append(play(*a)) or played[-1])
        return home, kiva("demo")


def test_the_demo_sends_once_then_nothing_then_only_the_difference(shown):
    home, done = shown
    assert done.code == 0, done.err
    assert "and 0 POSTs now." in done.words
    assert "Sent twice, by the sandbox's count: 0." in done.words
    (before, after) = re.search(
        r"received ([\d,]+) POSTs before, .* ([\d,]+) POSTs this", done.words
    ).groups()
    assert int(before) > 50 > int(after) > 0
    assert (home / "kiva-demo").stat().st_mode & 0o077 == 0
    assert [path.name for path in home.iterdir() if not path.name.startswith(".")] == ["kiva-demo"]


def test_it_tells_what_it_is_doing_beside_its_answer(shown):
    _, done = shown
    lines = done.err.splitlines()
    assert lines[0] == "Making a demo MIS of 600 loans and a sandbox of Kiva's API in kiva-demo/"
    for begins in ("Sending 2", "Running both months again", "Correcting the MIS"):
        assert any(line.startswith(begins) for line in lines)


def test_it_fits_80_columns_but_for_the_commands_that_are_there_to_be_copied(shown):
    _, done = shown
    wide = [line for line in done.out.splitlines() if len(line) > 80]
    assert all("dagster dev" in line or "kiva-pipeline" in line for line in wide)
    assert "\x1b" not in done.out + done.err
    table = done.out.split("every row has a decision")[1].split("Why the others")[0]
    for stream in ("loan drafts", "repayments", "journals"):
        assert re.search(rf"^20\d\d-\d\d   {stream} ", table, re.MULTILINE)


def test_its_last_words_are_commands_that_work_when_pasted(shown):
    home, done = shown
    asked = [line.strip() for line in done.out.split("Or ask here:")[1].splitlines()]
    asked = [line for line in asked if "kiva-pipeline" in line]
    assert len(asked) == 3
    for line in asked:
        program, *arguments = shlex.split(line)
        assert program.endswith("kiva-pipeline")
        pasted = subprocess.run(
            [*PROGRAM, *arguments], cwd=home, capture_output=True, check=False, encoding="utf-8"
        )
        assert pasted.returncode == 0, pasted.stderr
        assert pasted.stdout


@pytest.fixture
def told(tmp_path, monkeypatch, shown, played):
    """A demo for a script, over an earlier one's folder, while its usual port is taken.

    It tells the story that was really played for people: playing takes most of the time.
    """
    assert shown
    monkeypatch.setattr(demo_story, "play", lambda *_: played[0])
    folder = tmp_path / "practice"
    folder.mkdir()
    (folder / ".made-by-kiva-pipeline-demo").touch()
    (folder / "left").write_text("of an earlier demo")
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # then another program has it, which is as good
            stack.enter_context(socket.create_server(("127.0.0.1", DEMO_PORT)))
        return folder, kiva("demo", "--folder", folder, "--loans", "40", "--seed", "3", "--json")


def test_for_a_script_it_is_one_document_and_a_free_port_and_its_own_folder_are_found(told):
    folder, done = told
    assert done.code == 0, done.err
    facts = done.told
    assert facts["proven"]
    assert facts["loans"] >= 40
    assert facts["second_posts"] == 0 < facts["third_posts"] < facts["first_posts"]
    assert facts["duplicate_effects"] == []
    assert facts["folder"] == str(folder)
    assert facts["changes"]
    assert facts["decisions"]
    assert not (folder / "left").exists()
    assert f"Port {DEMO_PORT} is taken: the sandbox is at http://127.0.0.1:" in done.err


def test_a_demo_that_did_not_show_what_it_claims_says_so_by_its_exit_code(
    tmp_path, monkeypatch, shown, played
):
    assert shown
    twice = replace(played[0], duplicates=["loan_draft/145/1"])
    monkeypatch.setattr(demo_story, "play", lambda *_: twice)
    done = kiva("demo", "--folder", tmp_path / "practice", "--loans", "20")
    assert done.code == 1
    assert "This is not what the demo should show. Please report it." in done.out


@pytest.mark.parametrize("what", ["a folder of others", "a file", "a link", "in a file", "here"])
def test_what_the_demo_did_not_make_is_left_alone(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter").write_text("dear")
    (tmp_path / "note").write_text("dear")
    (tmp_path / "link").symlink_to(mine)
    folder = {"a folder of others": "mine", "a file": "note", "a link": "link",
              "in a file": "note/demo", "here": "."}[what]  # fmt: skip
    done = kiva("demo", "--folder", folder)
    assert (done.code, done.out) == (1, "")
    assert "--folder" in done.error
    assert (mine / "letter").read_text() == (tmp_path / "note").read_text() == "dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "mine", "note"]
