"""One SQL for both engines: a whole practice partner, and the commands that read the ledger."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from kiva_pipeline.cli.main import command_line
from kiva_pipeline_tests.between import Between, between
from kiva_pipeline_tests.conftest import BOTH_ENGINES, POSTGRES
from kiva_pipeline_tests.live.ledgers import ledger_at
from kiva_pipeline_tests.live.senders import LOANS, Kiva, of_september, send
from kiva_pipeline_tests.partner_api.servers import Reply
from kiva_pipeline_tests.submission import books
from kiva_pipeline_tests.submission.sending import DRAFTS, JOURNALS, REPAYMENTS
from kiva_pipeline_tests.submission.sending import send as send_month
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, World, demo_world

STREAMS = [(DRAFTS, RUNNING_MONTH), (REPAYMENTS, OPEN_MONTH), (JOURNALS, RUNNING_MONTH)]


@dataclass
class Told:
    """What became of each row of each stream: of a first, a second and a third run."""

    way: Between
    runs: list[dict[str, Any]]
    posts: list[int]


@contextlib.contextmanager
def practised(factory: pytest.TempPathFactory, **state: str) -> Iterator[Told]:
    """A month of every stream: an answer is lost, then all is there, then nothing is new."""
    with (
        demo_world(
            factory,
            loans=60,
            state=state,
            api={"max_in_flight": 1},
            repayments={"repayments_replace": True},
        ) as world,
        between(world) as way,
    ):
        told = Told(way, [], [])
        for number in range(3):
            way.lose_answers = number == 0
            told.runs.append({})
            for kind, month in STREAMS:
                sent = send_month(way.settings, kind, month, run_id=f"run-{number}", limit=3)
                told.runs[-1][kind.value] = sent.rows[["decision", "reason_code"]].to_dict("index")
            told.posts.append(len(way.posts))
        yield told


@pytest.fixture(scope="module")
def sqlite_told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with practised(tmp_path_factory) as told:
        yield told


@pytest.fixture(scope="module")
def postgres_told(tmp_path_factory: pytest.TempPathFactory, postgres) -> Iterator[Told]:
    with (
        postgres.database() as name,
        practised(tmp_path_factory, ledger_url=postgres.address_of(name)) as told,
    ):
        yield told


@pytest.mark.live
def test_every_row_of_every_stream_is_decided_the_same(sqlite_told, postgres_told):
    for on_sqlite, on_postgres in zip(sqlite_told.runs, postgres_told.runs, strict=True):
        assert on_sqlite == on_postgres
    assert sqlite_told.posts == postgres_told.posts
    decisions = {row["decision"] for kind in sqlite_told.runs[0].values() for row in kind.values()}
    assert {"uncertain", "blocked", "deferred"} <= decisions


@pytest.mark.live
@pytest.mark.parametrize(
    "command",
    [["status"], ["status", "2026-09"], ["doubts"], ["worklist"], ["worklist", "2026-10"]],
    ids=" ".join,
)
def test_the_commands_tell_the_same(sqlite_told, postgres_told, command, capsys):
    assert told_by(command, sqlite_told.way.world, capsys) == told_by(
        command, postgres_told.way.world, capsys
    )


@pytest.mark.live
def test_the_story_of_a_loan_is_the_same(sqlite_told, postgres_told, capsys):
    for kind in (kind.value for kind, _ in STREAMS):
        for decision in ("accepted", "uncertain", "blocked", "unchanged"):
            last = sqlite_told.runs[-1][kind]
            ids = [i for i, row in last.items() if row["decision"] == decision][:2]
            for loan in ids:
                command = ["trace", loan.partition("/")[0]]
                assert told_by(command, sqlite_told.way.world, capsys) == told_by(
                    command, postgres_told.way.world, capsys
                )


@pytest.mark.live
def test_the_acts_of_a_person_do_the_same(sqlite_told, postgres_told, capsys):
    """Last, since they change what the tests above look at."""
    signed = ["--by", "Ada", "--why", "looked in PA2"]
    told: dict[str, list[object]] = {}
    for engine, world in (("sqlite", sqlite_told.way.world), ("postgres", postgres_told.way.world)):

        def types(*command: str, world: World = world) -> Any:
            return told_by(list(command), world, capsys)

        held = types("held", "2026-09")
        assert held["rows"]
        told[engine] = [
            held,
            types("approve", "--month", "2026-09", "--table", held["table"], *signed),
            types("held", "2026-09"),
            *(types("resolve", row["id"], "--not-there", "--yes", *signed) for row in doubts_of(types)[:1]),
            *(types("resolve", row["id"], "--arrived", *signed) for row in doubts_of(types)[:1]),
            types("doubts"),
            types("pause", *signed), types("status"), types("resume", *signed),
            types("extend", "2026-09", "--until", "2026-10-20", *signed),
            types("close", "2026-09", *signed),
            types("close", "2026-09", "--undo", *signed),
            types("status"), types("worklist"),
        ]  # fmt: skip
    assert told["sqlite"] == told["postgres"]


def doubts_of(types: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next(iter(types("doubts").values()))
    return found


def told_by(command: list[str], world: World, capsys: pytest.CaptureFixture[str]) -> Any:
    """A command's JSON, without what differs from one run to the next."""
    code = command_line([*command, "--json", "--settings", str(world.settings_file)])
    out, err = capsys.readouterr()
    assert code in {0, 10}, (command, err)
    out = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "an instant", out)
    out = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "a number", out)
    return json.loads(out)


@pytest.mark.parametrize("engine", BOTH_ENGINES)
def test_what_no_database_can_hold_does_not_stop_a_run(engine, tmp_path, request):
    """A NUL in Kiva's answer, and letters of every plane."""
    with contextlib.ExitStack() as stack:
        url = f"sqlite+pysqlite:///{tmp_path / 'ledger.sqlite'}"
        if engine == POSTGRES:
            postgres = request.getfixturevalue("postgres")
            url = postgres.address_of(stack.enter_context(postgres.database()))
        kiva = stack.enter_context(Kiva())
        book = stack.enter_context(ledger_at(url))
        kiva.answer = lambda asked: (
            Reply({"total_records": 0, "data": []})
            if asked.method == "GET"
            else Reply({"upload_id": "a\0b", "problems": [
                {"loan_id": LOANS[0], "code": "c\0d", "details": "e\0f 😀 אי", "severity": "error"},
            ]})
        )  # fmt: skip
        rows = [books.report_row(loan, client_id=f"𝒞-😀-{loan}") for loan in LOANS[:2]]
        result = send(book, kiva.url, tmp_path, rows=rows)
        assert books.decided(result) == {LOANS[0]: "rejected", LOANS[1]: "accepted"}
        kept = of_september(book)
        assert {row["remote_ref"] for row in kept} == {"a\N{REPLACEMENT CHARACTER}b"}
        assert kept[0]["client_id"] == f"𝒞-😀-{LOANS[0]}"
