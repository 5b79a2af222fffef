"""What an asset says about itself in the UI, beyond its docstring: shape, rules, numbers.

Never a row, a name or a text of the data: only counts, sums, names of rules and links.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from kiva_pipeline.reporting.reconciliation import money_by_decision
from kiva_pipeline.rulebook import Rulebook
from kiva_pipeline.submission.states import State
from kiva_pipeline.submission.submit import SubmitResult

OWNERS = ["team:kiva-data-engineering"]


def column_schema(columns: Mapping[str, str], rules: Rulebook | None = None) -> dg.TableSchema:
    """The columns with their dtypes, and the rules of each as constraints."""
    by_field: dict[str, list[str]] = {}
    for rule in rules.rules if rules else ():
        by_field.setdefault(rule.field, []).append(rule.code)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                kind,
                constraints=dg.TableColumnConstraints(other=by_field.get(name, [])),
            )
            for name, kind in columns.items()
        ]
    )


def shape(columns: Mapping[str, str], rules: Rulebook | None = None) -> dict[str, Any]:
    """Definition metadata of an asset: its columns."""
    return {"dagster/column_schema": column_schema(columns, rules)}


def counted(rows: int, **numbers: float) -> dict[str, Any]:
    """Materialization metadata: the row count tile, and numbers that plot per partition."""
    return {"dagster/row_count": rows, **numbers}


def submitted(result: SubmitResult, *, dry_run: bool) -> dict[str, Any]:
    """Materialization metadata of a submission: the same keys in every run, so that they plot."""
    tally, summary = result.tally, result.summary
    decisions = {f"rows {state.value}": tally.rows.get(state.value, 0) for state in State}
    money = money_by_decision(tally)
    return {
        "dagster/row_count": tally.total,
        **decisions,
        **{f"money {state.value}": money.get(state.value, "") for state in State
           if state.value in money},
        "requests": summary.requests,
        "doubts": tally.rows.get(State.UNCERTAIN.value, 0),
        "recovered orphans": result.recovered,
        "stopped": summary.stopped or "no",
        "dry run": dry_run,
        "what happened": dg.MarkdownMetadataValue(_summary(result, dry_run=dry_run)),
    }  # fmt: skip


def _summary(result: SubmitResult, *, dry_run: bool) -> str:
    money = money_by_decision(result.tally)
    head = "Dry run: nothing was sent.\n\n" if dry_run else ""
    head += "".join(f"**A run would send nothing now.** {why}\n\n" for why in result.objections)
    lines = [
        f"| {decision} | {reason} | {rows:,} |"
        for (decision, reason), rows in sorted(result.tally.reasons.items())
    ]
    sums = [f"- {decision}: {told}" for decision, told in money.items()]
    stopped = f"\n\n**Stopped early: {result.summary.stopped}.**" if result.summary.stopped else ""
    return (
        f"{head}| decision | reason | rows |\n|---|---|---|\n"
        + "\n".join(lines)
        + ("\n\nMoney by decision:\n" + "\n".join(sums) if sums else "")
        + stopped
    )
