"""The send path without Dagster: what a run does for one stream of a month."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kiva_pipeline import planning
from kiva_pipeline.frames import StoredFrame, private_folder
from kiva_pipeline.mis.open import open_source
from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.periods import Month
from kiva_pipeline.settings import Secrets, Settings
from kiva_pipeline.streams import draft_submission, journal_submission, report_submission
from kiva_pipeline.submission.ledger import Ledger, history
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.month_submission import Submission
from kiva_pipeline.submission.submit import SubmitOptions, SubmitResult, submit

DRAFTS, REPAYMENTS, JOURNALS = PostKind.LOAN_DRAFT, PostKind.REPAYMENT, PostKind.JOURNAL


@dataclass(frozen=True)
class Sent:
    """What a run did: its result, and ``DECISION_COLUMNS`` by id."""

    result: SubmitResult
    rows: pd.DataFrame

    def ids(self, decision: str) -> list[str]:
        return sorted(self.rows.index[self.rows["decision"] == decision])

    def reason(self, business_id: str) -> str:
        return str(self.rows.loc[business_id, "reason_code"])


def open_ledger(settings: Settings) -> Ledger:
    return Ledger.open(
        settings.ledger_url, environment=settings.environment.value, partner_id=settings.partner.id
    )


def send(
    settings: Settings, kind: PostKind, month: Month, *, run_id: str = "run", **options: object
) -> Sent:
    """Bring Kiva up to date with one month of one stream, by the one way that there is."""
    ledger = open_ledger(settings)
    with (
        open_source(settings) as source,
        PartnerApi.open(settings, Secrets.from_environment(settings.environment)) as api,
        tempfile.TemporaryDirectory() as folder,
    ):
        kiva_loans = api.loans()
        stored = _judged(settings, kind, month, source, api, ledger, kiva_loans)
        result = submit(
            _submission(kind, month, stored, settings, source, lambda: kiva_loans),
            ledger=ledger,
            api=api,
            settings=settings,
            actor=Actor("run", run_id),
            spool_folder=Path(folder),
            options=SubmitOptions(pause=lambda _seconds: None, **options),
        )
        frame = result.decisions.read().set_index("business_id")
    ledger.close()
    return Sent(result, frame)


def _judged(settings, kind, month, source, api, ledger, kiva_loans) -> StoredFrame:
    """What the rules make of a month; made once, as long as the MIS stays as it is."""
    state = settings.source.path.stat().st_mtime_ns
    folder = private_folder(settings.source.path.parent / f"judged-{kind}-{month}-{state}")
    kept = folder / "kept.parquet"
    if not kept.exists():
        tools = planning._Tools(settings, month, source, api, ledger, folder, kiva_loans)
        made, _ = planning._STEPS[kind](tools)
        Path(str(made.rows.path)).rename(kept)
    return StoredFrame(kept)


def _submission(kind, month, stored, settings, source, kiva_loans) -> Submission:
    if kind is DRAFTS:
        return draft_submission(month, stored, source, kiva_loans)
    make = report_submission if kind is REPAYMENTS else journal_submission
    return make(month, stored, settings, kiva_loans)


def story(settings: Settings, loan_id: str) -> dict[str, list[dict]]:
    """All that the ledger knows of a loan."""
    ledger = open_ledger(settings)
    with ledger.reading() as connection:
        found = history(connection, loan_id)
    ledger.close()
    return found
