"""Months of runs with a Kiva that fails in every way, while the MIS changes: what must stay true."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline_tests.conftest import POSTGRES, SQLITE
from kiva_pipeline_tests.partner_api.servers import Reply
from kiva_pipeline_tests.submission.books import (
    DRAFT,
    JOURNAL,
    REPAYMENT,
    Row,
    blocked,
    decided,
    draft_row,
    held,
    journal_row,
    missing,
    report_row,
    states,
)
from kiva_pipeline_tests.submission.desk import Desk
from kiva_pipeline_tests.submission.kiva import (
    CLOSED,
    RESET,
    LoopbackKiva,
    Post,
    accept,
    applied_but,
    receipt,
    status,
)

IDS = [f"L{n:02}" for n in range(12)]
RUNS = 7


def partly(kiva: LoopbackKiva, post: Post) -> Reply:
    """Of a report: its first row is refused, the others are applied."""
    if post.kind is not PostKind.REPAYMENT:
        return accept(kiva, post)
    kiva.apply(post, but=post.ids[:1])
    refused = {"loan_id": post.ids[0], "code": "x", "details": "", "severity": "error"}
    return Reply(receipt(post, problems=[refused]))


MOODS = [accept, accept, accept, partly, RESET, CLOSED, applied_but(RESET), applied_but(CLOSED),
         status(400), status(401), status(429, b"", Retry_After="1"), status(500),
         applied_but(status(502, b"<html>"))]  # fmt: skip


def of_mis(kind: PostKind, loan_id: str, step: int, chance: Random) -> Row | None:
    """What the MIS says of a loan at this step: mostly the same as before."""
    content = 0 if chance.random() < 0.7 else step
    good: Callable[..., Row] = {
        DRAFT: lambda: draft_row(loan_id, use=f"to buy {content} cows."),
        REPAYMENT: lambda: report_row(loan_id, 100_00 + step * 10_00),
        JOURNAL: lambda: journal_row(loan_id, body=f"She sells {content}."),
    }[kind]
    said = chance.choice(["good"] * 7 + ["blocked", "held", "gone", "missing"])
    if said == "gone" or (said == "missing" and kind is not REPAYMENT):
        return None
    if said == "missing":
        return missing(loan_id)
    return {"blocked": blocked, "held": held}.get(said, lambda row: row)(good())


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize(
    ("engine", "kind"),
    [
        (SQLITE, DRAFT),
        (SQLITE, REPAYMENT),
        (SQLITE, JOURNAL),
        pytest.param(POSTGRES, REPAYMENT, marks=pytest.mark.live),
    ],
    indirect=["engine"],
    ids=str,
)
def test_nothing_is_doubled_stale_or_taken_for_known(desk: Desk, kind: Any, seed: int) -> None:
    desk = desk.having(api={"max_in_flight": 2}, repayments={"batch_size": 3})
    chance = Random(seed)
    doubted: set[str] = set()
    for step in range(RUNS):
        rows = [row for loan_id in IDS if (row := of_mis(kind, loan_id, step, chance))]
        moods = Random(f"{seed}-{step}")
        desk.kiva.behave = lambda kiva, post, moods=moods: moods.choice(MOODS)(kiva, post)
        desk.run(kind, rows, limit=chance.choice([None, None, 4]))
        told = states(desk.book)
        still = {key for key in doubted if told[key] == "uncertain"}
        assert doubted - still <= {i for i in desk.kiva.listed if kind is DRAFT}
        doubted = {key for key, state in told.items() if state == "uncertain"}
        assert desk.kiva.duplicates == []
        if kind is DRAFT and chance.random() < 0.5:  # a person publishes what waits in PA2
            desk.kiva.listed = [key[1] for key in desk.kiva.applied]
    last = [row for loan_id in IDS if (row := of_mis(kind, loan_id, RUNS, chance))]
    _all_is_well_in_the_end(desk, kind, last)


def _all_is_well_in_the_end(desk: Desk, kind: PostKind, rows: list[Row]) -> None:
    desk.kiva.behave = accept
    desk.run(kind, rows)
    posts = len(desk.kiva.posts)
    decisions = decided(desk.run(kind, rows))
    assert len(desk.kiva.posts) == posts
    assert desk.kiva.duplicates == []
    applied = {key[1] for key in desk.kiva.applied}
    for row in rows:
        loan_id, decision = row["business_id"].split("/")[0], decisions[row["business_id"]]
        if decision == "unchanged":
            assert loan_id in applied
            if kind is REPAYMENT:
                assert desk.kiva.figures[loan_id] * 100 == row["amount"]
        if decision == "planned" or (decision == "deferred" and row["state"] == "good"):
            pytest.fail(f"{loan_id} was good and did not go")
    for business_id, state in states(desk.book).items():
        if state == "accepted":
            assert business_id.split("/")[0] in applied
