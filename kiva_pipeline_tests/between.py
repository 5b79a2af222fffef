"""What stands between a partner and the sandbox, and does to a POST what a test tells it to.

The sandbox behind it stays the truth of what arrived.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from kiva_pipeline.settings import Settings, load_settings
from kiva_pipeline_tests.partner_api.servers import Asked, HttpServer, Reply
from kiva_pipeline_tests.worlds import World


class AnswerLostError(Exception):
    """Raised while a request is served: its connection is closed without an answer."""


Fate = Callable[[Asked], Reply | None]


@dataclass
class Between:
    """A partner's way to the sandbox.

    Attributes:
        world: The partner and the sandbox.
        settings_file: The partner's settings, by this way.
        on_post: Told of each POST before it goes on; it may give the answer itself, or raise
            ``AnswerLostError`` to swallow it.
        on_get: The same of each GET.
        lose_answers: Forward each POST, then close the connection without an answer.
        posts: The POSTs that came by.
    """

    world: World
    settings_file: Path
    on_post: Fate = lambda _asked: None
    on_get: Fate = lambda _asked: None
    lose_answers: bool = False
    posts: list[Asked] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return load_settings(self.settings_file)

    def serve(self, asked: Asked) -> Reply:
        if asked.method == "POST":
            self.posts.append(asked)
            if reply := self.on_post(asked):
                return reply
        elif reply := self.on_get(asked):
            return reply
        answer = httpx.request(
            asked.method,
            self.world.url + asked.target,
            content=asked.body,
            headers={k: v for k, v in asked.headers.items() if k.lower() in _PASSED_ON},
        )
        if asked.method == "POST" and self.lose_answers:
            raise AnswerLostError
        return Reply(answer.content, answer.status_code, {"Content-Type": "application/json"})


_PASSED_ON = {"authorization", "content-type", "x-request-id"}


def refusal(message: str = "The partner's credit limit is reached.") -> Reply:
    """Kiva's refusal of a single thing."""
    return Reply({"code": "api.refused", "message": message}, status=400)


@contextlib.contextmanager
def between(world: World, name: str = "between.yaml", **sections: Any) -> Iterator[Between]:
    """Stand between the partner of a world and its sandbox.

    Args:
        world: The partner and the sandbox.
        name: Of the settings file; it lies in the world's folder.
        sections: Settings to replace.
    """
    with HttpServer() as server:
        api = {
            "base_url": server.url,
            "auth_url": f"{world.url}/oauth/token",
            **sections.pop("api", {}),
        }
        way = Between(world, world.settings_with(name, api=api, **sections))
        server.answer = way.serve
        yield way


def told(asked: Asked) -> Any:
    """The JSON of a request."""
    return orjson.loads(asked.body)
