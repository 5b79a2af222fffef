"""The partner's settings: one YAML file with a version, plus secrets from the environment.

What must not break: the choices that invert or misplace every figure when wrong
(``repayments.amount``, ``repayments.column_format``, ``journals.mark``, ``environment``) have no
default, and no secret is ever read from the file or shown by a ``repr``.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from kiva_pipeline.clock import Clock
from kiva_pipeline.errors import SettingsError
from kiva_pipeline.periods import ReportingCalendar
from kiva_pipeline.settings_choices import WHY_NO_DEFAULT
from kiva_pipeline.settings_fields import (
    DayOfMonth,
    Id,
    LedgerAddress,
    MonthText,
    PasswordlessAddress,
    WebAddress,
)
from kiva_pipeline.settings_file import explain, read_mapping
from kiva_pipeline.settings_limits import Limits

SETTINGS_VARIABLE = "KIVA_PIPELINE_SETTINGS"
CLIENT_ID_VARIABLE = "KIVA_CLIENT_ID"
CLIENT_SECRET_VARIABLE = "KIVA_CLIENT_SECRET"  # noqa: S105  the variable's name, not a secret
FIELD_KEY_VARIABLE = "KIVA_PIPELINE_FIELD_KEY"
BY_VARIABLE = "KIVA_PIPELINE_BY"  # the name of the person who acts
SETTINGS_VERSION = 1


class Environment(StrEnum):
    """Which Kiva this partner's file talks to."""

    SANDBOX = "sandbox"
    STAGING = "staging"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class Hosts:
    """The three addresses of one Kiva environment."""

    auth_url: str
    audience: str
    base_url: str


# Kiva's own sources disagree on some of these, so each can be overridden under `api:`.
PRESETS = {
    Environment.STAGING: Hosts(
        "https://auth.staging.kiva.org/oauth/token",
        "https://partner-api-stage.dk1.kiva.org",
        "https://partnerapi.staging.kiva.org",
    ),
    Environment.PRODUCTION: Hosts(
        "https://auth.k1.kiva.org/oauth/token",
        "https://partner-api.k1.kiva.org",
        "https://partner-api.k1.kiva.org",
    ),
    Environment.SANDBOX: Hosts(
        "http://127.0.0.1:8765/oauth/token", "kiva-sandbox", "http://127.0.0.1:8765"
    ),
}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Partner(_Section):
    """The Field Partner whose loans these are."""

    id: Id
    name: str = ""


class Api(_Section):
    """How to reach Kiva; what is left out comes from the environment's preset."""

    auth_url: WebAddress | None = None
    audience: str | None = None
    base_url: WebAddress | None = None
    connect_timeout_seconds: float = Field(10.0, gt=0, le=120)
    read_timeout_seconds: float = Field(60.0, gt=0, le=600)
    proxy: PasswordlessAddress | None = None
    ca_bundle: Path | None = None
    page_size: int = Field(300, ge=1, le=300)
    max_in_flight: int = Field(4, ge=1, le=32)
    retry_after_cap_seconds: float = Field(120.0, ge=0, le=3600)


class Calendar(_Section):
    """The partner's clock and Kiva's reporting days."""

    timezone: str
    first_month: MonthText
    opens: DayOfMonth = 2
    reporting_day: DayOfMonth = 15
    practice_today: date | None = None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            msg = f"an IANA time zone such as Africa/Kigali, not “{value}”"
            raise ValueError(msg) from error
        return value

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> "Calendar":
        if self.opens > self.reporting_day:
            msg = f"opens ({self.opens}) not after reporting_day ({self.reporting_day})"
            raise ValueError(msg)
        return self

    @property
    def reporting(self) -> ReportingCalendar:
        """The days between which a month's report may be posted."""
        return ReportingCalendar(self.opens, self.reporting_day)


class _AnySource(_Section):
    # `id_aliases.csv`: the ids that a migration of the MIS changed, beside those that Kiva knows.
    id_aliases: Path | None = None


class DemoSource(_AnySource):
    """The demo MIS: an SQLite file that ``kiva-pipeline demo`` fills."""

    kind: Literal["demo"]
    path: Path


Source = DemoSource


class LoanDrafts(_Section):
    """What PA2 wants of a loan draft."""

    max_photo_bytes: int = Field(8_000_000, gt=0)
    warn_days_before_window_shuts: int = Field(5, ge=0, le=29)


# What a type of transaction is to the figure: it repays principal, takes a repayment back, was
# recovered after a write-off, or has nothing to do with principal.
TransactionKind = Literal["repaid", "charged_back", "recovered", "ignored"]


class MassChange(_Section):
    """When so many figures of a month look wrong that none may go until a person looked."""

    # Of the loans that Kiva expects; rows that fall, leap, are missing or are first reports.
    share: float = Field(0.05, gt=0, le=1)
    at_least: int = Field(5, ge=1)
    # A figure that rises by more than this share of its principal counts.
    jump_above: float = Field(0.5, gt=0, le=1)


class Repayments(_Section):
    """What the monthly report says, and how."""

    amount: Literal["principal_repaid", "principal_outstanding"]
    column_format: Literal["two_column", "three_column"]
    batch_size: int = Field(200, ge=1, le=300)
    repayments_replace: bool = False
    # A figure may rise by this share of the principal in one month before a person is asked.
    hold_jump_above: float = Field(1.0, gt=0, le=1)
    mass_change: MassChange = MassChange()
    count_chargebacks: bool = True
    # Money that came back after a write-off: Kiva has to say whether it counts as repaid.
    recoveries: Literal["hold", "count", "ignore"] = "hold"
    # Types of the MIS that the program does not know, or that are something else here.
    transaction_types: dict[str, TransactionKind] = {}


class NoteMark(_Section):
    """How the MIS marks a note as written for Kiva's lenders; all other notes never leave."""

    kind: Literal["column", "prefix", "type"]
    value: str = Field(min_length=1)


class Journals(_Section):
    """Which notes are for lenders, and the shape Kiva takes them in."""

    mark: NoteMark
    path: Literal["partner", "partners"] = "partner"
    envelope: Literal["journals", "bare"] = "journals"
    per_post: Literal[1] = 1


class ListSpellings(_Section):
    """Spellings of the MIS that Kiva's lists write otherwise: ``{"retail shop": "Retail"}``."""

    activities: dict[str, str] = {}
    themes: dict[str, str] = {}
    languages: dict[str, str] = {}
    locations: dict[str, str] = {}
    genders: dict[str, Literal["male", "female", "unknown"]] = {}


class State(_Section):
    """Where the ledger and the frames live; both hold personal data."""

    folder: Path = Path(".kiva_pipeline")
    ledger_url: LedgerAddress | None = None
    wait_for_lock_seconds: float = Field(120.0, ge=0, le=3600)


class Settings(_Section):
    """All that one partner's pipeline needs to know, validated; ``load_settings`` makes it."""

    version: Literal[1]
    environment: Environment
    partner: Partner
    api: Api = Api()
    calendar: Calendar
    source: Source
    loan_drafts: LoanDrafts = LoanDrafts()
    repayments: Repayments
    journals: Journals
    limits: Limits = Limits()
    mapping: ListSpellings = ListSpellings()
    state: State = State()

    @model_validator(mode="after")
    def _right_kiva(self) -> "Settings":
        if self.calendar.practice_today and self.environment is not Environment.SANDBOX:
            msg = "calendar.practice_today is for environment: sandbox only; remove it"
            raise ValueError(msg)
        for key, url in (("auth_url", self.hosts.auth_url), ("base_url", self.hosts.base_url)):
            if wrong := _wrong_host(self.environment, url):
                msg = f"api.{key} does not belong to environment: {self.environment}: {wrong}"
                raise ValueError(msg)
        return self

    @property
    def hosts(self) -> Hosts:
        """The addresses in force: the preset of the environment, with what ``api:`` overrides."""
        preset = PRESETS[self.environment]
        return Hosts(
            self.api.auth_url or preset.auth_url,
            self.api.audience or preset.audience,
            self.api.base_url or preset.base_url,
        )

    @property
    def clock(self) -> Clock:
        """The partner's clock."""
        return Clock(self.calendar.timezone, self.calendar.practice_today)

    @property
    def frames_folder(self) -> Path:
        """Where the assets' frames are kept as Parquet, one file a partition."""
        return self.state.folder / "frames"

    @property
    def expected_folder(self) -> Path:
        """Where each month's list of expected loans is kept."""
        return self.state.folder / "expected"

    @property
    def ledger_url(self) -> str:
        """SQLAlchemy's URL of the ledger."""
        return self.state.ledger_url or f"sqlite+pysqlite:///{self.state.folder / 'ledger.sqlite'}"


def _wrong_host(environment: Environment, url: str) -> str:
    """Why an address can't be one of this environment's, or nothing."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    loopback = host in {"127.0.0.1", "localhost", "::1"}
    if environment is Environment.SANDBOX:
        return "" if loopback else f"the sandbox is on this machine, “{host}” is not"
    if loopback:
        return f"Kiva is not on this machine, and “{host}” is"
    if parts.scheme != "https":
        return "it would carry the secret unencrypted; write https"
    other = {Environment.STAGING: Environment.PRODUCTION,
             Environment.PRODUCTION: Environment.STAGING}[environment]  # fmt: skip
    of_other = {urlsplit(address).hostname for address in
                (PRESETS[other].auth_url, PRESETS[other].base_url)}  # fmt: skip
    looks_staging = environment is Environment.PRODUCTION and "stag" in host
    return f"“{host}” is {other}'s" if host in of_other or looks_staging else ""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What only the environment may hold; shown by no ``repr``."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)

    @classmethod
    def from_environment(
        cls, environment: Environment, variables: Mapping[str, str] | None = None
    ) -> "Secrets":
        """Read the credentials of this environment.

        The sandbox has well-known credentials of its own, so that a rehearsal needs no key and
        never meets those that a shell holds for Kiva.

        Raises:
            SettingsError: A variable is missing; it is named, its value never is.
        """
        if environment is Environment.SANDBOX:
            return cls("sandbox", "sandbox")
        values = os.environ if variables is None else variables
        missing = [n for n in (CLIENT_ID_VARIABLE, CLIENT_SECRET_VARIABLE) if not values.get(n)]
        if missing:
            raise SettingsError(
                f"The environment has no {' and no '.join(missing)}.",
                "Set what Kiva gave you for the Partner API; secrets are read from the environment"
                " only, never from the settings file.",
            )
        return cls(
            values[CLIENT_ID_VARIABLE],
            values[CLIENT_SECRET_VARIABLE],
        )


def load_settings(path: Path | str) -> Settings:
    """Read and validate a partner's YAML file.

    Relative paths in it are taken from the folder that it lies in.

    Args:
        path: The file; usually ``partner.yaml``.

    Raises:
        SettingsError: The file can't be read, or a key is missing, unknown or wrong: the message
            names the file, each key, what was expected and the fix.
    """
    how = (
        f"Point --settings or {SETTINGS_VARIABLE} at your partner.yaml,"
        " or run `kiva-pipeline demo` to get a practice one."
    )
    return parse_settings(read_mapping(Path(path), how_to_get_one=how), Path(path))


def parse_settings(content: Mapping[str, Any], file: Path) -> Settings:
    """Validate settings that were read from ``file``; relative paths are taken from its folder.

    Raises:
        SettingsError: As ``load_settings``; all problems at once.
    """
    version = content.get("version")
    if isinstance(version, int) and version > SETTINGS_VERSION:
        raise SettingsError(
            f"{file}: version: {version} is newer than this program knows ({SETTINGS_VERSION}).",
            "Install a newer kiva_pipeline.",
        )
    try:
        settings = Settings.model_validate(content)
    except ValidationError as error:
        lines = [explain(problem, Settings, WHY_NO_DEFAULT) for problem in error.errors()]
        message = f"{file}: " + (
            lines[0] if len(lines) == 1 else "\n  - ".join([f"{len(lines)} problems", *lines])
        )
        raise SettingsError(message) from None
    folder = file.resolve().parent
    state, source, api = settings.state, settings.source, settings.api
    bundle = api.ca_bundle and folder / api.ca_bundle.expanduser()
    aliases = source.id_aliases and folder / source.id_aliases.expanduser()
    return settings.model_copy(
        update={
            "state": state.model_copy(update={"folder": folder / state.folder.expanduser()}),
            "source": source.model_copy(
                update={"path": folder / source.path.expanduser(), "id_aliases": aliases}
            ),
            "api": api.model_copy(update={"ca_bundle": bundle}),
        }
    )
