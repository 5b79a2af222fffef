"""Prints what the pipeline costs, as ratios to floors that were measured in the same run.

    python -m kiva_pipeline_tests.bench              about ten minutes on two idle cores
    python -m kiva_pipeline_tests.bench --quick      a tenth of the rows, one round: a look only
    python -m kiva_pipeline_tests.bench --memory     peaks at 100,000 and 1,000,000 rows

The bars are printed beside the ratios and decide nothing: the exit code says that all variants did
the same work.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from kiva_pipeline_tests.bench import mis_world, world
from kiva_pipeline_tests.bench.measure import Work, rounds
from kiva_pipeline_tests.bench.world import NoopServer, Task

_LIBRARIES = "import dagster, pandas, pandera.pandas, httpx, sqlalchemy"
_OURS = "import kiva_pipeline.definitions as d; d.definitions"
_LATENCY, _AT_ONCE = 0.2, 8


@dataclass(frozen=True)
class Line:
    """One ratio, its bar, and the numbers that it comes from."""

    what: str
    ratio: float
    bar: float
    from_what: str

    @property
    def kept(self) -> bool:
        """Whether the bar is kept."""
        return self.ratio <= self.bar


@dataclass(frozen=True)
class Bench:
    """Where it runs, and how large.

    Attributes:
        folder: Everything is in it; gone afterwards.
        server: The no-op Partner API.
        rows: Of a report.
        drafts: With photos.
        times: Rounds.
    """

    folder: Path
    server: NoopServer
    rows: int
    drafts: int
    times: int

    def report(self) -> Iterator[Line]:
        """A month's report: balances → report → requests → ledger."""
        task = self._report_task(self.rows)
        calls = -(-self.rows // task.batch)
        work = Work(self.rows, self.rows, calls, self.rows)
        variants = ["report_floor", "report_floor_rules", "report_plain", "report_ours"]
        found = rounds(variants, task, self.server, work, times=self.times)
        ours, what = found["report_ours"]["cpu"], f"{self.rows:,} figures, CPU"
        for name, variant, bar in (
            ("F", "report_floor", 4.0),
            ("FF", "report_floor_rules", 2.5),
            ("plain script", "report_plain", 0.1),
        ):
            other = found[variant]["cpu"]
            yield Line(f"{what} against {name}", ours / other, bar, f"{ours:.2f} s, {other:.2f} s")

    def again(self) -> Iterator[Line]:
        """The same month once more: nothing is sent."""
        task, work = self._report_task(self.rows), Work(self.rows, 0, 0, self.rows)
        found = rounds(
            ["report_reading", "report_again"], task, self.server, work, times=self.times
        )
        ours, other = found["report_again"]["cpu"], found["report_reading"]["cpu"]
        yield Line("re-run, 0 POSTs, CPU against reading", ours / other, 4.0,
                   f"{ours:.2f} s, {other:.2f} s")  # fmt: skip

    def latency(self) -> Iterator[Line]:
        """A report to a server that takes its time."""
        rows = min(self.rows, 50_000)
        task = self._report_task(rows, in_flight=_AT_ONCE)
        calls = -(-rows // task.batch)
        found = rounds(["report_ours"], task, self.server, Work(rows, rows, calls, rows),
                       times=self.times, latency=_LATENCY)["report_ours"]  # fmt: skip
        least = calls * _LATENCY / _AT_ONCE
        yield Line(f"{calls} calls, {_LATENCY * 1000:.0f} ms, {_AT_ONCE} in flight",
                   found["span"] / least, 1.15, f"{found['span']:.2f} s, {least:.2f} s")  # fmt: skip

    def drafts_with_photos(self) -> Iterator[Line]:
        """A month's drafts with photos."""
        mis, lists = self.folder / "drafts.sqlite", self.folder / "lists.parquet"
        mis_world.make_drafts(mis, self.drafts)
        mis_world.make_kiva_lists(lists)
        task = Task(str(self.folder / "runs"), str(mis), "", str(lists), self.server.port,
                    self.drafts)  # fmt: skip
        found = rounds(["drafts_floor", "drafts_ours"], task, self.server,
                       Work(self.drafts, self.drafts, self.drafts), times=self.times)  # fmt: skip
        ours, other = found["drafts_ours"]["cpu"], found["drafts_floor"]["cpu"]
        yield Line(f"{self.drafts:,} drafts with photos, CPU against F", ours / other, 3.0,
                   f"{ours:.2f} s, {other:.2f} s")  # fmt: skip

    def imports(self) -> Iterator[Line]:
        """Loading the code location."""
        times: dict[str, list[float]] = {_LIBRARIES: [], _OURS: []}
        for _ in range(max(self.times, 3)):
            for code, found in times.items():
                found.append(_cpu_of([sys.executable, "-c", code]))
        ours, other = (statistics.median(times[code]) for code in (_OURS, _LIBRARIES))
        yield Line("importing the code location, CPU against its libraries", ours / other, 1.2,
                   f"{ours:.2f} s, {other:.2f} s")  # fmt: skip

    def memory(self) -> Iterator[Line]:
        """Peaks of a report through Dagster's assets."""
        peaks = []
        for rows in (100_000, 1_000_000):
            mis = self.folder / f"portfolio-{rows}.sqlite"
            mis_world.make_portfolio(mis, rows)
            task = Task(str(self.folder / "runs"), str(mis), "", "", self.server.port, rows)
            work = Work(rows, rows, -(-rows // task.batch), rows)
            found = rounds(["report_dagster"], task, self.server, work, times=1)["report_dagster"]
            peaks.append(found["peak_mb"])
        yield Line("1,000,000 rows through Dagster, peak against 400 MB", peaks[1] / 400, 1.0,
                   f"{peaks[1]:.0f} MB")  # fmt: skip
        yield Line("… over that of 100,000 rows, against 40 MB", (peaks[1] - peaks[0]) / 40, 1.0,
                   f"{peaks[0]:.0f} MB")  # fmt: skip

    def _report_task(self, rows: int, **how: int) -> Task:
        mis, loans = self.folder / f"balances-{rows}.sqlite", self.folder / f"loans-{rows}.parquet"
        if not mis.exists():
            world.make_balances(mis, rows)
            world.make_kiva_loans(loans, rows)
        return Task(
            str(self.folder / "runs"), str(mis), str(loans), "", self.server.port, rows, **how
        )


def _cpu_of(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run what was asked for and print a line for each ratio as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m kiva_pipeline_tests.bench")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, one round")
    parser.add_argument("--memory", action="store_true", help="only the peaks; takes minutes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", dest="as_json")
    asked = parser.parse_args()
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder, NoopServer() as server:
        rows, times = (10_000, 1) if asked.quick else (100_000, asked.rounds)
        bench = Bench(Path(folder), server, rows, rows // 100, times)
        steps: list[Callable[[], Iterator[Line]]] = (
            [bench.memory]
            if asked.memory
            else [bench.imports, bench.report, bench.again, bench.latency, bench.drafts_with_photos]
        )
        for step in steps:
            for line in step():
                lines.append(line)
                if not asked.as_json:
                    verdict = "kept" if line.kept else "MISSED"
                    print(f"{line.what:58} {line.ratio:6.2f}  bar {line.bar:<5} {verdict:7}"
                          f" ({line.from_what})", flush=True)  # fmt: skip
    if asked.as_json:
        print(json.dumps([asdict(line) | {"kept": line.kept} for line in lines], indent=1))


if __name__ == "__main__":
    main()
