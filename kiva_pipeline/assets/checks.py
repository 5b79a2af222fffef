"""The bridge from rulebooks and tallies to Dagster's asset checks.

dagster-pandera needs pandas < 3, so this is ours: pandera judges (``rulebook.py``), and here its
counts become partitioned check results. Checks tell; what guards Kiva is the data itself, because
only good rows are ever planned. So they warn and never block, except the impossible: rows lost.
"""

from collections.abc import Mapping

import dagster as dg

from kiva_pipeline.submission.decisions import Tally
from kiva_pipeline.submission.states import State

RECORDS_READABLE = "records_readable"
ROWS_MATCH_SOURCE = "rows_match_source"
RULES_KEPT = "pa2_rules_kept"
EVERY_ROW_DECIDED = "every_row_has_a_decision"
NOTHING_UNCERTAIN = "nothing_uncertain"
NOTHING_LEFT = "nothing_left_to_send"
EVERY_EXPECTED = "every_expected_loan_has_a_row"


def spec(
    name: str, asset: str, description: str, partitions: dg.PartitionsDefinition
) -> dg.AssetCheckSpec:
    """A check inside its asset's own step, on the month of the run."""
    return dg.AssetCheckSpec(
        name=name, asset=asset, description=description, partitions_def=partitions
    )


def rules_result(name: str, counts: Mapping[str, int]) -> dg.AssetCheckResult:
    """Passed when no rule is broken; the metadata counts each rule that is, never a value."""
    broken = {code: rows for code, rows in counts.items() if rows}
    return dg.AssetCheckResult(
        check_name=name,
        passed=not broken,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{code}: {rows}" for code, rows in broken.items()) or "all kept",
        metadata={"rules broken": len(broken), **counts},
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


def certain_result(tally: Tally) -> dg.AssetCheckResult:
    """Passed when Kiva's answer is known for every row."""
    doubts = tally.rows.get(State.UNCERTAIN.value, 0)
    return dg.AssetCheckResult(
        check_name=NOTHING_UNCERTAIN,
        passed=doubts == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{doubts} without a known outcome: `kiva-pipeline doubts` lists them"
        if doubts
        else "every outcome is known",
        metadata={"doubts": doubts},
    )
