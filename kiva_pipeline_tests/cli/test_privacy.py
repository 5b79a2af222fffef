"""Nobody's name, text, photo or secret is in what a command prints, or in what it leaves behind
beside the frames: looked for by words that stand nowhere else."""

import base64
import contextlib
import secrets
import sqlite3
from pathlib import Path

import pytest

from kiva_pipeline.frames import StoredFrame
from kiva_pipeline.sandbox import tokens
from kiva_pipeline_tests.cli.conftest import MONTHS
from kiva_pipeline_tests.cli.terminal import Done, kiva, start
from kiva_pipeline_tests.worlds import demo_world

WORDS = {
    "a first name": "Zzqfirst", "a last name": "Zzqlast", "a name at Kiva": "Zzqkiva",
    "a group's name": "Zzqgroup", "a description": "Zzqdescription", "a loan's use": "Zzquse",
    "a note": "Zzqnote", "a token": "Zzqtoken", "a secret": "Zzqsecret",
    "a field key": "Zzqfieldkey",
}  # fmt: skip
FRAMES = "frames"


def planted(mis: Path, sandbox: Path) -> None:
    """Write the words wherever people are named, in the MIS and at Kiva."""
    with contextlib.closing(sqlite3.connect(mis)) as db, db:
        for change in (
            "UPDATE clients SET first_name = 'Zzqfirst', last_name = 'Zzqlast'",
            "UPDATE groups SET name = 'Zzqgroup'",
            "UPDATE loans SET description = 'Zzqdescription ' || description",
            "UPDATE loans SET loan_use = 'Zzquse ' || loan_use",
            "UPDATE notes SET subject = 'Zzqnote ' || subject, body = 'Zzqnote ' || body",
        ):
            db.execute(change)
    with contextlib.closing(sqlite3.connect(sandbox)) as db, db:
        db.execute("UPDATE loan SET name = 'Zzqkiva'")


def a_photo(mis: Path) -> bytes:
    with contextlib.closing(sqlite3.connect(mis)) as db:
        ((image,),) = db.execute(
            "SELECT image FROM photos WHERE length(image) > 500 ORDER BY photo_id LIMIT 1"
        ).fetchall()
    return bytes(image)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Every command that sends or looks, for people and for scripts, also where it fails."""
    monkeypatch = pytest.MonkeyPatch()
    fresh = secrets.token_urlsafe
    monkeypatch.setattr(tokens.secrets, "token_urlsafe", lambda size: f"Zzqtoken{fresh(size)}")
    for name in ("KIVA_CLIENT_ID", "KIVA_CLIENT_SECRET"):
        monkeypatch.setenv(name, "Zzqsecret")
    monkeypatch.setenv("KIVA_PIPELINE_FIELD_KEY", "Zzqfieldkey")
    with demo_world(tmp_path_factory, loans=100, state={"folder": "state"}) as world:
        planted(world.mis, world.sandbox)
        given = ("--settings", world.settings_file)
        both = "..".join(MONTHS)
        asked = [
            ("plan", MONTHS[1], "--all"), ("run", both, "--all"), ("plan", MONTHS[0], "--json"),
            ("status",), ("status", "--json"), ("doubts",), ("worklist",), ("worklist", "--json"),
            ("worklist", "--csv", world.settings.state.folder / "own.csv"), ("plan", "nope"),
        ]  # fmt: skip
        done = {words: kiva(*words, *given) for words in asked}
        loans = {line["state"]: line["id"] for line in done["worklist", "--json"].told["worklist"]}
        assert {"accepted", "blocked", "held"} <= set(loans)
        for loan_id in loans.values():
            for form in ((), ("--json",)):
                done["trace", loan_id, *form] = kiva("trace", loan_id, *given, *form)
        debugged = start("--debug", "run", MONTHS[1], "--verbose", "--stream", "drafts", "--json",
                         *given)  # fmt: skip
        out, err = debugged.communicate()
        done["debug",] = Done(debugged.returncode, out, err)
        yield world, done
    monkeypatch.undo()


def test_the_words_are_where_they_belong_so_that_they_can_be_missed_elsewhere(everything):
    world, done = everything
    folder = world.settings.frames_folder
    loans = StoredFrame(folder / "mis_loans" / f"{MONTHS[1]}.parquet").read()
    assert set(loans["first_name"]) - {""} == {"Zzqfirst"}
    assert loans["description"].str.startswith("Zzqdescription").any()
    notes = StoredFrame(folder / "mis_notes" / f"{MONTHS[0]}.parquet").read()
    assert notes["subject"].str.contains("Zzqnote").any()
    with contextlib.closing(sqlite3.connect(world.sandbox)) as db:
        sent = " ".join(body for (body,) in db.execute("SELECT body FROM draft"))
    assert "Zzqfirst" in sent
    assert "Zzquse" in sent
    assert a_photo(world.mis)[:3] in {b"\xff\xd8\xff", b"\x89PN", b"GIF"}
    assert {command.code for command in done.values()} <= {0, 2, 10}


def test_no_command_prints_a_person_or_a_secret(everything):
    _, done = everything
    for words, command in done.items():
        for what, word in WORDS.items():
            assert word.lower() not in (command.out + command.err).lower(), (words, what)


def test_nothing_beside_the_frames_keeps_a_person_or_a_secret(everything):
    world, _ = everything
    photo = a_photo(world.mis)
    forms = {what: word.encode() for what, word in WORDS.items()} | {
        "a photo": photo[60:120], "a photo as text": base64.b64encode(photo)[60:120],
    }  # fmt: skip
    state = world.settings.state.folder
    files = [
        f for f in state.rglob("*") if f.is_file() and FRAMES not in f.relative_to(state).parts
    ]
    assert {"ledger.sqlite", "own.csv"} <= {file.name for file in files}
    assert any("dagster" in file.relative_to(state).parts for file in files)
    for file in files:
        content = file.read_bytes().lower()
        for what, word in forms.items():
            assert word.lower() not in content, (file.relative_to(state), what)


def test_what_is_personal_or_money_is_its_owners_only(everything):
    world, _ = everything
    state = world.settings.state.folder
    assert state.stat().st_mode & 0o777 == 0o700
    for name in (FRAMES, "worklist", "reconciliation", "dagster", "plans"):
        assert (state / name).stat().st_mode & 0o077 == 0, name
    for file in [*state.glob("ledger*"), *(state / FRAMES).rglob("*.parquet"), state / "own.csv"]:
        assert file.stat().st_mode & 0o077 == 0, file
