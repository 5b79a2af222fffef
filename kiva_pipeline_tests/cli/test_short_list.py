"""A list of loans that is shorter than Kiva says stops a run: what is left out would be invoiced."""

import json

import httpx
import pytest

from kiva_pipeline.cli.main import command_line
from kiva_pipeline_tests.between import Between, between
from kiva_pipeline_tests.partner_api.servers import Asked, Reply
from kiva_pipeline_tests.worlds import demo_world


@pytest.fixture
def way(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=60) as world, between(world) as way:
        yield way


def forgets_a_loan(way: Between, asked: Asked) -> Reply | None:
    """Kiva's list without its last loan, and with its number."""
    if "/loans" not in asked.target:
        return None
    headers = {"Authorization": asked.headers["Authorization"]}
    page = httpx.get(way.world.url + asked.target, headers=headers).json()
    page["data"] = [loan for loan in page["data"] if loan["kiva_id"] != "1"]
    return Reply(page)


@pytest.mark.parametrize("stream", ["drafts", "repayments", "journals"])
def test_a_short_list_stops_each_stream_before_anything_is_sent(way, capsys, stream):
    way.on_get = lambda asked: forgets_a_loan(way, asked)
    settings = ("--settings", str(way.settings_file), "--json")
    code = command_line(["run", "2026-09", "--stream", stream, *settings])
    told = json.loads(capsys.readouterr().out)
    assert code == 4  # Kiva's API, as the help says
    (run,) = told["runs"]
    messages = " ".join(failure["message"] for failure in run["failures"])
    assert "GET /loans gave" in messages
    assert "a loan left out is invoiced as if it had paid" in messages
    assert way.world.posts() == 0
    assert run["requests"] == 0


def test_a_plan_of_a_short_list_is_refused_too(way, capsys):
    way.on_get = lambda asked: forgets_a_loan(way, asked)
    assert command_line(["plan", "2026-09", "--settings", str(way.settings_file)]) == 4
    assert "GET /loans gave" in capsys.readouterr().err
