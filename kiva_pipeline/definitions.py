"""The code location: everything that Dagster loads, and nothing else.

Importing this module reads nothing. Loading it reads one YAML file, the partner's settings: the
time zone and the first month make the partitions. No database, no network, no secret.
"""

import os
from pathlib import Path

import dagster as dg

from kiva_pipeline.assets.frame_io import FrameStore
from kiva_pipeline.assets.journals import journal_assets
from kiva_pipeline.assets.kiva import kiva_lists, kiva_loans
from kiva_pipeline.assets.loan_drafts import loan_draft_assets
from kiva_pipeline.assets.mis import mis_assets
from kiva_pipeline.assets.partitions import month_partitions
from kiva_pipeline.assets.repayments import repayment_assets
from kiva_pipeline.assets.reporting import reporting_assets
from kiva_pipeline.assets.resources import (
    KivaResource,
    LedgerResource,
    MisResource,
    PartnerResource,
)
from kiva_pipeline.automation.act_adopt import adopt_job
from kiva_pipeline.automation.acts import act_jobs
from kiva_pipeline.automation.jobs import jobs
from kiva_pipeline.automation.schedules import schedules
from kiva_pipeline.demo_home import default_settings_file, unborn_demo_settings
from kiva_pipeline.settings import (
    CLIENT_ID_VARIABLE,
    CLIENT_SECRET_VARIABLE,
    SETTINGS_VARIABLE,
    Environment,
    Settings,
    load_settings,
)
from kiva_pipeline.submission.reporting_period import marks_of_partner


@dg.definitions
def definitions() -> dg.Definitions:
    """The pipeline of ``KIVA_PIPELINE_SETTINGS``, else of ``partner.yaml`` here, else the demo."""
    named = os.environ.get(SETTINGS_VARIABLE)
    file = Path(named) if named else default_settings_file()
    settings = load_settings(file) if named or file.exists() else unborn_demo_settings()
    return build_definitions(settings, file)


def build_definitions(settings: Settings, file: Path) -> dg.Definitions:
    """Everything of one partner.

    Args:
        settings: For the partitions and the schedules.
        file: Where a run reads the settings again.
    """
    months = month_partitions(settings.calendar)
    partner = PartnerResource(settings_file=str(file.absolute()))
    sandbox = settings.environment is Environment.SANDBOX
    return dg.Definitions(
        assets=[
            kiva_lists,
            kiva_loans,
            *mis_assets(months),
            *loan_draft_assets(months),
            *repayment_assets(months),
            *journal_assets(months),
            *reporting_assets(months),
        ],
        jobs=[*jobs(), *act_jobs(), adopt_job()],
        schedules=schedules(settings.calendar, lambda: marks_of_partner(settings)),
        executor=dg.in_process_executor,
        resources={
            "io_manager": FrameStore(folder=str(settings.frames_folder)),
            "partner": partner,
            "mis": MisResource(partner=partner),
            "ledger": LedgerResource(partner=partner),
            "kiva": KivaResource(
                partner=partner,
                # The sandbox's credentials are well known; all others come by name, unread.
                client_id="sandbox" if sandbox else dg.EnvVar(CLIENT_ID_VARIABLE),
                client_secret="sandbox" if sandbox else dg.EnvVar(CLIENT_SECRET_VARIABLE),
            ),
        },
    )
