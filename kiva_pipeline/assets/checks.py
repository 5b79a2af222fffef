"""The bridge from rulebooks and tallies to Dagster's asset checks.

dagster-pandera needs pandas < 3, so this is ours: pandera judges (``rulebook.py``), and here its
counts become partitioned check results. Checks tell; what guards Kiva is the data itself, because
only good rows are ever planned. So they warn and never block, except the impossible: rows lost.
"""

import warnings
from collections.abc import Mapping

import dagster as dg

from kiva_pipeline.reporting.words import words
from kiva_pipeline.submission.decisions import Tally
from kiva_pipeline.submission.states import State

RECORDS_READABLE = "records_readable"
ROWS_MATCH_SOURCE = "rows_match_source"
RULES_KEPT = "pa2_rules_kept"
EVERY_ROW_DECIDED = "every_row_has_a_decision"
NOTHING_UNCERTAIN = "nothing_uncertain"
NOTHING_LEFT = "nothing_left_to_send"
EVERY_EXPECTED = "every_expected_loan_has_a_row"

_RULES_TOLD = 5


def spec(
    name: str, asset: str, description: str, partitions: dg.PartitionsDefinition
) -> dg.AssetCheckSpec:
    """A check inside its asset's own step, on the month of the run."""
    with warnings.catch_warnings():
        # Tried and pinned; that it is a preview is the maintainers' concern, not each user's.
        warnings.simplefilter("ignore", category=dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name=name, asset=asset, description=description, partitions_def=partitions
        )


def rules_result(name: str, counts: Mapping[str, int]) -> dg.AssetCheckResult:
    """Passed when no rule is broken; the metadata counts each rule that is, never a value."""
    broken = {code: rows for code, rows in counts.items() if rows}
    often = sorted(broken, key=lambda code: (-broken[code], code))
    told = ", ".join(f"{words(code)} ({broken[code]:,})" for code in often[:_RULES_TOLD])
    more = len(often) - _RULES_TOLD
    return dg.AssetCheckResult(
        check_name=name,
        passed=not broken,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{told}{f' and {more} more rules' if more > 0 else ''}" or "All rules kept.",
        metadata={"rules broken": len(broken), **{code: broken[code] for code in often}},
    )


def equal_result(name: str, what: str, got: int, expected: int) -> dg.AssetCheckResult:
    """Passed when two counts are the same; a difference means that rows were lost or doubled."""
    return dg.AssetCheckResult(
        check_name=name,
        passed=got == expected,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{what}: {got:,} of {expected:,}",
        metadata={"got": got, "expected": expected},
    )


def nothing_left_result(waiting: int) -> dg.AssetCheckResult:
    """Passed when no row of the month waits to be sent or is in doubt."""
    return dg.AssetCheckResult(
        check_name=NOTHING_LEFT,
        passed=waiting == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{waiting:,} rows are planned, deferred or in doubt. Another run sends what"
        " may go; `kiva-pipeline doubts` lists what waits for a person."
        if waiting
        else "Nothing waits.",
        metadata={"rows that wait": waiting},
    )


def certain_result(tally: Tally) -> dg.AssetCheckResult:
    """Passed when Kiva's answer is known for every row."""
    doubts = tally.rows.get(State.UNCERTAIN.value, 0)
    return dg.AssetCheckResult(
        check_name=NOTHING_UNCERTAIN,
        passed=doubts == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{doubts:,} without a known outcome: `kiva-pipeline doubts` lists them."
        if doubts
        else "Every outcome is known.",
        metadata={"doubts": doubts},
    )
