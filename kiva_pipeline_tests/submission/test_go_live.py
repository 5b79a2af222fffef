"""A partner who used PA2 by hand for years goes live: no duplicate, no wrong figure.

2,000 loans at Kiva and 40 drafts that wait in PA2, which the API can't show. The environment is not
the sandbox's, so that every guard of a real one holds; only the addresses are on this machine.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal

import httpx
import pytest

from kiva_pipeline.adopting import carry_out, prepare_adoption
from kiva_pipeline.errors import NotAllowedNowError
from kiva_pipeline.practice_adoption import pa2_files
from kiva_pipeline.sandbox.by_hand import DraftByHand, post_by_hand
from kiva_pipeline.settings import Environment, Settings
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline_tests.submission.sending import DRAFTS, JOURNALS, REPAYMENTS, Sent, send
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, World, demo_world

AT_KIVA, WAITING = 2000, 40
STREAMS = [
    (DRAFTS, OPEN_MONTH), (DRAFTS, RUNNING_MONTH), (DRAFTS, RUNNING_MONTH.plus(1)),
    (REPAYMENTS, OPEN_MONTH), (JOURNALS, OPEN_MONTH), (JOURNALS, RUNNING_MONTH),
]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with demo_world(tmp_path_factory, loans=6000, adopted=False) as world:
        assert len(sandbox(world, "SELECT 1 FROM loan")) >= AT_KIVA
        yield world


@pytest.fixture(scope="module")
def staging(world: World) -> Iterator[Settings]:
    """The partner's settings for a Kiva that is not the sandbox; the file could not say so."""
    api = world.settings.api.model_copy(update={"audience": "kiva-sandbox"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIVA_CLIENT_ID", "sandbox")
        patch.setenv("KIVA_CLIENT_SECRET", "sandbox")
        yield world.settings.model_copy(update={"environment": Environment.STAGING, "api": api})


@pytest.fixture(scope="module")
def waiting(world: World, staging: Settings) -> dict[str, str]:
    """Forty drafts that somebody typed into PA2 in the last days: their uuids by id."""
    planned = [send(staging, DRAFTS, month, dry_run=True) for month in (OPEN_MONTH, RUNNING_MONTH)]
    drafts = [
        (draft, month.rows.loc[draft]) for month in planned for draft in month.ids("planned")
    ][-WAITING:]
    typed = []
    for draft, row in drafts:
        borrowers = [
            (loan_id, *mis(world, "SELECT client_id, principal FROM loans WHERE loan_id = ?", loan_id)[0])
            for loan_id in json.loads(row["loan_ids"])
        ]  # fmt: skip
        typed.append(DraftByHand(draft, "C", row["currency"], row["effective_on"], borrowers))
    assert any(len(draft.borrowers) > 1 for draft in typed)
    uuids = post_by_hand(world.sandbox, "145", typed)
    return {draft.loan_id: uuid for draft, uuid in zip(typed, uuids, strict=True)}


@pytest.fixture(scope="module")
def first(world: World, staging: Settings, waiting: dict[str, str]) -> list[Sent]:
    """Adoption, and the first run of everything."""
    files = pa2_files(staging, world.sandbox, world.folder / "pa2")
    prepared = prepare_adoption(staging, files, go_live_on=None, why="go-live")
    assert prepared.changes.loans >= AT_KIVA
    assert prepared.changes.drafts == WAITING
    carry_out(staging, prepared, Actor("Ana", ""))
    return [send(staging, kind, month) for kind, month in STREAMS]


def sandbox(world: World, statement: str, *values: object) -> list[tuple]:
    with closing(sqlite3.connect(world.sandbox)) as connection:
        return connection.execute(statement, values).fetchall()


def mis(world: World, statement: str, *values: object) -> list[tuple]:
    with closing(sqlite3.connect(world.mis)) as connection:
        return connection.execute(statement, values).fetchall()


def posted_figures(world: World) -> dict[str, Decimal]:
    """What counts at Kiva for each loan in the open month."""
    rows = httpx.get(f"{world.url}/_sandbox/repayments").json()["repayments"]
    return {row["loan_id"]: Decimal(row["amount"]) for row in rows if row["period"] == "2026-09"}


def repaid_in_the_mis(world: World) -> dict[str, Decimal]:
    """Principal repaid by the end of the open month, of loans and of groups: summed here anew."""
    rows = mis(
        world,
        """
        SELECT l.loan_id, l.group_id || '-' || coalesce(l.disbursed_on, l.expected_disbursal_on),
               l.currency_digits,
               coalesce(sum(CASE t.type WHEN 'chargeback' THEN -principal_minor
                        ELSE principal_minor END), 0)
        FROM loans l LEFT JOIN transactions t ON t.loan_pk = l.id AND t.is_reversed = 0
             AND t.transaction_date <= '2026-09-30'
             AND t.type IN ('repayment', 'down_payment', 'chargeback')
        GROUP BY l.id
        """,
    )
    truth: dict[str, Decimal] = {}
    for loan_id, group_loan, digits, minor in rows:
        for key in {loan_id, group_loan} - {None}:
            truth[key] = truth.get(key, Decimal(0)) + Decimal(minor).scaleb(-digits)
    return truth


def test_before_the_adoption_nothing_is_sent(world, staging, waiting):
    for kind, month in STREAMS:
        with pytest.raises(NotAllowedNowError) as refused:
            send(staging, kind, month)
        assert "is new: it does not know what Kiva already has" in refused.value.message
        assert "`kiva-pipeline adopt`" in refused.value.fix
    assert world.posts() == 0


def test_what_waits_in_pa2_and_what_kiva_has_is_not_sent_again(world, first, waiting):
    assert world.facts()["duplicate_effects"] == []
    sent = {draft for stream in first[:3] for draft in stream.ids("accepted")}
    assert len(sent) > 100
    assert not sent & waiting.keys()
    listed = {loan_id for (loan_id,) in sandbox(world, "SELECT internal_loan_id FROM loan")}
    assert not sent & listed
    for draft in waiting:
        (decided,) = [s.rows.loc[draft, "decision"] for s in first[:3] if draft in s.rows.index]
        assert decided == "already_at_kiva"


def test_every_figure_is_the_miss_and_none_is_below_the_last_reported_one(world, first):
    figures, truth = posted_figures(world), repaid_in_the_mis(world)
    assert len(figures) > 1000
    assert {i: (figures[i], truth[i]) for i in figures if figures[i] != truth[i]} == {}
    reported = dict(
        sandbox(world, "SELECT internal_loan_id, last_reported FROM loan WHERE last_reported <> ''")
    )
    assert [i for i in figures if i in reported and figures[i] < Decimal(reported[i])] == []
    assert sum(i in reported for i in figures) > 1000
    assert figures.keys() == set(first[3].ids("accepted"))


def test_every_expected_loan_has_a_row_and_those_that_were_not_sent_a_reason(world, first):
    expected = {
        loan_id
        for (loan_id,) in sandbox(
            world,
            "SELECT internal_loan_id FROM loan WHERE status IN ('payingBack', 'defaulted')",
        )
    }
    report = first[3].rows
    assert set(report.index) == expected
    rest = report[report["decision"] != "accepted"]
    assert set(rest["decision"]) <= {"held", "missing", "rejected", "needs_person", "blocked"}
    assert (rest["reasons"] != "").all()


def test_a_second_run_sends_nothing_also_when_a_waiting_draft_was_published(
    world, staging, first, waiting
):
    posts = world.posts()
    for uuid in list(waiting.values())[::4]:
        httpx.post(f"{world.url}/_sandbox/publish/{uuid}").raise_for_status()
    for kind, month in STREAMS:
        send(staging, kind, month)
    assert world.posts() == posts
    assert world.facts()["duplicate_effects"] == []
