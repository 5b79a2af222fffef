"""What a stranger sees first: help with examples, the version, and answers at once."""

import re
import subprocess
import sys

import pytest

from kiva_pipeline.cli.main import app
from kiva_pipeline_tests.cli.terminal import kiva

COMMANDS = sorted(
    command.name or command.callback.__name__.replace("_", "-")
    for command in app.registered_commands
)
HEAVY = {"dagster", "pandas", "pandera", "pyarrow", "numpy"}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_explains_itself_with_examples_on_lines_of_their_own(command, option):
    done = kiva(command, option)
    assert (done.code, done.err) == (0, "")
    assert "\\b" not in done.out
    examples = re.findall(rf"^  kiva-pipeline {command}\b.*$", done.out, re.MULTILINE)
    assert examples, done.out
    assert "--json" in done.out
    prose = [line for line in done.out.splitlines() if not line.startswith("  kiva-pipeline ")]
    assert max(map(len, prose)) <= 80


def test_the_examples_of_the_help_name_only_options_that_there_are():
    for command in COMMANDS:
        text = kiva(command, "--help").out
        for example in re.findall(rf"^  kiva-pipeline {command}\b.*$", text, re.MULTILINE):
            options = text.split("Options:")[1]
            for option in re.findall(r"--[a-z-]+", example):
                assert re.search(rf"{option}\b", options), (command, option)


def test_the_programs_own_help_lists_each_command_and_each_exit_code_on_a_line_to_itself():
    text = kiva("--help").out
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\S", text, re.MULTILINE)
    for code in (0, 10, 1, 2, 3, 4, 5, 6, 7, 130):
        assert re.search(rf"(^|\s){code} +\S", text)
    assert re.search(r"^    10 +done, but rows wait", text, re.MULTILINE)
    assert "..." not in text.split("Commands:")[1]


def test_without_a_command_there_is_help_and_with_an_unknown_one_a_hint():
    nothing, unknown = kiva(), kiva("sendd")
    assert (nothing.code, unknown.code) == (2, 2)
    assert "Commands:" in nothing.out + nothing.err
    assert "No such command 'sendd'" in unknown.error


def test_the_version_needs_no_command():
    done = kiva("--version")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", done.out)


def test_an_option_that_there_is_not_or_a_number_that_is_none_is_said_in_one_sentence():
    for arguments in (
        ["run"], ["run", "2026-10", "--limit", "-1"], ["run", "2026-10", "--limit", "two"],
        ["run", "2026-10", "--stream", "loans"], ["status", "--nope"], ["demo", "--loans", "0"],
        ["sandbox", "--port", "99999"],
    ):  # fmt: skip
        done = kiva(*arguments)
        assert (done.code, done.out) == (2, "")
        assert done.error


LOOK = """
import sys
from kiva_pipeline.cli.main import command_line
codes = [command_line(line.split("\\t")) for line in sys.stdin.read().split("\\n")]
print(codes, sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[1:])))
"""


def looked_with(*commands):
    """Exit codes and heavy modules of commands in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *HEAVY],
        input="\n".join("\t".join(map(str, command)) for command in commands),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def test_help_is_light():
    helps = [[command, "--help"] for command in COMMANDS]
    assert looked_with(["--help"], *helps) == f"{[0] * (len(COMMANDS) + 1)} []"


@pytest.mark.parametrize("command", ["status", "trace", "doubts", "worklist"])
def test_commands_that_only_look_into_the_ledger_are_light(ran, command):
    loan = [ran.first.told["runs"][0]["unsent"][0]["id"]] if command == "trace" else []
    asked = [command, *loan, "--settings", ran.world.settings_file]
    assert looked_with(asked, [*asked, "--json"]) == "[0, 0] []"


def test_that_lightness_can_be_seen_to_be_lost(world):
    assert "pandas" in looked_with(["plan", "2026-10", "--settings", world.settings_file])
