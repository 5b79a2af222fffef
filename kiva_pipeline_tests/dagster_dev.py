"""``dagster dev`` as a person starts it: web server, daemon and code location in a home of its own.

with DagsterDev(home, world.settings_file) as dev: dev.ask("{ version }")

What must not break: whatever it started is gone when the block ends, also after a failure.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx

ROOT = Path(__file__).parent.parent
_TRIES, _PAUSE_SECONDS = 600, 0.5
# A shell that starts tests in the background leaves INT and TERM ignored, which children inherit.
_START = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    " signal.signal(signal.SIGTERM, signal.SIG_DFL); from dagster._cli import main;"
    " sys.argv[0] = 'dagster'; main()"
)


def new_home(folder: Path) -> Path:
    """A home for Dagster with the project's own ``dagster.yaml``."""
    (folder / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    return folder


def until(found: Callable[[], Any], what: str) -> Any:
    """Ask for a state again and again, a bounded number of times; the first that is true."""
    for _ in range(_TRIES):
        if answer := found():
            return answer
        time.sleep(_PAUSE_SECONDS)
    raise AssertionError(f"{what}: not after {_TRIES} tries")


class DagsterDev:
    """The running thing.

    Args:
        home: From ``new_home``.
        settings_file: The partner's YAML.
    """

    def __init__(self, home: Path, settings_file: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self._log = home.parent / f"{home.name}-dev.log"
        self._command = [
            sys.executable, "-c", _START, "dev", "-m", "kiva_pipeline.definitions",
            "-p", self.url.rsplit(":", 1)[1],
        ]  # fmt: skip
        self._where = os.environ | {
            "DAGSTER_HOME": str(home),
            "KIVA_PIPELINE_SETTINGS": str(settings_file),
            "PYTHONPATH": str(ROOT),
        }
        self._folder = settings_file.parent

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=self._folder, env=self._where, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=self._log.open("w"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            until(self._loaded, f"dagster dev at {self.url}")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """What the pages ask: GraphQL over HTTP."""
        answer = httpx.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60
        ).json()
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def backfill(self, job: str, months: list[str]) -> str:
        """Launch a backfill as the job's page does; its id."""
        launched = self.ask(_LAUNCH, params={
            "selector": {
                "partitionSetName": f"{job}_partition_set",
                "repositorySelector": {
                    "repositoryName": "__repository__",
                    "repositoryLocationName": "kiva_pipeline.definitions",
                },
            },
            "partitionNames": months,
        })["launchPartitionBackfill"]  # fmt: skip
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def ended(self, backfill_id: str) -> dict[str, Any]:
        """Wait until the daemon is done with a backfill; its status and runs."""

        def look() -> dict[str, Any] | None:
            state = self.ask(_STATE, id=backfill_id)["partitionBackfillOrError"]
            return state if state["status"] not in {"REQUESTED", "CANCELING"} else None

        return dict(until(look, f"the end of backfill {backfill_id}"))

    def _loaded(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            locations = self.ask(_LOCATIONS)["workspaceOrError"]["locationEntries"]
        except httpx.HTTPError:
            return False
        entries = [entry["locationOrLoadError"] for entry in locations]
        for entry in entries:
            assert not entry or entry["__typename"] == "RepositoryLocation", entry
        return bool(entries) and all(entries)

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # its own session: only what it started
        self._process.wait()


_LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries {
    locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
_LAUNCH = """mutation ($params: LaunchBackfillParams!) {
    launchPartitionBackfill(backfillParams: $params) {
        __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_STATE = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status numPartitions
        runs(limit: 100) { id status tags { key value } } } } }"""
