"""Senders in processes of their own, so that a test can kill them for good.

They are forked from a server that has imported everything once: a start costs milliseconds.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.submit import SubmitOptions, submit
from kiva_pipeline_tests.submission.books import PARTNER, SECRETS, Photos, Row, actor, submission_of
from kiva_pipeline_tests.submission.desk import TwoDoors

_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Job:
    """One run of a sender: all that its process has to know.

    Attributes:
        posts_to: Where it posts, if not where it asks.
        deadly_photo: Reading this photo kills the process.
    """

    ledger_url: str
    settings: Settings
    kind: PostKind
    rows: Sequence[Row]
    folder: Path
    run_id: str = "child"
    posts_to: str = ""
    deadly_photo: str = ""


class _DeadlyPhotos(Photos):
    deadly = ""

    def __call__(self, reference: str) -> bytes:
        if reference == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(reference)


def _send(job: Job) -> None:
    photos = _DeadlyPhotos()
    photos.deadly = job.deadly_photo
    there = job.settings.api.model_copy(update={"base_url": job.posts_to or None})
    posting = job.settings.model_copy(update={"api": there}) if job.posts_to else job.settings
    book = Ledger.open(job.ledger_url, environment="sandbox", partner_id=PARTNER)
    with (
        PartnerApi.open(job.settings, SECRETS, tries=1) as asks,
        PartnerApi.open(posting, SECRETS, tries=1) as posts,
    ):
        submit(
            submission_of(job.kind, job.rows, job.settings, job.folder, listed=asks.loans,
                          photos=photos),
            ledger=book, api=TwoDoors(asks, posts), settings=job.settings, actor=actor(job.run_id),
            spool_folder=job.folder, options=SubmitOptions(),
        )  # fmt: skip
    book.close()


@dataclass
class Child:
    """A sender at work; ``kill`` from any thread, as soon as it exists."""

    _process: BaseProcess | None = None
    _started: threading.Event = field(default_factory=threading.Event)

    def start(self, job: Job) -> "Child":
        """Begin."""
        self._process = _FORKSERVER.Process(target=_send, args=(job,))
        self._process.start()
        self._started.set()
        return self

    @property
    def pid(self) -> int:
        """Its process id, once it has one."""
        assert self._started.wait(30)
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send a signal; one that is dead already needs none."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.signal(signal.SIGKILL)

    def ended(self) -> Any:
        """Wait for its end; the exit code, negative for a signal."""
        assert self._process is not None
        self._process.join(60)
        assert self._process.exitcode is not None
        return self._process.exitcode
