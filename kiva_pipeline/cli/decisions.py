"""The decisions of a month as tables and numbers, for ``plan``, ``run`` and ``demo`` alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from kiva_pipeline.cli.show import counted, print_table, say, sentence, words
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.reporting.reconciliation import reconcile
from kiva_pipeline.reporting.unsent import unsent_rows
from kiva_pipeline.reporting.words import STREAMS, WAITS_FOR_PERSON, urgency

Decisions = Mapping[PostKind, pd.DataFrame]

_CURRENCIES_SHOWN = 3


def totals(decisions: Decisions) -> list[dict[str, Any]]:
    """``stream, decision, reason_code, rows, mis_rows, money`` by decision and reason."""
    return [
        {str(name): value for name, value in row.items()}
        for kind, frame in decisions.items()
        for row in reconcile(STREAMS[kind], frame).to_dict("records")
    ]


def unsent(decisions: Decisions) -> list[dict[str, str]]:
    """What is not sent and why: ``stream, id, decision, code, field, sentence, detail``.

    The most urgent decisions of all streams come first.
    """
    lines = [
        {"stream": STREAMS[kind]} | line
        for kind, frame in decisions.items()
        for line in unsent_rows(frame)
    ]
    return sorted(lines, key=lambda line: urgency(line["decision"]))


def waiting_rows(decisions: Decisions) -> int:
    """Rows that wait for a person."""
    return sum(int(f["decision"].isin(list(WAITS_FOR_PERSON)).sum()) for f in decisions.values())


def show_totals(lines: Sequence[Mapping[str, Any]], *, money: bool = True) -> None:
    """The table by decision and reason."""
    columns = ["stream", "decision", "why", "rows", *(["money"] if money else [])]
    print_table(
        columns,
        (
            (line["stream"], words(line["decision"]),
             words(line["reason_code"]) if line["reason_code"] != line["decision"] else "",
             f"{line['rows']:,}", *([_short(line["money"])] if money else []))
            for line in lines
        ),
        numbers=["rows"],
        texts=["why"],
    )  # fmt: skip


def show_limited(lines: Sequence[Mapping[str, Any]]) -> None:
    """A note on what only waits because of a limit in the settings; nothing where there is none."""
    from kiva_pipeline.submission.limits import LIMIT_REASONS
    from kiva_pipeline.submission.states import SENTENCES

    for line in lines:
        if line["decision"] == "deferred" and line["reason_code"] in LIMIT_REASONS:
            say(f"\n{line['stream'].capitalize()}: {counted(line['rows'], 'row')} wait."
                f" {SENTENCES[line['reason_code']]}")  # fmt: skip


def show_unsent(lines: Sequence[Mapping[str, str]], *, at_most: int | None) -> None:
    """The list of what is not sent, one line a reason, shortened on request."""
    shown = lines if at_most is None else lines[:at_most]
    print_table(
        ["id", "decision", "why"],
        ((line["id"], words(line["decision"]), _why(line)) for line in shown),
        texts=["why"],
    )
    if len(shown) < len(lines):
        say(f"… and {counted(len(lines) - len(shown), 'line')} more: `--all` shows them.")


def _why(line: Mapping[str, str]) -> str:
    field = f"{line['field']}: " if line["field"] else ""
    return field + sentence(line["sentence"], line["detail"])


def _short(money: str) -> str:
    sums = money.split("; ") if money else []
    more = len(sums) - _CURRENCIES_SHOWN
    return "\n".join([*sums[:_CURRENCIES_SHOWN], *([f"+ {more} currencies"] if more > 0 else [])])
