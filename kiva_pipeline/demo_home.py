"""Where the demo lives and what its settings say; needs no file, so that Dagster can always load.

The folder is ``kiva-demo`` in the working folder; ``kiva-pipeline demo`` fills it.
"""

from datetime import UTC, date, datetime
from pathlib import Path

from kiva_pipeline.periods import Month
from kiva_pipeline.settings import Settings, parse_settings

DEMO_FOLDER = Path("kiva-demo")
DEMO_PARTNER_ID = "145"
DEMO_PORT = 8765


def demo_settings_file(folder: Path = DEMO_FOLDER) -> Path:
    """The demo partner's settings file."""
    return folder / "partner.yaml"


def default_settings_file() -> Path:
    """Where the settings are when nobody names them: the partner's here, else the demo's."""
    partners_own = Path("partner.yaml")
    return partners_own if partners_own.exists() else demo_settings_file()


def practice_day(today: date | None = None) -> date:
    """The demo's today: the 6th of the running month, when a report is open and drafts are made."""
    day = today or datetime.now(UTC).date()
    return day.replace(day=6)


def demo_yaml(today: date, first_month: Month, port: int = DEMO_PORT) -> str:
    """The demo partner's settings, commented as an example for a partner's own."""
    return f"""\
# The demo partner: a practice file that shows what a partner's own looks like.
version: 1
environment: sandbox # staging and production are Kiva's; the sandbox is on this machine

partner:
  id: "{DEMO_PARTNER_ID}" # in quotes: ids are texts
  name: Demo Microfinance

api:
  auth_url: http://127.0.0.1:{port}/oauth/token
  base_url: http://127.0.0.1:{port}

calendar:
  timezone: Africa/Kigali # never changed after the first run
  first_month: {first_month} # the first partition
  opens: 2 # the day of the next month from which a report may be posted
  reporting_day: 15 # the last day on which it may be
  practice_today: {today} # the sandbox only: the day that the rehearsal takes place

source:
  kind: demo
  path: mis.sqlite

repayments:
  amount: principal_repaid # or principal_outstanding: as PA2 expects it of you
  column_format: two_column # PA2 › Account › Profile › CSV upload format
  # When more than this share of a month's loans fall, leap, are missing or are first reports, the
  # whole month waits for a person. Left out: 0.05 and 5; this MIS is dirty on purpose.
  mass_change: {{share: 0.2, at_least: 25}}

journals:
  mark: {{kind: column, value: for_kiva}} # how the MIS marks a note for lenders

state:
  folder: . # the ledger and the frames live beside this file
"""


def unborn_demo_settings() -> Settings:
    """The demo's settings before ``kiva-pipeline demo`` has run: enough to load the code location.

    A run of it fails with the message that there is no settings file, and how to get one.
    """
    import yaml  # noqa: PLC0415  only where nothing is set up yet

    today = practice_day()
    text = demo_yaml(today, Month.of(today).plus(-12))
    return parse_settings(yaml.safe_load(text), demo_settings_file())
