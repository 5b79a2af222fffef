"""Backup and restore on both engines: while a sender is at work, whole or refused, and not trusted
until it is adopted again."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from kiva_pipeline.errors import NotAllowedNowError
from kiva_pipeline.submission.witness import trust
from kiva_pipeline_tests.live.ledgers import ledger_at, process
from kiva_pipeline_tests.live.partners import Partner
from kiva_pipeline_tests.live.senders import LOANS, ROWS, Kiva, know_august, send, states
from kiva_pipeline_tests.live.test_ledger_opening import file_of, refusal
from kiva_pipeline_tests.live.test_sender_lock import ON_SQLITE
from kiva_pipeline_tests.submission import books

PAGE = (Path(__file__).parents[2] / "docs" / "operate-ledger.md").read_text(encoding="utf-8")


def on_the_page(what: str) -> str:
    """The commands of the page “Operate the ledger” under a mark."""
    found = re.search(rf"<!-- {what} -->\n```bash\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def typed(commands, ledger_url, file, request):
    """Type commands at a terminal, word for word."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "KIVA_PIPELINE_SETTINGS": str(Partner(file.parent, ledger_url).file),
        "BACKUP": str(file),
    }
    if ledger_url.startswith("sqlite"):
        environment["STATE"] = str(file_of(ledger_url).parent)
    else:
        server = request.getfixturevalue("postgres")
        server.program("pg_dump")
        at = server.address
        environment |= {
            "DATABASE": database(ledger_url), "PGHOST": at.host or "", "PGPORT": str(at.port),
            "PGUSER": at.username or "", "PGPASSWORD": at.password or "",
        }  # fmt: skip
    subprocess.run(
        ["bash", "-euc", commands], check=True, env=environment, cwd=file.parent,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def engine_of(ledger_url):
    return "sqlite" if ledger_url.startswith("sqlite") else "postgres"


def back_up(ledger_url, file, request):
    typed(on_the_page(f"backup {engine_of(ledger_url)}"), ledger_url, file, request)


def restore(file, ledger_url, request):
    typed(on_the_page(f"restore {engine_of(ledger_url)}"), ledger_url, file, request)


def restore_badly(file, ledger_url, request, options):
    """Without the option by which all of it is restored, or nothing."""
    commands = on_the_page("restore postgres").replace("kiva-pipeline status", "")
    assert "--single-transaction" in commands
    commands = commands.replace("--single-transaction", options)
    typed(commands, ledger_url, file, request)


def database(ledger_url):
    return make_url(ledger_url).database


def test_a_backup_that_was_made_while_a_sender_was_at_work_is_whole_and_is_restored(
    ledger_url, tmp_path, request
):
    file = tmp_path / "backup"
    with Kiva(wait_at=2) as kiva:
        with process("senders", ledger_url, kiva.url, tmp_path, "run-1") as running:
            assert kiva.arrived.wait(60)
            back_up(ledger_url, file, request)
            kiva.go_on.set()
            assert running.wait(60) == 0
        with ledger_at(ledger_url) as book:
            assert set(states(book).values()) == {"accepted"}
            number = book.card().ledger_id

        restore(file, ledger_url, request)
        with ledger_at(ledger_url) as book:
            assert book.card().ledger_id == number
            # As it was in the middle of the second request, and a sender can take it from there.
            assert Counter(states(book).values()) == {"accepted": 2, "in_flight": 2}
            assert len(books.attempts(book)) == 2
            assert send(book, kiva.url, tmp_path, run_id="run-2").recovered == 2


def test_a_restored_ledger_sends_nothing_until_it_is_adopted_again(ledger_url, tmp_path, request):
    state = {"folder": str(tmp_path / "state")}
    with Kiva() as kiva:
        with ledger_at(ledger_url) as book:
            know_august(book, ROWS)
            books.mark(book, adopted_at="2026-09-01T00:00:00.000000Z", go_live_on="2026-09-01")
            trust(book, tmp_path / "state")  # as `adopt` does
            back_up(ledger_url, tmp_path / "backup", request)
            send(book, kiva.url, tmp_path, state=state)
        posts = len(kiva.posts)
        assert posts > 0
        restore(tmp_path / "backup", ledger_url, request)
        with ledger_at(ledger_url) as book, pytest.raises(NotAllowedNowError) as refused:
            send(book, kiva.url, tmp_path, state=state)
        assert "not trusted" in refused.value.message
        assert "kiva-pipeline adopt" in refused.value.fix
        assert len(kiva.posts) == posts


@pytest.mark.live
@pytest.mark.parametrize("left_out", ["all but the tables", "the rows of one table", "the indexes"])
@pytest.mark.parametrize(
    "ledger_url", [pytest.param("postgres", marks=pytest.mark.live)], indirect=True
)
def test_a_restore_that_broke_off_is_refused(ledger_url, tmp_path, request, left_out):
    with Kiva() as kiva, ledger_at(ledger_url) as book:
        send(book, kiva.url, tmp_path)
    file = tmp_path / "backup"
    back_up(ledger_url, file, request)
    if left_out == "all but the tables":
        restore_badly(file, ledger_url, request, "--section=pre-data")
    elif left_out == "the indexes":
        restore_badly(file, ledger_url, request, "--section=pre-data --section=data")
    else:  # as when rows can't be read: the rest goes on, but a reference to them can't be made
        typed('pg_restore --list "$BACKUP" | grep -v "TABLE DATA public attempt" >"$BACKUP.list"',
              ledger_url, file, request)  # fmt: skip
        with pytest.raises(subprocess.CalledProcessError):
            restore_badly(file, ledger_url, request, '--use-list="$BACKUP.list"')
    told = refusal(ledger_url)
    assert "half-restored backup" in told
    assert "never start with an empty ledger" in told


@ON_SQLITE
def test_a_backup_takes_no_other_files_place_and_leaves_nothing_half_made(ledger_url, tmp_path):
    with ledger_at(ledger_url):
        pass
    partner = Partner(tmp_path, ledger_url)
    (tmp_path / "backups").mkdir()
    file = tmp_path / "backups" / "ledger.sqlite"
    file.write_text("the only good one")
    assert partner.types("backup", file) == 5
    assert file.read_text() == "the only good one"
    file.unlink()
    assert partner.types("backup", file) == 0
    assert [p.name for p in file.parent.iterdir()] == ["ledger.sqlite"]
    assert file.stat().st_mode & 0o777 == 0o600


@ON_SQLITE
def test_a_damaged_ledger_makes_no_backup(ledger_url, tmp_path, capsys):
    with Kiva() as kiva, ledger_at(ledger_url) as book:
        send(book, kiva.url, tmp_path)
    content = bytearray(file_of(ledger_url).read_bytes())
    with sqlite3.connect(file_of(ledger_url)) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'submission_by_attempt'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    content[(page - 1) * size : page * size] = b"\x55" * size
    file_of(ledger_url).write_bytes(content)
    partner = Partner(tmp_path, ledger_url)
    assert partner.types("backup", tmp_path / "backup") == 5
    assert "restore the last backup" in capsys.readouterr().err
    assert not (tmp_path / "backup").exists()


def test_the_command_says_what_it_copied(ledger_url, tmp_path, capsys):
    partner = Partner(tmp_path, ledger_url)
    assert partner.types("backup", tmp_path / "backup") == 5
    assert "nothing to back up" in capsys.readouterr().err
    with Kiva() as kiva, ledger_at(ledger_url) as book:
        send(book, kiva.url, tmp_path)
    code = partner.types("backup", tmp_path / "backup", "--json")
    out, err = capsys.readouterr()
    if ledger_url.startswith("sqlite"):
        assert code == 0
        assert json.loads(out)["rows"]["submission"] == 2 * len(LOANS)
    else:
        assert code == 5
        assert "pg_dump" in err
