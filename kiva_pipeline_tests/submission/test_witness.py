"""A ledger that was lost, restored, copied or exchanged sends nothing until it is adopted."""

import json
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiva_pipeline.errors import NotAllowedNowError
from kiva_pipeline.sandbox.practice import pa2_folder
from kiva_pipeline.submission.acts import Person, pause, resume
from kiva_pipeline.submission.witness import WITNESS_FILE, refuse_untrusted
from kiva_pipeline_tests.submission.sending import DRAFTS, JOURNALS, REPAYMENTS, open_ledger, send
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, World, demo_world


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with demo_world(tmp_path_factory, loans=40) as world:
        yield world


def ledger_file(world: World) -> Path:
    return world.settings.state.folder / "ledger.sqlite"


def witness_file(world: World) -> Path:
    return world.settings.state.folder / WITNESS_FILE


def copied(source: Path, target: Path) -> None:
    """A whole copy of an SQLite ledger, as a backup makes it."""
    with sqlite3.connect(source) as one, sqlite3.connect(target) as other:
        one.backup(other)


def restored(backup: Path, world: World, *, in_place: bool) -> None:
    """Put a backup in the ledger's place: into the same file, or as another one."""
    if in_place:
        copied(backup, ledger_file(world))
        return
    for left in ledger_file(world).parent.glob("ledger.sqlite*"):
        if left.suffix != ".lock":
            left.unlink()
    shutil.copyfile(backup, ledger_file(world))


def refused(world: World, kind=DRAFTS, month=RUNNING_MONTH) -> str:
    """The whole refusal; nothing was written into the ledger and nothing was posted."""
    posts, ledger = world.posts(), open_ledger(world.settings)
    before = _events(world)
    ledger.close()
    with pytest.raises(NotAllowedNowError) as told:
        send(world.settings, kind, month)
    assert world.posts() == posts
    assert _events(world) == before
    return str(told.value)


def _events(world: World) -> list[tuple]:
    with sqlite3.connect(ledger_file(world)) as ledger:
        return ledger.execute("SELECT * FROM event ORDER BY id").fetchall()


def adopt_again(world: World) -> None:
    """As a person does it: with the drafts that wait in PA2 today."""
    from kiva_pipeline.practice_adoption import adopt_practice

    adopt_practice(world.settings, world.sandbox, pa2_folder(world.folder))


def test_an_honest_ledger_sends_run_after_run(world):
    first = send(world.settings, DRAFTS, RUNNING_MONTH, limit=1)
    again = send(world.settings, DRAFTS, RUNNING_MONTH)
    assert len(first.ids("accepted")) == 1
    assert len(again.ids("accepted")) > 0
    assert stat.S_IMODE(witness_file(world).stat().st_mode) == 0o600


def test_a_crash_after_the_ledger_was_written_leaves_it_trusted(world):
    before = witness_file(world).read_bytes()
    send(world.settings, DRAFTS, RUNNING_MONTH, limit=1)
    assert witness_file(world).read_bytes() != before
    witness_file(world).write_bytes(before)  # the run died before it could write its own
    assert send(world.settings, DRAFTS, RUNNING_MONTH).ids("accepted")


@pytest.mark.parametrize(
    ("kind", "month", "in_place"),
    [
        (DRAFTS, RUNNING_MONTH, True),
        (DRAFTS, RUNNING_MONTH, False),
        (REPAYMENTS, OPEN_MONTH, True),
        (JOURNALS, OPEN_MONTH, True),
    ],
)
def test_a_restored_backup_sends_nothing(world, tmp_path, kind, month, in_place):
    copied(ledger_file(world), tmp_path / "backup")
    send(world.settings, DRAFTS, RUNNING_MONTH)
    restored(tmp_path / "backup", world, in_place=in_place)
    told = refused(world, kind, month)
    assert "restored from a backup" in told
    assert "`kiva-pipeline adopt --drafts FILE`" in told


def test_a_restored_backup_that_is_adopted_with_the_waiting_drafts_sends_none_twice(
    world, tmp_path
):
    copied(ledger_file(world), tmp_path / "backup")
    sent = send(world.settings, DRAFTS, RUNNING_MONTH, limit=1).ids("accepted")
    restored(tmp_path / "backup", world, in_place=False)
    adopt_again(world)
    after = send(world.settings, DRAFTS, RUNNING_MONTH)
    assert {after.rows.loc[draft, "decision"] for draft in sent} == {"already_at_kiva"}
    assert after.ids("accepted"), after.rows["reason_code"].value_counts().to_dict()
    assert world.facts()["duplicate_effects"] == []


def test_acts_of_a_person_on_a_restored_backup_do_not_make_it_trusted(world, tmp_path):
    copied(ledger_file(world), tmp_path / "backup")
    send(world.settings, DRAFTS, RUNNING_MONTH, limit=1)
    forgotten = len(_events(world))
    restored(tmp_path / "backup", world, in_place=True)
    ledger, ada = open_ledger(world.settings), Person("Ada", "looking")
    while len(_events(world)) <= forgotten:
        pause(ledger, world.settings, ada)
        resume(ledger, world.settings, ada)
    ledger.close()
    assert "restored from a backup" in refused(world)


def test_a_copy_in_another_folder_sends_nothing_also_with_its_witness(world):
    send(world.settings, DRAFTS, RUNNING_MONTH, limit=1)
    copy = world.folder / "copy"
    copy.mkdir()
    copied(ledger_file(world), copy / "ledger.sqlite")
    state = world.settings.state.model_copy(update={"folder": copy})
    theirs = world.settings.model_copy(update={"state": state})
    for witness in (False, True):
        if witness:
            shutil.copy(witness_file(world), copy / WITNESS_FILE)
        posts = world.posts()
        with pytest.raises(NotAllowedNowError, match="not trusted"):
            send(theirs, DRAFTS, RUNNING_MONTH)
        assert world.posts() == posts
    assert send(world.settings, DRAFTS, RUNNING_MONTH).ids("accepted")  # the original is as it was


def test_a_ledger_without_its_witness_was_moved_and_sends_nothing(world):
    witness_file(world).unlink()
    assert f"there is no {WITNESS_FILE}" in refused(world)
    adopt_again(world)
    assert send(world.settings, DRAFTS, RUNNING_MONTH).ids("accepted")


@pytest.mark.parametrize("content", ["", "{}", '{"ledger_id": 1}', "[]", "\x00"])
def test_a_witness_that_says_nothing_is_no_witness(world, content):
    witness_file(world).write_text(content)
    assert "can't be read" in refused(world)


def test_a_witness_that_was_changed_by_hand_is_no_witness(world):
    told = json.loads(witness_file(world).read_bytes())
    witness_file(world).write_text(json.dumps(told | {"events": "1"}))
    assert "changed by hand" in refused(world)
    witness_file(world).write_text(json.dumps(told | {"newest_event": "0" * 64}))
    assert "restored from a backup" in refused(world)


def test_a_lost_ledger_is_not_replaced_by_an_empty_one(world):
    """Also in the sandbox, where an empty ledger may send as long as there was never another."""
    send(world.settings, DRAFTS, RUNNING_MONTH, limit=1)
    for file in ledger_file(world).parent.glob("ledger.sqlite*"):
        file.unlink()
    told = refused(world)
    assert "that of another ledger" in told
    adopt_again(world)
    send(world.settings, DRAFTS, RUNNING_MONTH)
    assert world.facts()["duplicate_effects"] == []


def test_a_ledger_that_nobody_adopted_has_no_witness(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=40, adopted=False) as world:
        assert send(world.settings, DRAFTS, RUNNING_MONTH, limit=1).ids("accepted")
        assert not witness_file(world).exists()
        ledger = open_ledger(world.settings)
        refuse_untrusted(ledger, world.settings.state.folder)
        ledger.close()


def test_a_dry_run_says_why_a_run_would_be_refused(world):
    witness_file(world).unlink()
    planned = send(world.settings, DRAFTS, RUNNING_MONTH, dry_run=True)
    (told,) = planned.result.objections
    assert "not trusted" in told
    assert planned.ids("planned")
