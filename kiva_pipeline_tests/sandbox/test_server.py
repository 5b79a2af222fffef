import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from kiva_pipeline.errors import PipelineError
from kiva_pipeline.periods import Month
from kiva_pipeline.sandbox.seed import seed
from kiva_pipeline.sandbox.server import RunningSandbox, SandboxProcess, serve
from kiva_pipeline_tests.sandbox.conftest import BASE, LOANS, Practice, with_token
from kiva_pipeline_tests.sandbox.test_drafts import individual


def seeded(path: Path) -> Path:
    seed(
        path,
        partner_id="145",
        partner_name="Example MFI",
        loans=LOANS,
        open_month=Month(2026, 10),
    )
    return path


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    path = seeded(tmp_path / "sandbox.sqlite")
    with SandboxProcess(path) as first:
        client = with_token(first.url)
        practice = Practice(first.url, path, client)
        for number in range(20):
            practice.post("/loan_draft", individual(f"A-{number}"))
        practice.report(("1042970", 77.5))
        first.kill()
    with pytest.raises(httpx.TransportError):
        client.get(f"{BASE}/loans")
    with SandboxProcess(path, port=first.port) as second:
        assert second.url == first.url
        # The token is still good: nothing of the old process was needed to know it.
        assert practice.counted("1042970") == {"2026-10": "77.5"}
        facts = practice.control("facts")
        assert (facts["drafts"], facts["posts"], facts["duplicate_effects"]) == (20, 21, [])
        assert practice.get("/loans")["total_records"] == len(LOANS)
    client.close()


def test_the_process_ends_when_it_is_told_to(tmp_path: Path) -> None:
    with SandboxProcess(seeded(tmp_path / "sandbox.sqlite")) as sandbox:
        url = sandbox.url
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_several_sandboxes_run_at_once_and_know_nothing_of_each_other(tmp_path: Path) -> None:
    one, two = (seeded(tmp_path / name / "sandbox.sqlite") for name in ("one", "two"))
    with (
        RunningSandbox(one) as first,
        RunningSandbox(two) as second,
        with_token(first.url) as client,
    ):
        assert first.url != second.url
        client.post(f"{BASE}/loan_draft", json=individual())
        drafts = [httpx.get(f"{s.url}/_sandbox/facts").json()["drafts"] for s in (first, second)]
        assert drafts == [1, 0]
        stranger = client.headers["Authorization"]
        answer = httpx.get(f"{second.url}{BASE}/loans", headers={"Authorization": stranger})
        assert answer.status_code == 401


def test_it_stops_although_a_client_keeps_its_connection(tmp_path: Path) -> None:
    path = seeded(tmp_path / "sandbox.sqlite")
    with httpx.Client() as client:
        with RunningSandbox(path) as sandbox:
            client.get(f"{sandbox.url}/_sandbox/facts")
        with pytest.raises(httpx.TransportError):
            client.get(f"{sandbox.url}/_sandbox/facts")
    with RunningSandbox(path, port=int(sandbox.url.rsplit(":", 1)[1])) as again:
        assert again.url == sandbox.url


def test_a_port_in_use_is_explained(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for start in (
            lambda: serve(tmp_path / "s.sqlite", port=port),
            lambda: RunningSandbox(tmp_path / "s.sqlite", port=port).__enter__(),
            lambda: SandboxProcess(tmp_path / "s.sqlite", port=port).__enter__(),
        ):
            with pytest.raises(PipelineError, match=f"127.0.0.1:{port}.*port 0"):
                start()


def test_a_file_that_is_no_sandbox_is_explained_and_left_alone(tmp_path: Path) -> None:
    no_store = tmp_path / "notes.txt"
    no_store.write_text("Not a database, and longer than the head of one. " * 40)
    newer = tmp_path / "newer.sqlite"
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    for path, words in ((no_store, "can't be opened"), (newer, "another version")):
        with pytest.raises(PipelineError, match=words):
            RunningSandbox(path).__enter__()
    assert no_store.read_text().startswith("Not a database")


def test_seeding_again_adds_what_is_new_and_leaves_what_happened(start) -> None:
    practice = start(loans=LOANS[:2])
    practice.report(("1042970", 3500))
    practice.control("finalize/145", "POST")
    seed(practice.path, partner_id="145", partner_name="Renamed MFI", loans=LOANS)
    loans = {loan["internal_loan_id"]: loan for loan in practice.get("/loans")["data"]}
    assert len(loans) == len(LOANS)
    assert (loans["1042970"]["status"], loans["JOD-1"]["partner"]) == ("ended", "Renamed MFI")
    practice.report(("1043223", 1))
    assert practice.counted("1043223") == {"2026-11": "1"}


def test_the_control_door_is_closed_to_other_machines(tmp_path: Path) -> None:
    address = _own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    with RunningSandbox(seeded(tmp_path / "s.sqlite"), host="0.0.0.0") as sandbox:
        port = sandbox.url.rsplit(":", 1)[1]
        from_outside = f"http://{address}:{port}"
        assert httpx.get(f"{from_outside}/_sandbox/facts").status_code == 403
        forged = httpx.get(
            f"{from_outside}/_sandbox/facts", headers={"X-Forwarded-For": "127.0.0.1"}
        )
        assert forged.status_code == 403
        assert httpx.get(f"{from_outside}{BASE}/loans").status_code == 401
        assert httpx.get(f"http://127.0.0.1:{port}/_sandbox/facts").status_code == 200


def test_the_control_door_is_closed_through_a_tunnel_on_this_machine(shared: Practice) -> None:
    through = {"X-Forwarded-For": "127.0.0.1, 203.0.113.9"}
    assert shared.client.get("/_sandbox/facts", headers=through).status_code == 403
    assert shared.client.get(f"{BASE}/loans", headers=through).status_code == 200


def _own_address() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: only asks which address would
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address


def test_serving_in_the_foreground_ends_at_an_interrupt(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = (
        "import sys; from kiva_pipeline.sandbox.server import serve, listen\n"
        "print('ready', flush=True)\n"
        f"serve(sys.argv[1], port={port})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(seeded(tmp_path / "s.sqlite"))], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as client:
            assert client.get(f"http://127.0.0.1:{port}/_sandbox/facts").status_code == 200
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) in {0, -signal.SIGTERM}
    finally:
        process.kill()
        process.stdout.close()
