"""One variant in this very process: CPU without imports, wall, peak memory, what its ledger holds.

Run as ``python -m kiva_pipeline_tests.bench.one_run VARIANT TASK-AS-JSON [prepare | run]``; the last
line of its output is JSON. ``KIVA_BENCH_PROFILE=file`` keeps a cProfile of the run there.
"""

import cProfile
import importlib
import json
import os
import resource
import sys
import time

from kiva_pipeline.process import few_collections
from kiva_pipeline_tests.bench.world import Task


def cpu() -> float:
    """Seconds of CPU of this process and of its children that ended."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def prepare(variant: str, task: Task) -> None:
    """Everything before the run."""
    importlib.import_module(f"kiva_pipeline_tests.bench.{variant}").prepare(task)


def measured(variant: str, task: Task) -> dict[str, float]:
    """The run, and what its ledger holds after it."""
    module = importlib.import_module(f"kiva_pipeline_tests.bench.{variant}")
    few_collections()  # as a run of the pipeline does; the floors have it too
    profile = os.environ.get("KIVA_BENCH_PROFILE")
    profiler = cProfile.Profile(time.process_time) if profile else None
    used, began = cpu(), time.perf_counter()
    if profiler:
        profiler.enable()
    module.run(task)
    if profiler:
        profiler.disable()
        profiler.dump_stats(str(profile))
    told = {"cpu": cpu() - used, "wall": time.perf_counter() - began}
    told["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return told | module.outcome(task)


def main(variant: str, given: str, phase: str = "both") -> None:
    """``phase``: ``prepare``, ``run``, or both in this process."""
    task = Task(**json.loads(given))
    if phase != "run":
        prepare(variant, task)
    if phase != "prepare":
        print(json.dumps(measured(variant, task)))


if __name__ == "__main__":
    main(*sys.argv[1:])
