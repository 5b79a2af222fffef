"""One row a draft: what its members have in common, matched to Kiva's lists.

A draft has one currency, one day, one text. Where a group's members leave a field empty, the first
member that has it (in the members' order) speaks for the group; where they differ, a rule says so.
"""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kiva_pipeline.periods import WINDOW_DAYS_AHEAD, DisbursalWindow, window_closes_on
from kiva_pipeline.rules.lists import KivaLists, Matches
from kiva_pipeline.rules.reasons import Details, Rows
from kiva_pipeline.rules.runs import (
    Positions,
    any_of,
    first_where,
    run_lengths,
    starts_of,
    whole_numbers,
)
from kiva_pipeline.rules.texts import in_first_person
from kiva_pipeline.settings import LoanDrafts

_SHARED = (
    "group_name", "group_client_id", "currency", "activity", "theme", "location", "language",
    "description", "loan_use",
)  # fmt: skip
_PHOTO = ("photo_ref", "photo_sha256", "photo_mime", "photo_bytes")


def draft_facts(
    members: pd.DataFrame, lists: KivaLists, limits: LoanDrafts, today: date
) -> pd.DataFrame:
    """Put the members' rows together.

    Args:
        members: As ``arrange_members`` gave them; at least one.
        lists: Kiva's lists.
        limits: The partner's limits for drafts.
        today: The day on which the draft would go.

    Returns:
        What ``DRAFT_RULES`` and the payload need, one row for each ``draft``, in its order.
    """
    starts = starts_of(members["draft"].to_numpy())
    in_group = members["in_group"].to_numpy()
    is_group = any_of(in_group, starts)
    facts: dict[str, Any] = {
        "business_id": members["business_id"].to_numpy()[starts],
        "is_group": is_group,
        "mixed": is_group & any_of(~in_group, starts),
        "members": run_lengths(starts, len(members)),
    }
    matched: dict[str, Matches[Any]] = {
        "activity": lists.activities.match(members["activity"]),
        "theme": lists.themes.match(members["theme"]),
        "location": lists.locations.match(members["location"]),
        "language": lists.languages.match(members["language"]),
    }
    for column in _SHARED:
        values = members[column].to_numpy(dtype=object)
        at = first_where(values != "", starts)
        meaning = values
        if column in matched:
            found = matched[column].found
            entries = np.array(matched[column].entries, dtype=object)
            # "retail" and "Retail" are the same activity: compare what they are at Kiva.
            meaning = np.where(found == 1, entries, values)
            facts |= {f"{column}_found": found[at], f"kiva_{column}": entries[at]}
        facts[column] = values[at]
        facts[f"{column}_differs"] = is_group & _differ(meaning, values != "", at, starts)
    facts |= _days_and_digits(members, starts, is_group, facts["currency_differs"])
    facts |= _photo(members, starts, is_group)
    return pd.DataFrame(facts | _judged_by(facts, lists, limits, today))


def window_details(drafts: pd.DataFrame) -> Details:
    """What to add to the sentences about the disbursal window: the day that counts."""
    days = drafts["disbursed_on"].dt.date.to_numpy()

    def closing(rows: Rows, words: str) -> list[str]:
        return [f"{words} {window_closes_on(day).isoformat()}" for day in days[rows]]

    def opening(rows: Rows) -> list[str]:
        ahead = timedelta(days=WINDOW_DAYS_AHEAD)
        return [f"can go from {(day - ahead).isoformat()}" for day in days[rows]]

    return {
        "window_ran_out": lambda rows: closing(rows, "ran out on"),
        "window_not_open": opening,
        "window_shuts_soon": lambda rows: closing(rows, "last day"),
    }


def _differ(
    values: NDArray[Any], present: NDArray[np.bool_], at: Positions, starts: Positions
) -> NDArray[np.bool_]:
    speaks = np.repeat(values[at], run_lengths(starts, len(values)))
    return any_of(present & (values != speaks), starts)


def _days_and_digits(
    members: pd.DataFrame,
    starts: Positions,
    is_group: NDArray[np.bool_],
    currency_differs: NDArray[np.bool_],
) -> dict[str, Any]:
    # Members without a readable day or number of digits have a reason of their own for it.
    days, digits = members["disbursed_on"], members["currency_digits"]
    on, known = days.to_numpy(dtype="datetime64[ms]"), days.notna().to_numpy()
    on_at, places = first_where(known, starts), whole_numbers(digits)
    digits_at = first_where(digits.notna().to_numpy(), starts)
    digits_differ = _differ(places, digits.notna().to_numpy(), digits_at, starts)
    return {
        "disbursed_on": on[on_at],
        "disbursed_on_differs": is_group & _differ(on, known, on_at, starts),
        "currency_digits": digits.iloc[digits_at].array,
        "currency_differs": currency_differs | (is_group & digits_differ),
    }


def _photo(members: pd.DataFrame, starts: Positions, is_group: NDArray[np.bool_]) -> dict[str, Any]:
    has_photo = (members["photo_ref"] != "").to_numpy()
    at = first_where(has_photo, starts)
    hashes = members["photo_sha256"].to_numpy(dtype=object)
    return {column: members[column].iloc[at].array for column in _PHOTO} | {
        "photo_sha256_differs": is_group & _differ(hashes, has_photo, at, starts)
    }


def _judged_by(
    facts: dict[str, Any], lists: KivaLists, limits: LoanDrafts, today: date
) -> dict[str, Any]:
    window = DisbursalWindow(today)
    warns = window.first_day + timedelta(days=limits.warn_days_before_window_shuts)
    locales = list(zip(facts["kiva_language"], facts["currency"], strict=True))
    codes = [lists.language_codes.get(language, "other") for language, _ in locales]
    return {
        "currency_listed": [currency in lists.currencies for currency in facts["currency"]],
        "locale_listed": [locale in lists.languages_of_currency for locale in locales],
        "window_first": pd.Timestamp(window.first_day),
        "window_last": pd.Timestamp(window.last_day),
        "window_warns": pd.Timestamp(warns),
        "description_first_person": in_first_person(facts["description"], codes),
        "loan_use_first_person": in_first_person(facts["loan_use"], codes),
        "photo_limit": limits.max_photo_bytes,
    }
