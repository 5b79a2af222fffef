"""Worlds for the command line: one to look at, and one in which two months were sent twice."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from kiva_pipeline_tests.cli.terminal import Done, kiva
from kiva_pipeline_tests.worlds import World, demo_world

MONTHS = ("2026-09", "2026-10")


@dataclass(frozen=True)
class Ran:
    """A world whose two months were run, and run again.

    Attributes:
        world: The world.
        first: The first run of both months, as JSON.
        posts: What the sandbox had received then.
        second: The second run.
        posts_after: And what it had received then.
    """

    world: World
    first: Done
    posts: int
    second: Done
    posts_after: int


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A partner that nothing was sent for; tests leave it as they find it."""
    with demo_world(tmp_path_factory, loans=120) as made:
        yield made


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """A partner whose months were sent; tests only look at it."""
    with demo_world(tmp_path_factory, loans=120) as made:
        both = ("run", "..".join(MONTHS), "--json", "--settings", made.settings_file)
        first = kiva(*both)
        posts = made.posts()
        yield Ran(made, first, posts, kiva(*both), made.posts())
