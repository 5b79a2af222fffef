"""The JSON bodies of loan drafts, exactly as Kiva takes them, but for the photo.

What must not break: an individual draft has no group field at all (not null, not blank), else PA2
refuses to publish it; amounts are exact digits, never floats. The photo (``image_encoded``) is
spliced in when the draft is sent.
"""

from typing import Any

import orjson
import pandas as pd

from kiva_pipeline.money import to_digits
from kiva_pipeline.rules.runs import run_lengths, starts_of


def draft_payloads(
    drafts: pd.DataFrame, members: pd.DataFrame, schedules: dict[int, str]
) -> list[str]:
    """Write the body of each draft.

    Args:
        drafts: Facts of good drafts (``draft_facts``); the index is the draft's number.
        members: The members of exactly these drafts, in order.
        schedules: The JSON of each draft's schedule, by its number.
    """
    if drafts.empty:
        return []
    borrowers, pictured = _borrowers(members), members["pictured"].fillna(value=True).tolist()
    starts = starts_of(members["draft"].to_numpy())
    ends = (starts + run_lengths(starts, len(members))).tolist()
    return [
        _body(draft, borrowers[begin:end], pictured[begin:end], schedules[draft.Index])
        for draft, begin, end in zip(drafts.itertuples(), starts.tolist(), ends, strict=True)
    ]


def _borrowers(members: pd.DataFrame) -> list[dict[str, Any]]:
    columns = ("client_id", "loan_id", "first_name", "last_name", "kiva_gender")
    amounts = zip(members["principal"].tolist(), members["currency_digits"].tolist(), strict=True)
    return [
        {
            "amount": orjson.Fragment(to_digits(minor, digits)),
            "client_id": client_id,
            "first_name": first_name,
            "gender": gender,
            "last_name": last_name,
            "loan_id": loan_id,
        }
        for (minor, digits), client_id, loan_id, first_name, last_name, gender in zip(
            amounts, *(members[column].tolist() for column in columns), strict=True
        )
    ]


def _body(
    draft: Any,  # noqa: ANN401  a named tuple of the frame's columns
    borrowers: list[dict[str, Any]],
    pictured: list[bool],
    schedule: str,
) -> str:
    body = {
        "activity_id": draft.kiva_activity,
        "client_waiver_signed": True,
        "currency": draft.currency,
        "description": draft.description,
        "description_language_id": draft.kiva_language,
        "disburse_time": draft.disbursed_on.date().isoformat(),
        "entreps": borrowers,
        "loanuse": draft.loan_use,
        "location": draft.kiva_location,
        "schedule": orjson.Fragment(schedule),
        "theme_type_id": draft.kiva_theme,
    }
    if draft.is_group:
        body |= {
            "group_name": draft.group_name,
            "internal_client_id": draft.group_client_id,
            "internal_loan_id": draft.business_id,
            "not_pictured": [not shown for shown in pictured],
        }
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()
