"""Runs variants in fresh processes, in interleaved rounds, and counts that all did the same work."""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kiva_pipeline_tests.bench.world import NoopServer, Task, own_folder

_ONE_RUN = [sys.executable, "-m", "kiva_pipeline_tests.bench.one_run"]


@dataclass(frozen=True)
class Work:
    """What every variant must have done, or the measurement is void.

    Attributes:
        accepted: Rows that its ledger says that Kiva has.
        rows: Rows in the bodies that the server received.
        posts: Requests that carried them.
        listed: Loans that ``GET /loans`` lists meanwhile.
    """

    accepted: int
    rows: int
    posts: int
    listed: int = 0


class NotTheSameWorkError(Exception):
    """A variant did less or more than it should: nothing about its speed can be said."""


def rounds(
    variants: Sequence[str],
    task: Task,
    server: NoopServer,
    work: Work,
    *,
    times: int,
    latency: float = 0.0,
) -> dict[str, dict[str, float]]:
    """The median of each number of each variant.

    Args:
        variants: Modules of this package.
        task: Its ``folder`` is the base: each run has a folder of its own in it.
        server: Counts.
        work: What each must have done in its measured part.
        times: Rounds; each runs every variant once.
        latency: Of the server's answers, in seconds.

    Raises:
        NotTheSameWorkError: A variant did other work.
    """
    found: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    for _ in range(times):
        for variant in variants:
            with own_folder(Path(task.folder), variant) as folder:
                found[variant].append(
                    _once(variant, replace(task, folder=str(folder)), server, work, latency)
                )
    return {
        variant: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for variant, runs in found.items()
    }


def _once(
    variant: str, task: Task, server: NoopServer, work: Work, latency: float
) -> dict[str, float]:
    server.reset(loans=work.listed)
    _process(variant, task, "prepare")
    server.reset(latency=latency, loans=work.listed)
    told: dict[str, float] = json.loads(_process(variant, task, "run").splitlines()[-1])
    counts = server.counts()
    posts = counts.get("POST repayments", 0) + counts.get("POST loan_draft", 0)
    did = replace(work, accepted=int(told["accepted"]), rows=int(counts.get("rows", 0)),
                  posts=int(posts))  # fmt: skip
    if did != work:
        raise NotTheSameWorkError(f"{variant} did {did}, and should have done {work}")
    return told | {"posts": posts, "span": counts["span"]}


def _process(variant: str, task: Task, phase: str) -> str:
    return subprocess.run(
        [*_ONE_RUN, variant, task.as_json(), phase], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
