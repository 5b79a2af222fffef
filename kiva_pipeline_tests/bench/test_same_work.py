"""The bench's variants do the same work, counted by the server and by their ledgers; never timed."""

import pytest

from kiva_pipeline_tests.bench.__main__ import Bench
from kiva_pipeline_tests.bench.measure import NotTheSameWorkError, Work, rounds
from kiva_pipeline_tests.bench.world import NoopServer


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with NoopServer() as server:
        yield Bench(tmp_path_factory.mktemp("bench"), server, rows=1_000, drafts=10, times=1)


def test_every_variant_sends_each_figure_once(bench):
    assert len(list(bench.report())) == 3


def test_a_re_run_sends_nothing(bench):
    assert len(list(bench.again())) == 1


def test_drafts_go_with_their_photos(bench):
    assert len(list(bench.drafts_with_photos())) == 1
    assert bench.server.counts()["photos"] == 10


def test_a_variant_that_does_less_is_found_out(bench):
    task = bench._report_task(1_000)
    with pytest.raises(NotTheSameWorkError, match="should have done"):
        rounds(["report_floor"], task, bench.server, Work(1_001, 1_000, 4, 1_000), times=1)
