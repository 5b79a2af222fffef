"""Each thing that can be wrong with what a command is given: one clear message, its exit code, and
nothing sent, born or lost."""

import contextlib
import os
import resource
import sqlite3
import subprocess

import pytest
import stamina
from pandera.config import config_context

from kiva_pipeline_tests.cli.terminal import PROGRAM, kiva, with_mis
from kiva_pipeline_tests.partner_api.servers import closed_port
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, demo_world

MONTH = str(RUNNING_MONTH)
LOOKING = [["status"], ["doubts"], ["worklist"], ["trace", "1"]]
SENDING = [["plan", MONTH], ["run", MONTH]]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A partner of its own, for whom nothing is ever sent here."""
    with demo_world(tmp_path_factory, loans=60) as made:
        ledger = made.folder / "ledger.sqlite"
        before = ledger.read_bytes()
        yield made
        assert made.posts() == 0
        assert ledger.read_bytes() == before


def refused(settings, code, *words, commands=SENDING):
    """Every one of the commands ends with this code and one message that has these words."""
    for command in commands:
        done = kiva(*command, "--settings", settings)
        assert (done.code, done.out) == (code, ""), (command, done.out, done.err)
        for word in words:
            assert word in done.error, command
        assert len(done.error.splitlines()) <= 3


def yaml(world, text):
    file = world.folder / "bad.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


# --- settings


def changed(old, new):
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: "a: [1,\n b", ["line 2", "not readable as YAML"]),
        (lambda _: b"\xff\xfe\x00a", ["line 1", "not UTF-8"]),
        (lambda _: "", ["expected keys and values"]),
        (lambda text: text + "\nrepayment: {}\n", ["repayment is not a key", "mean repayments?"]),
        (changed("opens: 2", "opens: two"), ["calendar.opens: expected a whole number"]),
        (changed("principal_repaid", "repaid"), ["repayments.amount", "principal_outstanding"]),
        (changed("Africa/Kigali", "Mars/Base"), ["calendar.timezone", "Africa/Kigali"]),
        (changed("for_kiva", "''"), ["journals.mark.value"]),
        (changed("environment: sandbox", "environment: production"), ["practice_today", "remove it"]),
        (changed("environment: sandbox", "environment: test"), ["environment"]),
    ],
)  # fmt: skip
def test_a_settings_file_that_is_wrong_names_the_file_the_key_and_the_fix(world, make, words):
    file = yaml(world, make(world.settings_file.read_text(encoding="utf-8")))
    refused(file, 2, "bad.yaml", *words, commands=[*LOOKING, *SENDING])


def test_outside_of_a_demo_every_command_says_where_settings_could_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in [*LOOKING, *SENDING]:
        done = kiva(*command)
        assert (done.code, done.out) == (2, "")
        assert "There is no settings file kiva-demo/partner.yaml" in done.error
        assert "kiva-pipeline demo" in done.error
    assert list(tmp_path.iterdir()) == []


def test_the_demos_settings_are_found_from_beside_its_folder(world, tmp_path, monkeypatch):
    (tmp_path / "kiva-demo").symlink_to(world.folder)
    monkeypatch.chdir(tmp_path)
    assert kiva("status").code == 0
    monkeypatch.setenv("KIVA_PIPELINE_SETTINGS", str(tmp_path / "none.yaml"))
    assert "none.yaml" in kiva("status").error


# --- months


@pytest.mark.parametrize(
    ("month", "words"),
    [
        ("2026-13", "is not a month"), ("october", "is not a month"), ("", "is not a month"),
        ("2026-10-06", "is not a month"), ("２０２６-１０", "is not a month"),
        ("2026-10..", "half a range"), ("..2026-10", "half a range"), ("..", "half a range"),
        ("2026-10..2026-09", "ends before it begins"), ("2020-01", "first month, 2025-10"),
        ("2031-01", "too far ahead"), ("2026-10..2031-01", "too far ahead"),
    ],
)  # fmt: skip
def test_a_month_that_is_none_is_said_before_anything_is_asked(world, month, words):
    refused(world.settings_file, 2, words, commands=[["plan", month], ["run", month]])


def test_commands_that_look_take_months_as_strictly(world):
    refused(
        world.settings_file, 2, "is not a month",
        commands=[["status", "nope"], ["doubts", "nope"], ["worklist", "nope"]],
    )  # fmt: skip


def test_a_plan_is_of_one_month_and_does_not_take_the_first_of_several(world):
    refused(
        world.settings_file, 2, "`plan` is about one month", "run 2026-09..2026-10 --dry-run",
        commands=[["plan", "2026-09..2026-10"]],
    )  # fmt: skip


# --- the MIS


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["no table"]),
        (b"garbage" * 1000, ["is not a demo MIS"]),
        (None, ["There is no demo MIS"]),
    ],
)
def test_an_mis_that_is_none_is_said_at_once(world, content, words):
    file = world.folder / "no-mis.sqlite"
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_bytes(content)
    refused(world.settings_with(source={"path": file.name}), 3, file.name, *words)


def test_an_mis_that_was_cut_off_is_said_at_once(world):
    whole = world.mis.read_bytes()
    (world.folder / "half.sqlite").write_bytes(whole[: len(whole) // 2])
    refused(world.settings_with(source={"path": "half.sqlite"}), 3, "half.sqlite")


@pytest.mark.parametrize("column", ["loans.currency", "clients.gender", "transactions.type"])
def test_a_column_that_the_mis_lacks_is_named(world, column):
    table, name = column.split(".")
    lacking = with_mis(
        world,
        "DROP INDEX kiva_loans_by_day",
        f"ALTER TABLE {table} RENAME COLUMN {name} TO elsewhere",
    )
    refused(lacking, 3, f"has no column {column}")


def test_a_mark_of_notes_that_the_mis_lacks_is_a_wrong_key_of_the_settings(world):
    wrong = world.settings_with(journals={"mark": {"kind": "column", "value": "for_lenders"}})
    refused(wrong, 2, "journals.mark", "for_lenders", "for_kiva")


def test_an_mis_that_another_program_holds_is_not_taken_for_an_empty_one(world):
    with contextlib.closing(sqlite3.connect(world.mis)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused(world.settings_file, 3, "can't be read now (SQLITE_BUSY)", commands=SENDING[:1])
        other.execute("ROLLBACK")
        # Only being written to is nothing to wait for: the last state that was committed is read.
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM loans")
        during = kiva(
            "plan", MONTH, "--stream", "drafts", "--json", "--settings", world.settings_file
        )
        other.execute("ROLLBACK")
    after = kiva("plan", MONTH, "--stream", "drafts", "--json", "--settings", world.settings_file)
    assert during.told == after.told


# --- Kiva's API


def client(world, sql, *values):
    with contextlib.closing(sqlite3.connect(world.sandbox)) as sandbox, sandbox:
        return sandbox.execute(sql, values).fetchall()


@pytest.fixture
def credentials(world):
    """Restores what the sandbox knows of the partner's client."""
    ((secret, scopes),) = client(world, "SELECT secret_hash, scopes FROM client")
    yield scopes
    client(world, "UPDATE client SET secret_hash = ?, scopes = ?", secret, scopes)


@pytest.mark.usefixtures("credentials")
def test_a_wrong_password_is_said_without_it(world):
    client(world, "UPDATE client SET secret_hash = 'of another one'")
    refused(world.settings_file, 4, "refuses the credentials with 401", "KIVA_CLIENT_SECRET")


@pytest.mark.parametrize("scope", ["read:loans", "create:repayment", "create:journal_update"])
def test_a_scope_that_was_not_granted_is_named(world, credentials, scope):
    client(world, "UPDATE client SET scopes = ?", credentials.replace(scope, ""))
    refused(world.settings_file, 4, f"lack the scope {scope}")


def test_a_stream_needs_its_own_scope_only(world, credentials):
    client(world, "UPDATE client SET scopes = ?", credentials.replace("create:repayment", ""))
    done = kiva("plan", MONTH, "--stream", "drafts", "--settings", world.settings_file)
    assert done.code == 10


def test_the_id_of_another_partner_is_said_before_its_ledger_is_touched(world):
    other = world.settings_with(partner={"id": "999"}, state={"folder": "of-another"})
    refused(other, 4, "belong to partner 145, the settings say 999")


def test_a_wrong_audience_is_one_of_the_things_to_check(world):
    refused(world.settings_with(api={"audience": "elsewhere"}), 4, "api.audience")


@pytest.fixture
def no_waits():
    """A GET is tried as often as ever, but without the waits in between."""
    stamina.set_testing(True, attempts=5, cap=True)
    yield
    stamina.set_testing(False)


@pytest.mark.usefixtures("no_waits")
def test_an_api_that_does_not_answer_is_tried_again_and_then_named(world):
    gone = f"http://127.0.0.1:{closed_port()}"
    unreachable = world.settings_with(api={"base_url": gone, "auth_url": f"{gone}/oauth/token"})
    refused(unreachable, 4, "Kiva does not answer: ConnectError", gone.removeprefix("http://"))
    half = world.settings_with(api={"base_url": gone})
    refused(half, 4, "Kiva does not answer: ConnectError", "GET loans")


def test_what_is_no_partner_api_is_named_with_what_it_answers(world):
    elsewhere = world.settings_with(api={"base_url": f"{world.url}/nowhere"})
    refused(elsewhere, 4, "Kiva answers 404", "the addresses under api:")


# --- the state folder and the ledger


def test_a_state_folder_that_can_not_be_made_is_said_before_anything_runs(world):
    (world.folder / "a file").touch()
    for folder in ("a file", "a file/state"):
        refused(
            world.settings_with(state={"folder": folder}), 2, "can't be made", "state.folder",
            commands=[["run", MONTH]],
        )  # fmt: skip


def test_a_damaged_ledger_stops_every_command_that_would_trust_it(world):
    folder = world.folder / "damaged"
    folder.mkdir(exist_ok=True)
    damaged = world.settings_with(state={"folder": "damaged"})
    whole = (world.folder / "ledger.sqlite").read_bytes()
    for content in (b"garbage" * 999, whole[: len(whole) // 2]):
        (folder / "ledger.sqlite").write_bytes(content)
        refused(damaged, 5, "damaged/ledger.sqlite", commands=[*LOOKING, *SENDING])
        assert (folder / "ledger.sqlite").read_bytes() == content


def test_an_empty_file_in_the_ledgers_place_knows_nothing_and_looking_does_not_fill_it(world):
    folder = world.folder / "emptied"
    folder.mkdir(exist_ok=True)
    (folder / "ledger.sqlite").touch()
    emptied = world.settings_with(state={"folder": "emptied"})
    assert "There is no ledger yet" in kiva("status", "--settings", emptied).out
    assert (folder / "ledger.sqlite").stat().st_size == 0


def test_anothers_ledger_is_never_used(world):
    other = world.settings_with(partner={"id": "999"})
    refused(other, 5, "999", "145", commands=LOOKING)


def test_a_damaged_key_is_told_what_depends_on_it(world):
    folder = world.folder / "odd-key"
    folder.mkdir(exist_ok=True)
    (folder / "field.key").write_text("x")
    odd = world.settings_with(state={"folder": "odd-key"})
    for command in SENDING:
        done = kiva(*command, "--settings", odd)
        assert done.code == 5
        assert "field.key is damaged" in done.error
        assert "changed fields of what was sent before can't be named" in done.error


def test_a_file_that_can_not_be_written_is_named_and_no_traceback_shown(world):
    (world.folder / "a file").touch()
    file = world.folder / "a file" / "worklist.csv"
    done = kiva("worklist", "--csv", file, "--settings", world.settings_file)
    assert (done.code, done.out) == (1, "")
    assert f"{file} can't be read or written (Not a directory)" in done.error


def test_a_home_of_dagsters_that_is_none_is_said(world, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(world.folder / "nowhere"))
    refused(world.settings_file, 1, "DAGSTER_HOME", commands=[["run", MONTH]])


def test_where_pandera_is_switched_off_nothing_goes(world):
    with config_context(validation_enabled=False):
        done = kiva("plan", MONTH, "--stream", "drafts", "--settings", world.settings_file)
    assert (done.code, done.out) == (2, "")
    assert "Pandera's validation is switched off" in done.error


# --- rows


def planned(world, settings, *streams):
    return kiva("plan", MONTH, *streams, "--json", "--settings", settings).told


def test_with_every_row_bad_nothing_goes_and_each_row_is_listed_with_its_reason(world):
    bad = with_mis(
        world,
        "UPDATE loans SET principal = 'a lot'",
        "UPDATE instalments SET number = 'first', interest = 'some'",
        "UPDATE notes SET body = ''",
    )
    notes = kiva("plan", OPEN_MONTH, "--stream", "journals", "--json", "--settings", bad)
    assert notes.code == 10
    assert {line["decision"] for line in notes.told["decisions"]} == {"blocked"}
    assert notes.told["sources"][0]["decided"] == notes.told["sources"][0]["rows_in"] > 0
    done = kiva("run", MONTH, "--stream", "drafts", "--dry-run", "--json", "--settings", bad)
    (run,) = done.told["runs"]
    assert done.code == 10
    assert (run["requests"], run["failures"], run["failed_checks"]) == (0, [], [])
    blocked = {line["id"] for line in run["unsent"] if line["decision"] == "blocked"}
    assert (
        sum(ln["rows"] for ln in run["decisions"] if ln["decision"] == "blocked")
        == len(blocked)
        > 0
    )
    assert all(line["sentence"] for line in run["unsent"])


def test_with_a_fifth_of_the_rows_dirty_the_others_go_out_and_the_fifth_is_listed(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=200, chance=11) as other:
        before = planned(other, other.settings_file, "--stream", "drafts")
        not_sent = {line["id"] for line in before["unsent"]}
        good = sum(ln["rows"] for ln in before["decisions"] if ln["decision"] == "planned")
        with contextlib.closing(sqlite3.connect(other.mis)) as mis, mis:
            first, last = RUNNING_MONTH.first_day, RUNNING_MONTH.last_day
            alone = mis.execute(
                "SELECT loan_id FROM loans WHERE funding_source = 'KIVA' AND group_id IS NULL"
                " AND coalesce(disbursed_on, expected_disbursal_on) BETWEEN ? AND ? ORDER BY id",
                (f"{first}", f"{last}"),
            ).fetchall()
            dirty = [loan_id for (loan_id,) in alone if loan_id not in not_sent][: good // 5]
            mis.executemany(
                "UPDATE loans SET principal = 'a lot' WHERE loan_id = ?", [(i,) for i in dirty]
            )
        assert len(dirty) == good // 5 > 3
        done = kiva("run", MONTH, "--stream", "drafts", "--json", "--settings", other.settings_file)
        (run,) = done.told["runs"]
        accepted = sum(ln["rows"] for ln in run["decisions"] if ln["decision"] == "accepted")
        assert accepted == other.facts()["drafts"] == good - len(dirty)
        told = {
            line["id"]: line for line in run["unsent"] if line["code"] == "principal_unreadable"
        }
        assert set(dirty) <= set(told)
        assert {told[i]["decision"] for i in dirty} == {"blocked"}
        assert done.code == 10


def test_a_full_disk_is_said_and_nothing_is_sent(world, tmp_path):
    # A process that may not write files of more than a few pages meets what a full disk gives.
    state = tmp_path / "state"
    full = world.settings_with("full.yaml", state={"folder": str(state)})

    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        [*PROGRAM, "run", MONTH, "--settings", str(full)],
        capture_output=True, text=True, check=False, preexec_fn=little_room,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert "disk" in done.stderr
    assert world.posts() == 0
