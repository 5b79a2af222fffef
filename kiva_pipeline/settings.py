"""The partner's settings: one YAML file with a version, plus secrets from the environment.

What must not break: the choices that invert or misplace every figure when wrong
(``repayments.amount``, ``repayments.column_format``, ``journals.mark``, ``environment``) have no
default, and no secret is ever read from the file or shown by a ``repr``.
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from kiva_pipeline.clock import Clock
from kiva_pipeline.errors import SettingsError
from kiva_pipeline.periods import Month, ReportingCalendar

SETTINGS_VARIABLE = "KIVA_PIPELINE_SETTINGS"
CLIENT_ID_VARIABLE = "KIVA_CLIENT_ID"
CLIENT_SECRET_VARIABLE = "KIVA_CLIENT_SECRET"  # noqa: S105  the variable's name, not a secret
FIELD_KEY_VARIABLE = "KIVA_PIPELINE_FIELD_KEY"
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


def _text(value: object) -> object:
    # YAML reads `145` as a number and `0042` as another one: ids must be quoted on purpose.
    if isinstance(value, int) and not isinstance(value, bool):
        msg = f'a text in quotes: write "{value}"'
        raise ValueError(msg)  # noqa: TRY004  pydantic collects ValueErrors only
    return value


def _month(value: object) -> object:
    return Month.parse(value) if isinstance(value, str) else value


Id = Annotated[str, BeforeValidator(_text), Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Partner(_Section):
    """The Field Partner whose loans these are."""

    id: Id
    name: str = ""


class Api(_Section):
    """How to reach Kiva; what is left out comes from the environment's preset."""

    auth_url: str | None = None
    audience: str | None = None
    base_url: str | None = None
    connect_timeout_seconds: float = Field(10.0, gt=0, le=120)
    read_timeout_seconds: float = Field(60.0, gt=0, le=600)
    proxy: str | None = None
    ca_bundle: Path | None = None
    page_size: int = Field(300, ge=1, le=300)
    max_in_flight: int = Field(4, ge=1, le=32)
    retry_after_cap_seconds: float = Field(120.0, ge=0, le=3600)


class Calendar(_Section):
    """The partner's clock and Kiva's reporting days."""

    timezone: str
    first_month: Annotated[Month, BeforeValidator(_month)]
    opens: int = Field(2, ge=1, le=28)
    reporting_day: int = Field(15, ge=1, le=28)
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


class DemoSource(_Section):
    """The demo MIS: an SQLite file that ``kiva-pipeline demo`` fills."""

    kind: Literal["demo"]
    path: Path


Source = DemoSource


class LoanDrafts(_Section):
    """What PA2 wants of a loan draft."""

    max_photo_bytes: int = Field(8_000_000, gt=0)
    warn_days_before_window_shuts: int = Field(5, ge=0, le=29)


class Repayments(_Section):
    """What the monthly report says, and how."""

    amount: Literal["principal_repaid", "principal_outstanding"]
    column_format: Literal["two_column", "three_column"]
    batch_size: int = Field(200, ge=1, le=300)
    repayments_replace: bool = False
    # A figure may rise by this share of the principal in one month before a person is asked.
    hold_jump_above: float = Field(1.0, gt=0, le=1)
    count_chargebacks: bool = True


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
    ledger_url: str | None = None
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
    mapping: ListSpellings = ListSpellings()
    state: State = State()

    @model_validator(mode="after")
    def _right_kiva(self) -> "Settings":
        if self.calendar.practice_today and self.environment is not Environment.SANDBOX:
            msg = "calendar.practice_today only with environment: sandbox"
            raise ValueError(msg)
        host = urlsplit(self.hosts.base_url).hostname or ""
        loopback = host in {"127.0.0.1", "localhost", "::1"}
        if (self.environment is Environment.SANDBOX) != loopback:
            msg = (
                f"environment: {self.environment} with a host that belongs to it"
                f" (api.base_url points at “{host}”; the sandbox is on this machine, Kiva is not)"
            )
            raise ValueError(msg)
        looks_staging = "stag" in host
        if (self.environment is Environment.PRODUCTION and looks_staging) or (
            self.environment is Environment.STAGING and host == "partner-api.k1.kiva.org"
        ):
            msg = f"environment: {self.environment} with its own host, not “{host}”"
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
    def ledger_url(self) -> str:
        """SQLAlchemy's URL of the ledger."""
        return self.state.ledger_url or f"sqlite+pysqlite:///{self.state.folder / 'ledger.sqlite'}"


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
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SettingsError(
            f"There is no settings file {file}.",
            f"Point --settings or {SETTINGS_VARIABLE} at your partner.yaml,"
            " or run `kiva-pipeline demo` to get a practice one.",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{file} can't be read ({type(error).__name__}).",
            "It must be a UTF-8 text file that this account may read.",
        ) from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(
            f"{file}{where}: not readable as YAML ({getattr(error, 'problem', None) or 'syntax'}).",
            "Check the indentation, the quotes and the colons there.",
        ) from error
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: expected keys and values.", "See the README for an example.")
    return parse_settings(content, file)


def parse_settings(content: Mapping[str, Any], file: Path) -> Settings:
    """Validate settings that were read from ``file``; relative paths are taken from its folder.

    Raises:
        SettingsError: As ``load_settings``.
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
        lines = [_explain(problem) for problem in error.errors()]
        message = f"{file}: " + (
            lines[0] if len(lines) == 1 else "\n  - ".join([f"{len(lines)} keys", *lines])
        )
        raise SettingsError(message) from None
    folder = file.resolve().parent
    return settings.model_copy(
        update={
            "state": settings.state.model_copy(
                update={"folder": folder / settings.state.folder.expanduser()}
            ),
            "source": settings.source.model_copy(
                update={"path": folder / settings.source.path.expanduser()}
            ),
            "api": settings.api.model_copy(
                update={
                    "ca_bundle": folder / settings.api.ca_bundle if settings.api.ca_bundle else None
                }
            ),
        }
    )


_WHY_NO_DEFAULT = {
    "repayments.amount": "getting it wrong inverts every figure, so you must choose:"
    " principal_repaid or principal_outstanding, as your PA2 training set it up",
    "repayments.column_format": "look it up in PA2 › Account › Profile › CSV upload format:"
    " two_column or three_column",
    "journals.mark": "say how your MIS marks a note for Kiva's lenders, so that staff remarks"
    " never leave: {kind: column | prefix | type, value: …}",
    "environment": "write sandbox, staging or production on purpose",
}


def _explain(problem: Any) -> str:  # noqa: ANN401  pydantic's ErrorDetails
    key = ".".join(str(part) for part in problem["loc"]) or "(the whole file)"
    kind, expected = problem["type"], problem["msg"].removeprefix("Value error, ")
    if kind == "missing":
        why = _WHY_NO_DEFAULT.get(key, "this key has no default")
        return f"{key} is missing: {why}."
    if kind == "extra_forbidden":
        near = _near(problem["loc"])
        return f"{key} is not a key I know" + (f"; did you mean {near}?" if near else ".")
    return f"{key}: expected {expected[0].lower()}{expected[1:]}."


def _near(location: tuple[int | str, ...]) -> str | None:
    model: type[BaseModel] | None = Settings
    for part in location[:-1]:
        annotation = model.model_fields[str(part)].annotation if model else None
        options = [annotation, *get_args(annotation)]
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
        if model is None:
            return None
    close = difflib.get_close_matches(str(location[-1]), model.model_fields if model else [], 1)
    return close[0] if close else None
