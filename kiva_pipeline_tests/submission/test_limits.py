"""Limits of the settings: what is over waits, exactly, and nothing else does."""

import sqlite3
from datetime import datetime
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.settings_limits import Limits, MoneyPerRun, RowsPerRun
from kiva_pipeline.submission.limits import RunLimits
from kiva_pipeline.submission.plan import PLAN_COLUMNS
from kiva_pipeline.submission.states import RESENT
from kiva_pipeline_tests.between import between, refusal
from kiva_pipeline_tests.submission.sending import DRAFTS, REPAYMENTS, send
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, demo_world

DRAFT = PostKind.LOAN_DRAFT


@pytest.fixture
def way(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=150) as world, between(world) as way:
        yield way


def with_limits(way, **limits):
    """The partner's settings by the same way, with these limits."""
    from kiva_pipeline.settings import load_settings

    api = way.settings.api
    file = way.world.settings_with(
        "limits.yaml",
        api={"base_url": api.base_url, "auth_url": api.auth_url},
        limits=limits,
    )
    return load_settings(file)


# --- pure


def plan(*rows: tuple[str, str, int | None, str], decision: str = "planned", code: str = "new"):
    """A plan of these (id, day, minor units, currency), with two digits each."""
    frame = pd.DataFrame(
        [
            {
                "business_id": i, "decision": decision, "reason_code": code, "effective_on": day,
                "amount": amount, "currency": currency, "currency_digits": 2, "write": "insert",
            }
            for i, day, amount, currency in rows
        ]
    )  # fmt: skip
    for name, kind in PLAN_COLUMNS.items():
        if name not in frame:
            frame[name] = "" if kind == "str" else 0
    return frame[list(PLAN_COLUMNS)].astype(PLAN_COLUMNS)


def went(frame: pd.DataFrame) -> list[str]:
    return sorted(frame.loc[frame["decision"] == "planned", "business_id"])


def test_the_loan_whose_day_comes_first_goes_first():
    limits = RunLimits.of(Limits(rows_per_run=RowsPerRun(loan_drafts=1)), DRAFT, 0)
    rows = plan(("A", "2026-10-20", 100, "KES"), ("Z", "2026-10-02", 100, "KES"))
    after = limits.within(rows)
    assert went(after) == ["Z"]
    assert list(after["reason_code"]) == ["limit_rows_per_run", "new"]


def test_money_is_limited_by_currency_and_to_the_last_cent():
    limits = RunLimits.of(
        Limits(money_per_run=MoneyPerRun(loan_drafts={"KES": "100.01"})), DRAFT, 0
    )
    after = limits.within(
        plan(
            ("A", "1", 50_00, "KES"), ("B", "2", 50_01, "KES"), ("C", "3", 1, "KES"),
            ("D", "4", 10**15, "RWF"),
        )
    )  # fmt: skip
    assert went(after) == ["A", "B", "D"]
    assert "limit KES 100.01" in after.set_index("business_id").loc["C", "reasons"]


def test_a_loan_above_the_limit_by_itself_keeps_nobody_behind_it():
    limits = RunLimits.of(Limits(money_per_run=MoneyPerRun(loan_drafts={"KES": "10"})), DRAFT, 0)
    after = limits.within(plan(("A", "1", 10_01, "KES"), ("B", "2", 10_00, "KES")))
    assert went(after) == ["B"]


def test_a_limit_is_used_up_over_the_chunks_of_a_plan():
    terms = Limits(
        rows_per_run=RowsPerRun(repayments=3), money_per_run=MoneyPerRun(repayments={"KES": "2"})
    )
    limits = RunLimits.of(terms, PostKind.REPAYMENT, 0)
    first = limits.within(plan(("A", "1", 1_00, "KES"), ("B", "1", 5, "RWF")))
    second = limits.within(
        plan(("C", "1", 1_01, "KES"), ("D", "1", 1, "KES"), ("E", "1", 1, "RWF"))
    )
    assert went(first) == ["A", "B"]
    assert went(second) == ["E"]  # C is above what is left of the money, and D behind it


def test_a_figure_in_doubt_that_was_to_go_again_stays_in_doubt_over_the_limit():
    limits = RunLimits.of(Limits(rows_per_run=RowsPerRun(repayments=0)), PostKind.REPAYMENT, 0)
    (row,) = limits.within(plan(("A", "1", 1, "KES"), code=RESENT)).to_dict("records")
    assert (row["decision"], row["reason_code"], row["write"]) == (
        "uncertain", "still_uncertain", "",
    )  # fmt: skip


def test_without_limits_a_plan_is_left_as_it_is():
    before = plan(("A", "1", 1, "KES"))
    assert RunLimits.of(Limits(), DRAFT, 1000).within(before) is before


@given(
    st.lists(st.tuples(st.integers(1, 40), st.sampled_from(["KES", "RWF"])), max_size=30),
    st.integers(0, 300),
    st.integers(0, 30),
    st.integers(0, 30),
)
def test_no_run_is_ever_above_a_limit_and_limits_change_nothing_else(rows, money, count, daily):
    terms = Limits(
        drafts_per_day=daily,
        rows_per_run=RowsPerRun(loan_drafts=count),
        money_per_run=MoneyPerRun(loan_drafts={"KES": str(Decimal(money) / 100)}),
    )
    before = plan(*((f"L{i:02}", "1", n, currency) for i, (n, currency) in enumerate(rows)))
    after = RunLimits.of(terms, DRAFT, 3).within(before)
    going = after[after["decision"] == "planned"]
    assert len(going) <= min(count, max(daily - 3, 0))
    assert going.loc[going["currency"] == "KES", "amount"].sum() <= money
    assert set(after["decision"]) <= {"planned", "deferred"}
    same = [c for c in PLAN_COLUMNS if c not in {"decision", "reason_code", "reasons"}]
    pd.testing.assert_frame_equal(after[same], before[same])


# --- the settings


@pytest.mark.parametrize("amount", [1000.5, True, "1,000", "-1", "1e9", "", "٣", None, "1.0000001"])
def test_an_amount_that_may_not_be_exact_is_refused(amount):
    with pytest.raises(ValueError, match="an amount in major units in quotes"):
        MoneyPerRun(loan_drafts={"KES": amount})


def test_an_amount_is_taken_exactly():
    limits = MoneyPerRun(loan_drafts={"KES": "1250.50"}, repayments={"RWF": 5000000})
    assert limits.loan_drafts == {"KES": Decimal("1250.50")}
    assert limits.repayments == {"RWF": Decimal(5000000)}


# --- over several runs and days


def test_runs_of_a_day_share_the_days_drafts_and_the_next_day_goes_on(way):
    settings = with_limits(way, drafts_per_day=3)
    first = send(settings, DRAFTS, RUNNING_MONTH, limit=2)
    assert len(first.ids("accepted")) == 2
    second = send(settings, DRAFTS, RUNNING_MONTH)
    assert len(second.ids("accepted")) == 1
    waiting = second.ids("deferred")
    assert {second.reason(i) for i in waiting} == {"limit_drafts_per_day"}
    assert "limit 3 a day, 2 made today before this run" in second.rows.loc[waiting[0], "reasons"]
    assert second.result.summary.stopped == ""
    third = send(settings, DRAFTS, RUNNING_MONTH)
    assert third.ids("accepted") == []
    assert len(way.posts) == 3
    the_next_day(settings)
    fourth = send(settings, DRAFTS, RUNNING_MONTH)
    assert len(fourth.ids("accepted")) == 3
    assert set(fourth.ids("accepted")) <= set(waiting)


def test_drafts_of_another_month_and_lost_answers_count_refusals_do_not(way):
    settings = with_limits(way, drafts_per_day=2)
    way.on_post = lambda _asked: refusal()
    send(settings, DRAFTS, RUNNING_MONTH, limit=1)
    way.on_post = lambda _asked: None
    way.lose_answers = True
    lost = send(settings, DRAFTS, OPEN_MONTH, limit=1)
    assert len(lost.ids("uncertain")) == 1
    way.lose_answers = False
    assert len(send(settings, DRAFTS, RUNNING_MONTH).ids("accepted")) == 1


def test_a_plan_shows_what_a_limit_puts_off(way):
    settings = with_limits(way, rows_per_run={"loan_drafts": 1})
    planned = send(settings, DRAFTS, RUNNING_MONTH, dry_run=True)
    assert len(planned.ids("planned")) == 1
    sent = send(settings, DRAFTS, RUNNING_MONTH)
    assert sent.ids("accepted") == planned.ids("planned")
    assert sent.ids("deferred") == planned.ids("deferred")
    assert sent.result.digest == planned.result.digest


def test_a_report_goes_out_over_several_runs_and_no_figure_twice(way):
    settings = with_limits(way, rows_per_run={"repayments": 6})
    sent = [send(settings, REPAYMENTS, OPEN_MONTH).ids("accepted") for _ in range(4)]
    everything = [i for ids in sent for i in ids]
    assert len(everything) == len(set(everything)) > 6
    assert sent[-1] == []
    assert max(len(ids) for ids in sent) <= 6


def the_next_day(settings) -> None:
    """As if what was sent so far had been sent yesterday."""
    ledger = settings.state.folder / "ledger.sqlite"
    with sqlite3.connect(ledger) as connection:
        connection.execute("UPDATE attempt SET started_at = '2026-01-01T00:00:00.000000Z'")


def test_the_partners_day_begins_at_their_midnight():
    from zoneinfo import ZoneInfo

    from kiva_pipeline.clock import Clock

    began = Clock("Pacific/Kiritimati").day_began()
    there = began.astimezone(ZoneInfo("Pacific/Kiritimati"))
    assert (there.hour, there.minute) == (0, 0)
    assert 0 <= (datetime.now(there.tzinfo) - there).total_seconds() < 26 * 3600
