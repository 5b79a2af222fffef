"""What the demo does: send two months, send them again, correct the MIS, send the difference.

It shows nothing itself and returns facts, so that tests and the screen are told the same. What must
not break: each claim of the demo is counted by the sandbox, not by the pipeline that it tests.
"""

import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dagster as dg
import orjson
import pandas as pd

from kiva_pipeline.cli.dagster_home import own_home
from kiva_pipeline.cli.demo_folder import DemoPartner
from kiva_pipeline.cli.job_run import JobRunner, MonthRun
from kiva_pipeline.cli.options import Stream
from kiva_pipeline.errors import PipelineError
from kiva_pipeline.periods import Month
from kiva_pipeline.practice_adoption import adopt_practice
from kiva_pipeline.reporting.words import STREAMS, reasons_in_words
from kiva_pipeline.sandbox.demo_mis import correct_past
from kiva_pipeline.sandbox.practice import mis_file, pa2_folder, sandbox_file
from kiva_pipeline.submission.adopt import AdoptionReport


@dataclass(frozen=True, slots=True)
class Round:
    """All months once through.

    Attributes:
        runs: One of each month.
        posts: POSTs that the sandbox received meanwhile.
    """

    runs: list[MonthRun]
    posts: int


@dataclass(frozen=True, slots=True)
class Change:
    """A row that was decided otherwise after the MIS had been corrected."""

    stream: str
    id: str
    before: str
    now: str
    why: str


@dataclass(frozen=True, slots=True)
class Story:
    """What happened.

    Attributes:
        adopted: What the ledger was told that Kiva has already.
        first: New to Kiva.
        second: The same again.
        corrections: What was corrected in the MIS, and on which loans.
        third: After the corrections.
        changes: The rows that the corrections made a difference to.
        duplicates: Keys that the sandbox applied more than once.
    """

    adopted: AdoptionReport
    first: Round
    second: Round
    corrections: dict[str, tuple[str, ...]]
    third: Round
    changes: list[Change]
    duplicates: list[str]

    @property
    def proven(self) -> bool:
        """Whether the demo showed what it claims."""
        return self.first.posts > 0 and self.second.posts == 0 and not self.duplicates


def play(
    partner: DemoPartner, chapter: Callable[[str], None], step: Callable[[str], None]
) -> Story:
    """Play the demo through real Dagster runs.

    Args:
        partner: With its sandbox running.
        chapter: Told what begins.
        step: Told of every step that has ended.

    Raises:
        PipelineError: A run failed; it says at which step.
    """
    today = partner.settings.clock.today()
    months = [Month.of(today).plus(-1), Month.of(today)]
    chapter("Adopting what Kiva has already")
    adopted = adopt_practice(
        partner.settings, sandbox_file(partner.folder), pa2_folder(partner.folder)
    )
    with dg.DagsterInstance.from_config(str(own_home(partner.settings.state.folder))) as instance:
        runner = JobRunner(partner.settings, partner.settings_file, instance)

        def all_months() -> Round:
            before = sandbox_facts(partner.url)["posts"]
            runs = [_run(runner, month, step) for month in months]
            return Round(runs, sandbox_facts(partner.url)["posts"] - before)

        chapter(f"Sending {months[0]} and {months[1]}")
        first = all_months()
        chapter("Running both months again")
        second = all_months()
        chapter("Correcting the MIS, and running once more")
        corrected = correct_past(mis_file(partner.folder))
        third = all_months()
    return Story(
        adopted=adopted,
        first=first,
        second=second,
        corrections={correction.value: ids for correction, ids in corrected.items()},
        third=third,
        changes=_changes(second, third),
        duplicates=sandbox_facts(partner.url)["duplicate_effects"],
    )


def sandbox_facts(url: str) -> dict[str, Any]:
    """What the sandbox received and applied."""
    with urllib.request.urlopen(f"{url}/_sandbox/facts") as answer:  # noqa: S310  on loopback
        facts: dict[str, Any] = orjson.loads(answer.read())
    return facts


def _run(runner: JobRunner, month: Month, step: Callable[[str], None]) -> MonthRun:
    run = runner.run(month, Stream.ALL.kinds, progress=lambda name: step(f"{month} {name}"))
    for name, message in run.failures:
        raise PipelineError(f"The demo's run of {month} failed at {name}: {message}")
    return run


def _changes(before: Round, after: Round) -> list[Change]:
    keys, told = ["business_id"], ["decision", "reason_code", "reasons"]
    changes = []
    for old, new in zip(before.runs, after.runs, strict=True):
        for kind, decisions in new.decisions.items():
            both = decisions[keys + told].merge(
                old.decisions[kind][keys + told], on=keys, how="left", suffixes=("", "_before")
            )
            changed = both[
                (both["decision"] != both["decision_before"])
                | (both["reasons"] != both["reasons_before"])
            ]
            changes += [
                Change(
                    stream=STREAMS[kind],
                    id=row.business_id,
                    before="" if pd.isna(row.decision_before) else row.decision_before,
                    now=row.decision,
                    why=" ".join(
                        r["sentence"] for r in reasons_in_words(row.reason_code, row.reasons)
                    ),
                )
                for row in changed.itertuples(index=False)
            ]
    return changes
