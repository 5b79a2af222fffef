"""A desk at which a partner's months are sent: the public door, a real client and a real ledger."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.partner_api.exchange import Exchange, PostKind
from kiva_pipeline.periods import Month
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.month_submission import Submission
from kiva_pipeline.submission.submit import SubmitOptions, SubmitResult, submit
from kiva_pipeline_tests.submission.books import (
    PARTNER,
    SECRETS,
    Photos,
    Row,
    actor,
    attempts,
    decided,
    give_baselines,
    settings_for,
    states,
    submission_of,
    versions,
)
from kiva_pipeline_tests.submission.kiva import LoopbackKiva


@dataclass
class Desk:
    """Sends months of rows to a Kiva; each run has a new client, as a new process would.

    Attributes:
        pauses: The seconds that the sender was asked to wait, which nobody waits here.
        on_pause: Called meanwhile.
    """

    kiva: LoopbackKiva
    book: Ledger
    settings: Settings
    folder: Path
    photos: Photos = field(default_factory=Photos)
    pauses: list[float] = field(default_factory=list)
    on_pause: Callable[[], None] = lambda: None
    runs: int = 0

    def having(self, **sections: Any) -> "Desk":
        """The same desk under other settings."""
        own = {"state": {"folder": self.settings.state.folder, "wait_for_lock_seconds": 0}}
        merged = {**own, **sections}
        if "state" in sections:
            merged["state"] = own["state"] | sections["state"]
        return replace(self, settings=settings_for(self.kiva.url, **merged))

    def run(
        self,
        kind: PostKind,
        rows: Sequence[Row],
        *,
        month: Month | None = None,
        api: Any = None,
        chunk_rows: int = 25_000,
        baselines: bool = True,
        **options: Any,
    ) -> SubmitResult:
        """One run, with what must hold after every one of them."""
        self.runs += 1
        if baselines:
            give_baselines(self.book, kind, rows)
        with PartnerApi.open(self.settings, SECRETS, tries=1) as own:
            client = api or own
            of = submission_of(
                kind, rows, self.settings, self.folder, month=month, listed=client.loans,
                photos=self.photos, chunk_rows=chunk_rows,
            )  # fmt: skip
            result = submit(
                of,
                ledger=self.book,
                api=client,
                settings=self.settings,
                actor=actor(f"run-{self.runs}"),
                spool_folder=self.folder,
                options=SubmitOptions(pause=self._pause, **options),
            )
        self.must_hold(rows, result)
        if not options.get("dry_run"):
            self._told_is_kept(of, result)
        return result

    def must_hold(self, rows: Sequence[Row], result: SubmitResult) -> None:
        """Every row has a decision, nothing is under way, and every POST was announced."""
        decisions = result.decisions.read()
        assert decisions["business_id"].is_unique
        assert set(decisions["business_id"]) >= {row["business_id"] for row in rows}
        assert result.tally.mis_rows == sum(row["mis_rows"] for row in rows)
        assert result.tally.total == len(decisions)
        assert (decisions["reason_code"] != "").all()
        assert "in_flight" not in states(self.book).values()
        assert all(attempt["verdict"] for attempt in attempts(self.book))
        assert self.kiva.unannounced == []

    def _told_is_kept(self, of: Submission, result: SubmitResult) -> None:
        """What a run tells of a row that it sent, or that is in doubt, is what the ledger keeps."""
        newest = {
            v["business_id"]: v for v in versions(self.book)
            if (v["kind"], v["period"]) == (of.kind.value, of.period)
        }  # fmt: skip
        mine = {a["id"] for a in attempts(self.book) if a["run_id"] == f"run-{self.runs}"}
        for business_id, decision in decided(result).items():
            kept = newest.get(business_id)
            assert decision != "planned"
            assert kept is None or kept["state"] != "planned"
            if kept and (kept["attempt_id"] in mine or kept["state"] == "uncertain"):
                assert decision == kept["state"], business_id
            if decision in {"accepted", "uncertain", "deferred"} and kept:
                assert decision == kept["state"], business_id
        for kept in newest.values():
            assert kept["attempt_id"] not in mine or kept["business_id"] in decided(result)

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.on_pause()


@dataclass
class TwoDoors:
    """Asks Kiva by one client and posts by another, whose Kiva may not be reachable."""

    asks: PartnerApi
    posts: PartnerApi

    def check_grant(self, needed_scopes: list[str]) -> object:
        return self.asks.check_grant(needed_scopes)

    def loans_total(self) -> int:
        return self.asks.loans_total()

    def loans(self) -> Any:
        return self.asks.loans()

    def post(self, kind: PostKind, body: bytes, attempt_id: str) -> Exchange:
        return self.posts.post(kind, body, attempt_id)


@contextmanager
def another_program(desk: Desk) -> Iterator[Ledger]:
    """The same ledger, opened once more."""
    book = Ledger.open(desk.kiva.ledger_url, environment="sandbox", partner_id=PARTNER)
    yield book
    book.close()
