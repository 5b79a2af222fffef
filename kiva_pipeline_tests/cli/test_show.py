"""Tables and texts on a narrow screen, in a file, without colours, and with what a terminal obeys."""

import json
import os
import pty
import subprocess
import sys

import pytest

from kiva_pipeline.cli.show import (
    plain,
    print_json,
    print_table,
    say,
    say_whole,
    sentence,
    tell,
    waits,
)

ROWS = [
    ("G-1042-2026-10-05", "held", "The figure is lower than the one sent before. " * 3, "1,234.00"),
    ("000001047", "blocked", "short", "5.00"),
]


def table():
    print_table(
        ["id", "decision", "why", "money"], ROWS, numbers=["money"], texts=["why"]
    )  # fmt: skip


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("narrow")
def test_on_80_columns_only_sentences_are_wrapped(capsys):
    table()
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "G-1042-2026-10-05" in out
    assert "1,234.00" in out
    assert " ".join(ROWS[0][2].split()[:4]) in " ".join(out.split())
    assert all(line == line.rstrip() for line in out.splitlines())


def test_on_a_screen_that_is_too_narrow_nothing_is_cut_off(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    table()
    out = capsys.readouterr().out
    for cell in ("G-1042-2026-10-05", "1,234.00", "blocked"):
        assert cell in out


@pytest.mark.usefixtures("narrow")
def test_an_id_that_is_wider_than_its_sentence_is_still_whole(capsys):
    print_table(
        ["id", "why"], [("G-" + "1042" * 15, "a sentence of some words " * 2)], texts=["why"]
    )
    assert "G-" + "1042" * 15 in capsys.readouterr().out


def test_in_a_file_a_row_is_a_line(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    table()
    say("word " * 200)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert ROWS[0][0] in lines[2]
    assert ROWS[0][3] in lines[2]


def test_a_table_without_rows_is_nothing(capsys):
    print_table(["id"], [])
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("narrow")
def test_wide_letters_count_twice_and_combining_ones_not_at_all(capsys):
    print_table(["name", "why"], [("香港香港", "一" * 60), ("e\u0301" * 8, "x")], texts=["why"])
    out = capsys.readouterr().out
    assert "香港香港" in out
    assert out.count("一") == 60


@pytest.mark.usefixtures("narrow")
def test_a_long_line_goes_on_below_its_own_beginning(capsys):
    say("   " + "word " * 30)
    say("  why      " + "word " * 30, hang=11)
    say("/a/path/" + "x" * 100)
    lines = capsys.readouterr().out.splitlines()
    assert [
        line for line in lines if not line.startswith(("   word", "  why  ", "           word"))
    ] == ["/a/path/" + "x" * 100]
    assert max(len(line) for line in lines[:-1]) <= 80


@pytest.mark.usefixtures("narrow")
def test_what_is_there_to_be_copied_is_one_line(capsys):
    command = "DAGSTER_HOME=/somewhere " + "x" * 120
    say_whole(command)
    assert capsys.readouterr().out == command + "\n"


@pytest.mark.parametrize("bad", ["\x1b[2J", "\x1b]0;title\x07", "\r", "\x9b31m", "\u202e", "\x00"])
def test_what_a_terminal_would_obey_is_shown_instead(bad, capsys):
    say(f"loan {bad}1")
    tell(f"note {bad}1")
    print_table(["id"], [(f"{bad}1",)])
    shown = capsys.readouterr()
    out = shown.out + shown.err
    assert not any(letter in out for letter in bad if not letter.isprintable())
    assert "\N{REPLACEMENT CHARACTER}" in out
    assert plain("two\nlines") == "two\nlines"


def test_mark_up_of_others_is_only_text(capsys):
    say("[bold red]:smile: [link=x]")
    assert capsys.readouterr().out == "[bold red]:smile: [link=x]\n"


def test_json_is_one_document_whatever_the_screen_can_show(monkeypatch):
    told = {"name": "Жанна", "nothing": None}
    for encoding in ("utf-8", "ascii"):
        done = subprocess.run(
            [sys.executable, "-c",
             "from kiva_pipeline.cli.show import print_json; print_json({'name': 'Жанна', 'nothing': None})"],
            capture_output=True, check=True, env=os.environ | {"PYTHONIOENCODING": encoding},
        )  # fmt: skip
        assert json.loads(done.stdout.decode(encoding)) == told


def test_a_screen_that_knows_no_letters_beyond_ascii_stops_no_command():
    done = subprocess.run(
        [sys.executable, "-c", "from kiva_pipeline.cli.main import main; main()", "plan", "“”"],
        capture_output=True, check=False, env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 2
    assert b"Error: " in done.stderr
    assert b"unexpected" not in done.stderr


def on_a_terminal(code, **variables):
    """What a program writes to a terminal of 80 columns."""
    main, own = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=own, stderr=own,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "80"} | variables,
    )  # fmt: skip
    os.close(own)
    seen = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(main)
    assert process.wait() == 0
    return seen.decode()


TELL = "from kiva_pipeline.cli.show import say; say('a heading', style='bold red')"


def test_a_terminal_gets_styles_and_no_color_and_pipes_get_no_colours():
    assert "\x1b[" in on_a_terminal(TELL)
    assert "31m" not in on_a_terminal(TELL, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(TELL, TERM="dumb")
    piped = subprocess.run([sys.executable, "-c", TELL], capture_output=True, check=True)
    assert piped.stdout == b"a heading\n"


def test_sentences():
    assert sentence("Enter it.", "missing") == "Enter it. (missing)"
    assert sentence("Enter it.", "") == "Enter it."
    assert [waits(n) for n in (0, 1, 1234)] == [
        "0 rows wait for a person.", "1 row waits for a person.", "1,234 rows wait for a person.",
    ]  # fmt: skip


def test_what_json_does_not_know_is_written_as_text(capsys):
    print_json({"day": __import__("datetime").date(2026, 10, 6)})
    assert json.loads(capsys.readouterr().out) == {"day": "2026-10-06"}
