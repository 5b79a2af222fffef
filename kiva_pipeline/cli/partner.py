"""The partner that a command works for: settings, months and ledger, with clear refusals."""

import contextlib
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from kiva_pipeline.demo_home import default_settings_file
from kiva_pipeline.errors import LedgerError, SettingsError
from kiva_pipeline.periods import Month
from kiva_pipeline.settings import Calendar, Settings, load_settings

if TYPE_CHECKING:
    from kiva_pipeline.submission.ledger import Ledger

MONTHS_AHEAD = 3  # as far as PA2's window of 90 days can reach


def partner_settings(given: Path | None) -> tuple[Settings, Path]:
    """The settings and the file they come from.

    Raises:
        SettingsError: There is none, or a key is wrong.
    """
    file = given or default_settings_file()
    return load_settings(file), file


def months_asked(text: str, calendar: Calendar, today: date) -> list[Month]:
    """``2026-10`` or ``2026-05..2026-10`` as months, the oldest first.

    Raises:
        SettingsError: It is no month, or one outside of the partner's months.
    """
    first, dots, last = re.sub(r"\s", "", text).partition("..")
    if dots and not (first and last):
        raise SettingsError(
            f"“{text}” is only half a range of months.", "Write both ends: 2026-05..2026-10."
        )
    months = [Month.parse(first)]
    end = Month.parse(last) if dots else months[0]
    if end < months[0]:
        raise SettingsError(f"“{text}” ends before it begins.", "Write the older month first.")
    if months[0] < calendar.first_month:
        raise SettingsError(
            f"{months[0]} is before the partner's first month, {calendar.first_month}.",
            "calendar.first_month in the settings says where the months begin.",
        )
    if end > (latest := Month.of(today).plus(MONTHS_AHEAD)):
        raise SettingsError(
            f"{end} is too far ahead: PA2 takes a disbursal day at most 90 days in the future.",
            f"The last month that has anything to send is {latest}.",
        )
    while months[-1] < end:
        months.append(months[-1].plus(1))
    return months


def one_month(text: str | None) -> str | None:
    """A month as the ledger writes it; None stands for all.

    Raises:
        SettingsError: It is no month.
    """
    return str(Month.parse(text)) if text else None


@contextlib.contextmanager
def partner_ledger(settings: Settings) -> "Iterator[Ledger | None]":
    """The partner's ledger, or None where none was born yet: looking must not make one.

    Raises:
        LedgerError: It can't be opened, or it is another partner's.
    """
    from kiva_pipeline.submission.ledger import Ledger, ledger_exists

    if not ledger_exists(settings.ledger_url):
        yield None
        return
    ledger = Ledger.open(
        settings.ledger_url,
        environment=settings.environment.value,
        partner_id=settings.partner.id,
    )
    try:
        yield ledger
    finally:
        ledger.close()


@contextlib.contextmanager
def ledger_to_act_on(settings: Settings) -> "Iterator[Ledger]":
    """The partner's ledger for a person's act.

    Raises:
        LedgerError: There is none yet, it can't be opened, or it is another partner's.
    """
    with partner_ledger(settings) as ledger:
        if ledger is None:
            raise LedgerError(
                "There is no ledger yet: nothing was ever decided or sent from here.",
                "Check --settings and state.folder; a first `kiva-pipeline run` makes the ledger.",
            )
        yield ledger
