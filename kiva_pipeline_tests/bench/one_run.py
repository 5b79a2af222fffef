"""One variant in this very process: CPU without imports, wall, peak memory, what its ledger holds.

Run as ``python -m kiva_pipeline_tests.bench.one_run VARIANT TASK-AS-JSON``; the last line of its
output is JSON. ``KIVA_BENCH_PROFILE=file`` keeps a cProfile of the run there.
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


def main(variant: str, task: Task) -> dict[str, float]:
    """Prepare unmeasured, run measured, count."""
    module = importlib.import_module(f"kiva_pipeline_tests.bench.{variant}")
    module.prepare(task)
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
    measured = {"cpu": cpu() - used, "wall": time.perf_counter() - began}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return measured | {"peak_mb": peak} | module.outcome(task)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Task(**json.loads(sys.argv[2])))))  # noqa: T201
