"""One practice partner and one Dagster instance for the tests of a module."""

import dagster as dg
import pytest

from kiva_pipeline_tests.pipelines import Pipeline
from kiva_pipeline_tests.worlds import demo_world


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def world(tmp_path_factory):
    """A small one of the test's own, to be spoiled."""
    with demo_world(tmp_path_factory, loans=240) as world:
        yield world


@pytest.fixture
def pipeline(world, instance):
    return Pipeline(world, instance)
