"""A run that is given the plan that a person saw: another one is refused before anything happens."""

import sqlite3

import pytest

from kiva_pipeline.errors import SettingsError
from kiva_pipeline.submission.plan_cards import (
    PlanCard,
    PlanMovedError,
    StreamCard,
    find_card,
    keep_card,
    stream_rows,
    what_moved,
)
from kiva_pipeline.submission.submit import ExpectedPlan
from kiva_pipeline_tests.between import between
from kiva_pipeline_tests.pipelines import Pipeline
from kiva_pipeline_tests.submission.sending import DRAFTS, open_ledger, send
from kiva_pipeline_tests.worlds import OPEN_MONTH, RUNNING_MONTH, demo_world


@pytest.fixture
def way(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=60) as world, between(world) as way:
        yield way


def ledger_of(way) -> list[tuple]:
    """Everything that was decided, without the moments."""
    ledger = open_ledger(way.settings)
    with ledger.reading() as connection:
        rows = connection.exec_driver_sql(
            "SELECT business_id, version, state, reason_code, payload_hash FROM submission"
        ).all()
    ledger.close()
    return [tuple(row) for row in rows]


def test_the_plan_that_was_seen_is_sent(way):
    seen = send(way.settings, DRAFTS, RUNNING_MONTH, dry_run=True)
    digest = seen.result.digest
    sent = send(way.settings, DRAFTS, RUNNING_MONTH, expected=ExpectedPlan(digest[:12].upper()))
    assert sent.ids("accepted") == seen.ids("planned") != []


def test_a_plan_that_moved_is_neither_written_nor_sent_and_its_counts_are_told(way):
    seen = send(way.settings, DRAFTS, RUNNING_MONTH, dry_run=True)
    before = ledger_of(way)
    with sqlite3.connect(way.world.mis) as mis:
        mis.execute("UPDATE loans SET waiver_signed_on = NULL")
    expected = ExpectedPlan(seen.result.digest, seen.result.tally.rows)
    planned = len(seen.ids("planned"))
    for dry_run in (True, False):
        with pytest.raises(PlanMovedError, match=f"planned {planned} → 0"):
            send(way.settings, DRAFTS, RUNNING_MONTH, expected=expected, dry_run=dry_run)
    assert way.posts == []
    assert ledger_of(way) == before


def test_a_digest_of_another_month_is_of_another_plan(way):
    seen = send(way.settings, DRAFTS, OPEN_MONTH, dry_run=True)
    with pytest.raises(PlanMovedError, match="what it was is not kept here"):
        send(way.settings, DRAFTS, RUNNING_MONTH, expected=ExpectedPlan(seen.result.digest))


@pytest.mark.parametrize("digest", ["", "abc", "0123456789ax", "f" * 65])
def test_what_is_no_digest_is_refused(way, digest):
    with pytest.raises(SettingsError, match="not the digest of a plan"):
        send(way.settings, DRAFTS, RUNNING_MONTH, expected=ExpectedPlan(digest))


def test_a_dry_run_in_dagster_shows_the_digest_that_its_launch_pad_takes(way):
    import dagster as dg

    job, asset = "loan_drafts_of_a_month", "loan_draft_submissions"
    with dg.DagsterInstance.ephemeral() as instance:
        pipeline = Pipeline(way.world, instance, way.settings_file)
        digest = pipeline.run("2026-10", job, dry_run=True).numbers(asset)["digest of the plan"]
        refused = pipeline.run("2026-10", job, digest="0" * 64)
        assert "moved since 000000000000" in refused.failures[asset]
        assert way.posts == []
        with sqlite3.connect(way.world.mis) as mis:
            mis.execute("UPDATE loans SET waiver_signed_on = NULL")
        moved = pipeline.run("2026-10", job, digest=digest)
        assert "planned 2 → 0" in moved.failures[asset]
        assert (
            pipeline.run("2026-10", job, digest="not hex").failures[asset].startswith("That is not")
        )


# --- cards


def card(digest: str, **rows: int) -> PlanCard:
    return PlanCard("2026-10", digest, {"loan_draft": StreamCard("5" * 64, rows)})


def test_a_card_is_found_by_the_whole_plan_and_by_a_stream(tmp_path):
    keep_card(tmp_path, card("a" * 64, planned=2))
    assert find_card(tmp_path, "a" * 12) == card("a" * 64, planned=2)
    assert stream_rows(tmp_path, "loan_draft", "5" * 12) == {"planned": 2}
    assert stream_rows(tmp_path, "journal", "5" * 12) is None
    assert find_card(tmp_path, "b" * 12) is None
    (file,) = (tmp_path / "plans").iterdir()
    assert file.stat().st_mode & 0o077 == 0


def test_only_the_newest_cards_are_kept_and_a_spoiled_one_does_no_harm(tmp_path):
    for number in range(110):
        keep_card(tmp_path, card(f"{number:064}"))
    assert len(list((tmp_path / "plans").iterdir())) == 100
    for file in (tmp_path / "plans").iterdir():
        file.write_text("{spoiled")
    assert find_card(tmp_path, f"{109:064}") is None


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({"planned": 2, "held": 1}, {"planned": 1, "blocked": 1, "held": 1}, "blocked 0 → 1, planned 2 → 1"),
        ({"planned": 2}, {"planned": 2}, "the counts are the same, but not what is in the rows"),
        (None, {"already_at_kiva": 3}, "now already at kiva 3 (what it was is not kept here any more)"),
    ],
)  # fmt: skip
def test_what_moved_is_told_in_counts(before, now, words):
    assert what_moved(before, now) == words
