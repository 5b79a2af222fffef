"""Kinds of values in a settings file: ids, months and addresses, each with what it expects.

What must not break: no message repeats a value, which may hold a password.
"""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from kiva_pipeline.errors import SettingsError
from kiva_pipeline.periods import Month

_LAST_DAY_OF_EVERY_MONTH = 28


def _text(value: object) -> object:
    # YAML reads `145` as a number and `0042` as another one (34): the file's own spelling is lost.
    if isinstance(value, int | float):
        msg = 'a text in quotes, such as "145": without them YAML takes an id for a number'
        raise ValueError(msg)  # noqa: TRY004  pydantic collects ValueErrors only
    return value


def _month(value: object) -> Month:
    try:
        return Month.parse(value if isinstance(value, str) else "")
    except SettingsError:
        msg = "a month as YYYY-MM, such as 2026-10"
        raise ValueError(msg) from None


def _in_every_month(day: int) -> int:
    if not 1 <= day <= _LAST_DAY_OF_EVERY_MONTH:
        msg = (
            "a day from 1 to 28, which every month has; for a later one write 28, and give a month"
            " that needs it more time with `kiva-pipeline extend`"
        )
        raise ValueError(msg)
    return day


def _is_web_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1)
    except ValueError:
        usable = False
    if not usable:
        msg = "a web address such as https://partner-api.k1.kiva.org"
        raise ValueError(msg)
    return url


def _has_no_password(url: str) -> str:
    if "@" in url.partition("://")[2].partition("/")[0]:
        msg = "an address without a user and a password: the file holds no secrets"
        raise ValueError(msg)
    return url


def _ledger_address(url: str) -> str:
    scheme, _, rest = url.partition("://")
    user, _, _ = rest.rpartition("@")
    if ":" in user or "password=" in rest:
        msg = (
            "an address without a password: the file holds no secrets; it comes from"
            " KIVA_PIPELINE_LEDGER_PASSWORD, PGPASSWORD or ~/.pgpass"
        )
        raise ValueError(msg)
    if scheme not in {"sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg"}:
        msg = "postgresql+psycopg://USER@HOST/DATABASE, or no key at all for an SQLite file"
        raise ValueError(msg)
    if scheme.startswith("sqlite") and not rest.startswith("//"):
        msg = "an absolute path, sqlite:////FOLDER/FILE: any other one names a new, empty ledger"
        raise ValueError(msg)
    return url


DayOfMonth = Annotated[int, AfterValidator(_in_every_month)]
Id = Annotated[str, BeforeValidator(_text), Field(min_length=1)]
MonthText = Annotated[Month, BeforeValidator(_month)]
PasswordlessAddress = Annotated[str, AfterValidator(_has_no_password)]
LedgerAddress = Annotated[str, AfterValidator(_ledger_address)]
WebAddress = Annotated[str, AfterValidator(_has_no_password), AfterValidator(_is_web_address)]
