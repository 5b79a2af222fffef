"""One good loan, group, balance and note, and frames of them: each test changes one thing."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from kiva_pipeline.mis import records
from kiva_pipeline.partner_api.records import KIVA_LIST_COLUMNS, KIVA_LOAN_COLUMNS
from kiva_pipeline.rules.drafts import build_loan_drafts
from kiva_pipeline.rules.judged import Judged
from kiva_pipeline.settings import Settings, parse_settings

TODAY = date(2026, 11, 10)
KEY = b"a key of the tests"

LOAN: dict[str, Any] = {
    "source_key": "1", "loan_id": "A-2036-12", "client_id": "451219",
    "group_id": None, "group_client_id": None, "group_name": None,
    "first_name": "Азиз", "last_name": "Рахимов", "gender": "M", "pictured": None,
    "principal": "3500.00", "currency": "TJS", "currency_digits": 2,
    "disbursed_on": "2026-11-20", "disbursed": True,
    "activity": "retail", "theme": "GENERAL", "location": "dushanbe", "language": "ru",
    "description": "Aziz sells vegetables at the market.",
    "loan_use": "to buy a refrigerated counter for vegetables.",
    "waiver_signed_on": "2026-11-01",
    "photo_ref": "p1", "photo_sha256": "ab" * 32, "photo_mime": "image/jpeg", "photo_bytes": 10_000,
}  # fmt: skip
INSTALMENTS = [
    {"source_key": "1", "loan_id": "A-2036-12", "number": 1, "due_on": "2026-12-20",
     "principal": "1750", "interest": "35.0"},
    {"source_key": "2", "loan_id": "A-2036-12", "number": 2, "due_on": "2027-01-20",
     "principal": "1750", "interest": "17.5"},
]  # fmt: skip

KIVA_LISTS = pd.DataFrame(
    [
        ("activity", 25, "Retail", "", ""),
        ("activity", 110, "Farming", "", ""),
        ("activity", 7, "Café", "", ""),
        ("activity", 8, "CAFE", "", ""),
        ("theme", 48, "General", "", ""),
        ("theme", 1, "Green", "", ""),
        ("language", 5, "Russian", "ru", "TJS"),
        ("language", 1, "English", "en", "TJS"),
        ("language", 1, "English", "en", "RWF"),
        ("language", 1, "English", "en", "TND"),
        ("language", 2, "Spanish", "es", "PEN"),
        ("location", None, "Dushanbe: Tajikistan", "", ""),
        ("location", None, "São Paulo: Brazil", "", ""),
        ("location", None, "KARONGI: Rwanda", "", ""),
        ("location", None, "San Juan: Peru", "", ""),
        ("location", None, "San Juan: Philippines", "", ""),
        ("location", None, "香港: 中国", "", ""),
    ],
    columns=list(KIVA_LIST_COLUMNS),
).astype(KIVA_LIST_COLUMNS)


def settings(**sections: Any) -> Settings:
    """The settings of a practice partner, with some sections replaced."""
    content: dict[str, Any] = {
        "version": 1,
        "environment": "sandbox",
        "partner": {"id": "145"},
        "calendar": {"timezone": "Africa/Kigali", "first_month": "2026-01"},
        "source": {"kind": "demo", "path": "mis.sqlite"},
        "repayments": {"amount": "principal_repaid", "column_format": "two_column"},
        "journals": {"mark": {"kind": "column", "value": "for_kiva"}},
    }
    return parse_settings(content | sections, Path("partner.yaml"))


def loan(**changes: Any) -> dict[str, Any]:
    """The good raw loan, changed."""
    return LOAN | changes


def bullet(loan_id: str, principal: str, due_on: str = "2027-05-25") -> dict[str, Any]:
    """A schedule of one instalment."""
    return {
        "source_key": loan_id, "loan_id": loan_id, "number": 1, "due_on": due_on,
        "principal": principal, "interest": "0",
    }  # fmt: skip


def group(size: int = 2, **changes: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A good group's raw loans and instalments."""
    shared = {
        "group_id": "G-7-2026-11-25", "group_client_id": "G-7", "group_name": "Twisungane",
        "currency": "RWF", "currency_digits": 0, "location": "Karongi, Rwanda", "language": "en",
        "disbursed_on": "2026-11-25", "activity": "Farming", "principal": "100000",
        "description": "The group grows maize together.", "pictured": True,
    }  # fmt: skip
    loans = [
        loan(source_key=f"g{i}", loan_id=f"L-{i:02}", client_id=f"C-{i:02}", **shared | changes)
        for i in range(1, size + 1)
    ]
    return loans, [bullet(f"L-{i:02}", "100000") for i in range(1, size + 1)]


def frames(
    loans: list[dict[str, Any]], instalments: list[dict[str, Any]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Canonical loans and instalments of raw ones."""
    canonical = records.canonical_loans(pd.DataFrame(loans, columns=list(LOAN)))
    raw = pd.DataFrame(instalments, columns=list(INSTALMENTS[0]))
    return canonical, records.canonical_instalments(raw, canonical)


def drafts_of(
    loans: list[dict[str, Any]],
    instalments: list[dict[str, Any]] | None = None,
    *,
    with_settings: Settings | None = None,
    today: date = TODAY,
) -> Judged:
    """Judge raw loans; the good loan's schedule is theirs unless another is given."""
    return build_loan_drafts(
        *frames(loans, INSTALMENTS if instalments is None else instalments),
        KIVA_LISTS,
        settings=with_settings or settings(),
        today=today,
        field_key=KEY,
    )


KIVA_LOAN: dict[str, Any] = {
    "internal_loan_id": "1042970", "internal_client_id": "184729", "kiva_id": "2612345",
    "uuid": "u", "status": "payingBack", "borrower_count": 1, "loan_local_price": "3500.00",
    "loan_currency": "TJS", "create_time": 1764000000, "delinquent": False,
}  # fmt: skip
BALANCE: dict[str, Any] = {
    "loan_id": "1042970", "client_id": "184729", "currency": "TJS", "currency_digits": 2,
    "disbursed_on": "2026-01-10", "disbursed_minor": 350_000, "disbursed_later_minor": 0, "repaid_minor": 2_500,
    "charged_back_minor": 0, "recovered_minor": 0, "written_off_minor": 0,
    "unknown_minor": 0, "unknown_types": None,
}  # fmt: skip


def kiva_loans(*changes: dict[str, Any]) -> pd.DataFrame:
    """Rows of Kiva's list, each the good one with changes."""
    rows = [KIVA_LOAN | change for change in changes]
    return pd.DataFrame(rows, columns=list(KIVA_LOAN)).astype(KIVA_LOAN_COLUMNS)


def balances(*changes: dict[str, Any]) -> pd.DataFrame:
    """Canonical balances, each the good one with changes."""
    rows = [BALANCE | change for change in changes]
    return records.canonical_balances(pd.DataFrame(rows, columns=list(BALANCE)))


def reasons(judged: Judged, row: int = 0) -> list[dict[str, str]]:
    """The reasons of one row."""
    text = judged.rows["reasons"].iloc[row]
    return json.loads(text) if text else []


def codes(judged: Judged, row: int = 0) -> list[str]:
    """The codes of the reasons of one row."""
    return [reason["code"] for reason in reasons(judged, row)]
