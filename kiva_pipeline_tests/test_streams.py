"""The steps between the MIS and the rules: asked by what Kiva expects, and nobody lost in a chunk."""

import json
import sqlite3

import dagster as dg
import pandas as pd
import pytest

from kiva_pipeline import streams
from kiva_pipeline.assets.resources import LedgerResource, PartnerResource
from kiva_pipeline.expected import expected_loans
from kiva_pipeline.frames import write_frame
from kiva_pipeline.mis.open import open_source
from kiva_pipeline.partner_api.records import EXPECTED_STATUSES, KIVA_LOAN_COLUMNS
from kiva_pipeline.periods import Month
from kiva_pipeline_tests.pipelines import Pipeline, frame_of
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, demo_world

MONTH = OPEN_MONTH


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A world whose drafts of both months were sent and whose list of Kiva's is kept."""
    with (
        demo_world(tmp_path_factory, loans=300) as world,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        pipeline = Pipeline(world, instance)
        runs = [
            pipeline.run(str(month), "loan_drafts_of_a_month")
            for month in (OPEN_MONTH, RUNNING_MONTH)
        ]
        drafts = pd.concat([run.frame("loan_draft_submissions") for run in runs])
        yield world, drafts[drafts["decision"] == "accepted"]


@pytest.fixture
def world(ran):
    return ran[0]


@pytest.fixture
def source(world):
    with open_source(world.settings) as source:
        yield source


@pytest.fixture
def ledger(world):
    resource = LedgerResource(partner=PartnerResource(settings_file=str(world.settings_file)))
    with resource.open() as ledger:
        yield ledger


@pytest.fixture
def kiva_loans(world):
    return frame_of(world.settings, "kiva_loans").read()


@pytest.fixture
def expected(kiva_loans):
    return expected_loans(kiva_loans)


def kiva_loan(loan_id, status="payingBack", borrowers=1):
    row = dict.fromkeys(KIVA_LOAN_COLUMNS, "") | {
        "internal_loan_id": loan_id, "status": status, "borrower_count": borrowers,
        "create_time": 0, "delinquent": False,
    }  # fmt: skip
    return pd.DataFrame([row]).astype(KIVA_LOAN_COLUMNS)


def test_expected_are_the_loans_that_pay_back_or_are_defaulted_and_no_others(kiva_loans, expected):
    statuses = set(kiva_loans["status"])
    assert len(statuses) > len(EXPECTED_STATUSES)
    assert set(expected["status"]) == EXPECTED_STATUSES
    assert len(expected) == kiva_loans["status"].isin(EXPECTED_STATUSES).sum()
    assert list(expected["internal_loan_id"]) == sorted(expected["internal_loan_id"])


def test_a_group_that_this_ledger_sent_keeps_the_members_of_its_draft(ran, ledger):
    world, accepted = ran
    group = accepted[accepted["mis_rows"] > 1].iloc[0]
    members = json.loads(group["loan_ids"])
    with sqlite3.connect(world.mis) as mis:
        was = mis.execute("SELECT group_id FROM loans WHERE loan_id = ?", members[:1]).fetchone()
        mis.execute("UPDATE loans SET group_id = NULL WHERE loan_id = ?", members[:1])
    try:
        with open_source(world.settings) as source:
            asked = kiva_loan(group["business_id"], borrowers=len(members))
            found = streams.group_members(asked, ledger, source)
            today = source.group_members([group["business_id"]])
    finally:
        with sqlite3.connect(world.mis) as mis:
            mis.execute("UPDATE loans SET group_id = ? WHERE loan_id = ?", [*was, members[0]])
    assert len(today) == len(members) - 1
    assert sorted(found["loan_id"]) == sorted(members)
    assert set(found["group_id"]) == {group["business_id"]}


def test_a_group_that_the_ledger_does_not_know_has_the_members_that_the_mis_forms(
    world, expected, source, tmp_path
):
    file = world.settings_with(state={"folder": str(tmp_path)})
    new_ledger = LedgerResource(partner=PartnerResource(settings_file=str(file)))
    groups = expected[expected["borrower_count"] > 1]
    assert len(groups) > 0
    with new_ledger.open() as ledger:
        found = streams.group_members(expected, ledger, source)
    of_mis = source.group_members(list(groups["internal_loan_id"]))
    pairs = ["group_id", "loan_id"]
    assert set(of_mis[pairs].itertuples(index=False, name=None)) == set(
        found[pairs].itertuples(index=False, name=None)
    )


def test_every_expected_loan_is_asked_for_also_where_the_mis_has_no_such_loan(
    expected, ledger, source
):
    members = streams.group_members(expected, ledger, source)
    asked = pd.concat(list(streams.asked_balances(source, expected, members, MONTH.last_day)))
    singles = expected.loc[expected["borrower_count"] == 1, "internal_loan_id"]
    assert set(singles) <= set(asked["business_id"])
    lost = asked[~asked["known"]]
    assert len(lost) >= 1
    assert lost["repaid"].isna().all()
    assert asked.loc[asked["known"], "currency"].ne("").all()
    assert {n: str(k) for n, k in asked.dtypes.items()} == streams.ASKED_BALANCE_COLUMNS


def whole_report(world, source, ledger, expected, folder):
    members = streams.group_members(expected, ledger, source)
    chunks = list(streams.asked_balances(source, expected, members, MONTH.last_day))
    stored = write_frame(pd.concat(chunks, ignore_index=True), folder / "balances.parquet")
    judged = list(streams.repayment_report(stored, expected, world.settings, MONTH))
    return pd.concat([one.rows for one in judged], ignore_index=True), len(judged)


@pytest.mark.parametrize("size", [1, 7, 40])
def test_a_report_made_in_chunks_is_the_report_made_at_once(
    world, source, ledger, expected, tmp_path, monkeypatch, size
):
    at_once, one = whole_report(world, source, ledger, expected, tmp_path)
    monkeypatch.setattr(streams, "CHUNK_ROWS", size)
    in_chunks, many = whole_report(world, source, ledger, expected, tmp_path)
    assert (one, many) == (1, -(-len(expected) // size))
    pd.testing.assert_frame_equal(in_chunks, at_once)
    assert list(at_once["business_id"]) == list(expected["internal_loan_id"])


def test_no_expected_loan_gives_an_empty_report_not_an_error(world, source, ledger, tmp_path):
    nobody = kiva_loan("x", status="fundRaising").iloc[:0]
    members = streams.group_members(nobody, ledger, source)
    assert list(streams.asked_balances(source, nobody, members, MONTH.last_day)) == []
    stored = write_frame(
        pd.DataFrame(columns=list(streams.ASKED_BALANCE_COLUMNS)).astype(
            streams.ASKED_BALANCE_COLUMNS
        ),
        tmp_path / "none.parquet",
    )
    assert list(streams.repayment_report(stored, nobody, world.settings, MONTH)) == []


def test_balances_are_as_of_the_last_day_whenever_they_are_asked(source, expected, ledger):
    members = streams.group_members(expected, ledger, source)

    def repaid(month):
        chunks = streams.asked_balances(source, expected, members, month.last_day)
        return pd.concat(list(chunks)).set_index(["business_id", "loan_id"])["repaid"]

    earlier, now = repaid(MONTH.plus(-6)), repaid(MONTH)
    grown = (now - earlier).dropna()
    assert (grown >= 0).sum() > len(grown) * 0.9
    assert (grown > 0).any()
    assert repaid(Month(2000, 1)).fillna(0).eq(0).all()
