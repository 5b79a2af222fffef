"""What an asset says about itself in the UI, beyond its docstring: shape, rules, numbers.

Never a row, a name or a text of the data: only counts, sums, names of rules and links.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from kiva_pipeline.assets.columns import MEANING
from kiva_pipeline.reporting.reconciliation import money_by_decision
from kiva_pipeline.reporting.words import words
from kiva_pipeline.rulebook import Rulebook
from kiva_pipeline.submission.states import State
from kiva_pipeline.submission.submit import SubmitResult

OWNERS = ["team:kiva-data-engineering"]

_LINKS_SHOWN = 20
_REASONS_TOLD = 4


def column_schema(columns: Mapping[str, str], rules: Rulebook | None = None) -> dg.TableSchema:
    """The columns with dtype and meaning, and the rules of each as constraints."""
    by_field: dict[str, list[str]] = {}
    for rule in rules.rules if rules else ():
        by_field.setdefault(rule.field, []).append(rule.code)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                kind,
                description=MEANING.get(name),
                constraints=dg.TableColumnConstraints(other=by_field.get(name, [])),
            )
            for name, kind in columns.items()
        ]
    )


def shape(columns: Mapping[str, str], rules: Rulebook | None = None) -> dict[str, Any]:
    """Definition metadata of an asset: its columns."""
    return {"dagster/column_schema": column_schema(columns, rules)}


def content_version(frame: pd.DataFrame) -> dg.DataVersion:
    """The same for the same rows in the same order; for frames that hold no personal data."""
    digest = hashlib.blake2b("\n".join(frame.columns).encode(), digest_size=16)
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return dg.DataVersion(digest.hexdigest())


def counted(rows: int, **numbers: float) -> dict[str, Any]:
    """Materialization metadata: the row count tile, and numbers that plot per partition."""
    return {"dagster/row_count": rows, **numbers}


def submitted(result: SubmitResult, *, dry_run: bool, skipped: str = "") -> dict[str, Any]:
    """Materialization metadata of a submission, in the order in which a person asks.

    The numbers have the same keys in every run, so that they plot.

    Args:
        result: What became of the month.
        dry_run: Nothing was to be sent.
        skipped: Why nothing was sent although it should have been: who was sending.
    """
    tally, summary = result.tally, result.summary
    money = money_by_decision(tally)
    links = _links(result)
    return {
        **({"skipped": skipped} if skipped else {}),
        "what happened": dg.MarkdownMetadataValue(
            _summary(result, nothing_sent=dry_run or bool(skipped))
        ),
        **({"publish in PA2": dg.MarkdownMetadataValue(links)} if links else {}),
        "dagster/row_count": tally.total,
        "requests": summary.requests,
        "doubts": tally.rows.get(State.UNCERTAIN.value, 0),
        **{f"money {words(state)}": money[state] for state in State if state in money},
        **{f"rows {words(state)}": tally.rows.get(state.value, 0) for state in State},
        "recovered orphans": result.recovered,
        "stopped": summary.stopped or "no",
        "digest of the plan": result.digest,
        "dry run": dry_run,
    }


def table(columns: list[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; what is empty stays empty."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _summary(result: SubmitResult, *, nothing_sent: bool) -> str:
    """A line for each decision with its most frequent reasons: short enough to be shown at once."""
    reasons: dict[str, list[tuple[int, str]]] = {}
    for (decision, reason), rows in result.tally.reasons.items():
        reasons.setdefault(decision, []).append((-rows, reason))
    stopped = result.summary.stopped
    heads = [
        "**Nothing was sent: this is what would be.**" if nothing_sent else "",
        *(f"**A run would send nothing now.** {why}" for why in result.objections),
        f"**Stopped early: {stopped}.**" if stopped else "",
        f"**The month waits for a person** ({result.month_held}): see `kiva-pipeline held`."
        if result.month_held
        else "",
        "" if reasons else "There is nothing in this month.",
    ]
    lines = [
        f"- **{words(state)}** {result.tally.rows[state.value]:,}"
        f"{_most_frequent(state.value, sorted(reasons[state.value]))}"
        for state in State
        if state.value in reasons
    ]
    return "\n\n".join(part for part in (*heads, "\n".join(lines)) if part)


def _most_frequent(decision: str, reasons: list[tuple[int, str]]) -> str:
    if [reason for _, reason in reasons] == [decision]:
        return ""
    told = ", ".join(f"{words(reason)} ({-rows:,})" for rows, reason in reasons[:_REASONS_TOLD])
    more = len(reasons) - _REASONS_TOLD
    return f": {told}" + (f" and {more} more reasons" if more > 0 else "")


def _links(result: SubmitResult) -> str:
    """Where a person reviews and publishes what Kiva accepted, the first few."""
    frame = result.decisions.read(["business_id", "confirm_url"])
    open_links = frame[frame["confirm_url"].str.startswith(("https://", "http://"))]
    lines = [
        f"- [{business_id}]({url})"
        for business_id, url in open_links.head(_LINKS_SHOWN).itertuples(index=False, name=None)
    ]
    more = len(open_links) - len(lines)
    return "\n".join([*lines, *([f"- {more:,} more in the worklist"] if more > 0 else [])])
