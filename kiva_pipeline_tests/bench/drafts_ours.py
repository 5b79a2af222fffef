"""Our own run of a month's drafts: the steps of the assets, one after the other, without Dagster."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd

from kiva_pipeline.field_key import field_key
from kiva_pipeline.frames import StoredFrame, write_frame
from kiva_pipeline.mis import records
from kiva_pipeline.mis.open import open_source
from kiva_pipeline.mis.source import RAW_BALANCES
from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.periods import Month
from kiva_pipeline.rules.drafts import build_loan_drafts
from kiva_pipeline.settings import Secrets, Settings, load_settings
from kiva_pipeline.streams import draft_submission
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.submit import SubmitOptions, submit
from kiva_pipeline_tests.bench import facts
from kiva_pipeline_tests.bench.mis_world import DRAFT_MONTH
from kiva_pipeline_tests.bench.world import Task, write_settings


def prepare(task: Task) -> None:
    """Settings and a born ledger; pandera imports itself at its first use."""
    records.canonical_balances(
        pd.DataFrame([facts.balance(0)], columns=list(RAW_BALANCES), dtype=object)
    )
    write_settings(
        Path(task.folder), task.port, batch=task.batch, in_flight=task.in_flight, mis=Path(task.mis)
    )
    settings = load_settings(task.settings_file)
    _ledger(settings).close()
    field_key(settings.state.folder)


def run(task: Task) -> None:
    """A month's drafts from the MIS to Kiva."""
    settings, month = load_settings(task.settings_file), Month.parse(DRAFT_MONTH)
    frames, spool = settings.frames_folder, settings.frames_folder / ".spool"
    secrets = Secrets.from_environment(settings.environment)
    with (
        closing(_ledger(settings)) as ledger,
        open_source(settings) as source,
        PartnerApi.open(settings, secrets) as api,
    ):
        assert source.counts(month).loans == task.rows
        loans = write_frame(
            records.canonical_loans(source.loans(month)), frames / "mis_loans.parquet"
        )
        instalments = records.canonical_instalments(
            source.instalments(month), loans.read(["loan_id", "currency_digits"])
        )
        schedules = write_frame(instalments, frames / "mis_instalments.parquet")
        judged = build_loan_drafts(
            loans.read(),
            schedules.read(),
            StoredFrame(Path(task.kiva_lists)).read(),
            settings=settings,
            today=settings.clock.today(),
            field_key=field_key(settings.state.folder),
        )
        rows = judged.rows.sort_values("business_id", ignore_index=True)
        drafts = write_frame(rows, frames / "loan_drafts.parquet")
        submit(
            draft_submission(month, drafts, source, api.loans),
            ledger=ledger,
            api=api,
            settings=settings,
            actor=Actor(who="run", run_id="bench"),
            spool_folder=spool,
            options=SubmitOptions(),
        )


def outcome(task: Task) -> dict[str, int]:
    """What its ledger says that Kiva has."""
    with closing(sqlite3.connect(Path(task.folder) / "ledger.sqlite")) as ledger:
        rows, total = ledger.execute(
            "SELECT count(*), sum(amount) FROM submission WHERE state = 'accepted'"
        ).fetchone()
    return {"accepted": rows, "total": total or 0}


def _ledger(settings: Settings) -> Ledger:
    return Ledger.open(
        settings.ledger_url,
        environment=settings.environment.value,
        partner_id=settings.partner.id,
    )
