"""Rows, settings and a look into the ledger: what the tests of the send path are written with.

Everything that knows a shape of the code under test (columns, tables, how a submission is put
together) is here, so that a test says what must hold and nothing else.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from kiva_pipeline.frames import CHUNK_ROWS, FrameSpool, StoredFrame
from kiva_pipeline.mis.records import empty_frame
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.partner_api.records import KIVA_LOAN_COLUMNS
from kiva_pipeline.periods import Month
from kiva_pipeline.rules.fingerprint import field_hashes, payload_hash, seen_by_kiva
from kiva_pipeline.rules.rows import DRAFT_COLUMNS, JOURNAL_COLUMNS, REPORT_COLUMNS
from kiva_pipeline.settings import Secrets, Settings
from kiva_pipeline.submission.bodies import DraftBodies, JournalBodies, RepaymentBodies
from kiva_pipeline.submission.ledger import Ledger, history
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.month_planner import MonthPlanner
from kiva_pipeline.submission.month_submission import Submission
from kiva_pipeline.submission.plan_writes import apply_plan
from kiva_pipeline.submission.tables import attempt, event, ledger, submission
from kiva_pipeline_tests.partner_api.conftest import FEW_CERTIFICATES

PARTNER = "145"
TODAY = date(2026, 10, 6)  # the report of September is open
SEPTEMBER, OCTOBER, AUGUST = Month(2026, 9), Month(2026, 10), Month(2026, 8)
LONG_AGO = Month(2025, 1)  # of the baselines
SECRETS = Secrets("sandbox", "sandbox")
PHOTO = b"\xff\xd8\xff\xe0 a photo"

DRAFT, REPAYMENT, JOURNAL = PostKind.LOAN_DRAFT, PostKind.REPAYMENT, PostKind.JOURNAL
MONTH_OF = {DRAFT: OCTOBER, REPAYMENT: SEPTEMBER, JOURNAL: OCTOBER}
COLUMNS = {DRAFT: DRAFT_COLUMNS, REPAYMENT: REPORT_COLUMNS, JOURNAL: JOURNAL_COLUMNS}

Row = dict[str, Any]


def settings_for(url: str = "http://127.0.0.1:8765", **sections: Any) -> Settings:
    """A practice partner's settings for a Kiva at ``url``; keywords change keys of sections."""
    content: dict[str, Any] = {
        "version": 1,
        "environment": "sandbox",
        "partner": {"id": PARTNER},
        "api": {
            "base_url": url,
            "auth_url": f"{url}/oauth/token",
            "audience": "kiva-sandbox",
            "ca_bundle": FEW_CERTIFICATES,
            "connect_timeout_seconds": 5,
            "read_timeout_seconds": 20,
            "max_in_flight": 1,
        },
        "calendar": {
            "timezone": "Africa/Kigali",
            "first_month": "2026-01",
            "practice_today": TODAY,
        },
        "source": {"kind": "demo", "path": "mis.sqlite"},
        "repayments": {
            "amount": "principal_repaid",
            "column_format": "two_column",
            "mass_change": {"at_least": 1_000_000},  # a few odd rows are a large share here
        },
        "journals": {"mark": {"kind": "prefix", "value": "KIVA:"}},
        "state": {"wait_for_lock_seconds": 0},
    }
    for name, value in sections.items():
        content[name] = {**content.get(name, {}), **value} if isinstance(value, dict) else value
    return Settings.model_validate(content)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def report_row(loan_id: str, repaid: int | None = 100_00, **changes: Any) -> Row:
    """A good row of a report: cumulative principal repaid, in minor units."""
    row = {
        "business_id": loan_id,
        "state": "good",
        "reason_code": "",
        "reasons": "",
        "mis_rows": 1,
        "loan_ids": json.dumps([loan_id]),
        "client_id": f"C-{loan_id}",
        "amount": repaid,
        "currency": "TJS",
        "currency_digits": 2,
        "effective_on": datetime(2026, 9, 30),
        "disbursed": 3500_00,
        "kiva_status": "payingBack",
        "still_expected": True,
    } | changes
    told = f"{row['client_id']}/{row['amount']}/{row['currency_digits']}"
    return {"payload_hash": "" if row["amount"] is None else _hashed(told)} | row


def draft_row(loan_id: str, *members: str, use: str = "to buy seeds.", **changes: Any) -> Row:
    """A good draft: of one borrower, or of a group with these members' loans."""
    loan_ids = list(members) or [loan_id]
    amount = changes.get("amount", 3500_00)
    day = changes.setdefault("effective_on", datetime(2026, 10, 3))
    photo = changes.pop("photo", PHOTO)
    payload = json.dumps(
        {
            "entreps": [{"loan_id": m, "client_id": f"C-{m}"} for m in loan_ids],
            "amount": None if amount is None else amount / 100,
            "disburse_time": f"{day:%Y-%m-%d}",
            "loanuse": use,
        }
        | ({"internal_loan_id": loan_id} if members else {}),
        sort_keys=True,
    )
    photo_hash = hashlib.sha256(photo).hexdigest() if photo else ""
    return {
        "business_id": loan_id,
        "state": "good",
        "reason_code": "",
        "reasons": "",
        "mis_rows": len(loan_ids),
        "loan_ids": json.dumps(loan_ids),
        "client_id": f"C-{loan_id}",
        "amount": amount,
        "currency": "TJS",
        "currency_digits": 2,
        "payload": payload,
        "client_ids": json.dumps([f"C-{m}" for m in loan_ids]),
        "photo_ref": f"photo-{loan_id}" if photo else "",
        "photo_mime": "image/jpeg" if photo else "",
        "photo_sha256": photo_hash,
    } | _fingerprints(payload, photo_hash) | changes  # fmt: skip


def journal_row(
    loan_id: str, note: str = "1", *, body: str = "She sells more.", **changes: Any
) -> Row:
    """A good journal of a note on a loan."""
    payload = json.dumps(
        {"internal_loan_id": loan_id, "subject": "Update", "body": body}, sort_keys=True
    )
    return {
        "business_id": f"{loan_id}/{note}",
        "state": "good",
        "reason_code": "",
        "reasons": "",
        "mis_rows": 1,
        "loan_ids": json.dumps([loan_id]),
        "client_id": f"C-{loan_id}",
        "amount": None,
        "currency": "",
        "currency_digits": None,
        "effective_on": datetime(2026, 10, 4),
        "payload": payload,
        "loan_id": loan_id,
    } | _fingerprints(payload, "") | changes  # fmt: skip


def _fingerprints(payload: str, photo_hash: str) -> Row:
    seen = seen_by_kiva(payload, photo_hash)
    return {
        "payload_hash": payload_hash(seen),
        "field_hashes": field_hashes(seen, b"a key of the tests"),
    }


ROW_OF: dict[PostKind, Callable[..., Row]] = {
    DRAFT: draft_row,
    REPAYMENT: report_row,
    JOURNAL: journal_row,
}


def blocked(row: Row, code: str = "amount_zero") -> Row:
    """A row that the rules refuse, with their own words."""
    return row | {"state": "blocked", "reason_code": code, "reasons": words(code)}


def held(row: Row, code: str = "price_differs") -> Row:
    """A row that a rule holds for a person."""
    return row | {"state": "held", "reason_code": code, "reasons": words(code)}


def missing(loan_id: str) -> Row:
    """A loan that Kiva expects and the MIS has no answer for."""
    return report_row(
        loan_id, None, state="missing", reason_code="not_in_mis", reasons=words("not_in_mis"),
        mis_rows=0, disbursed=None,
    )  # fmt: skip


def words(code: str) -> str:
    """Reasons as the rules write them."""
    reason = {"code": code, "field": "amount", "value_class": "", "severity": "block",
              "sentence": "Look at it.", "detail": ""}  # fmt: skip
    return json.dumps([reason])


def frame_of(kind: PostKind, rows: Iterable[Row]) -> pd.DataFrame:
    """The rules' frame of a kind, sorted as they hand it on."""
    columns = COLUMNS[kind]
    frame = pd.DataFrame(list(rows), columns=list(columns)).astype(columns)
    return frame.sort_values("business_id", ignore_index=True)


def kiva_loans(*loan_ids: str, **changes: Any) -> pd.DataFrame:
    """``GET /loans`` as a frame."""
    base = {
        "internal_client_id": "", "kiva_id": "1", "uuid": "u", "status": "payingBack",
        "borrower_count": 1, "loan_local_price": "3500.00", "loan_currency": "TJS",
        "create_time": 1_780_000_000, "delinquent": False,
    } | changes  # fmt: skip
    rows = [base | {"internal_loan_id": i, "internal_client_id": f"C-{i}"} for i in loan_ids]
    return pd.DataFrame(rows, columns=list(KIVA_LOAN_COLUMNS)).astype(KIVA_LOAN_COLUMNS)


class SmallChunks(StoredFrame):
    """A frame that is read in chunks of a few rows, as a large one is in chunks of many."""

    def __init__(self, path: Path, chunk_rows: int) -> None:
        super().__init__(path)
        self.chunk_rows = chunk_rows

    def chunks(self, columns: Sequence[str] | None = None, rows: int = 0) -> Any:
        return super().chunks(columns, rows or self.chunk_rows)


def stored(
    folder: Path, kind: PostKind, rows: Iterable[Row], chunk_rows: int = CHUNK_ROWS
) -> StoredFrame:
    """The rules' frame as the step before hands it to the send path."""
    with FrameSpool(folder, empty_frame(COLUMNS[kind])) as spool:
        spool.append(frame_of(kind, rows))
    return SmallChunks(spool.path, chunk_rows)


@dataclass
class Photos:
    """The MIS's photos, which a test may change while a run is under way."""

    changed: dict[str, bytes | Exception] = field(default_factory=dict)

    def __call__(self, reference: str) -> bytes:
        photo = self.changed.get(reference, PHOTO)
        if isinstance(photo, Exception):
            raise photo
        return photo


def submission_of(
    kind: PostKind,
    rows: Sequence[Row],
    settings: Settings,
    folder: Path,
    *,
    month: Month | None = None,
    listed: Callable[[], pd.DataFrame] = kiva_loans,
    photos: Callable[[str], bytes] | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> Submission:
    """A month of a stream, ready for ``submit``."""
    frame = stored(folder, kind, rows, chunk_rows)
    bodies: Any
    if kind is REPAYMENT:
        bodies = RepaymentBodies(settings.repayments)
    elif kind is JOURNAL:
        bodies = JournalBodies({r["business_id"]: r["payload"] for r in rows}, settings.journals)
    else:
        facts = ("payload", "photo_ref", "photo_mime", "photo_sha256")
        by_id = {r["business_id"]: tuple(r[name] for name in facts) for r in rows}
        bodies = DraftBodies(by_id, photos or Photos())  # type: ignore[arg-type]
    return Submission(kind, month or MONTH_OF[kind], frame, bodies, listed)


def actor(run_id: str = "run-1") -> Actor:
    """Who sends."""
    return Actor(who="a test", run_id=run_id)


def opened(url: str, partner: str = PARTNER, environment: str = "sandbox") -> Ledger:
    """A ledger of the practice partner, or of another one."""
    return Ledger.open(url, environment=environment, partner_id=partner)


def file_of(url: str) -> Path:
    """The file of an SQLite ledger."""
    return Path(sa.make_url(url).database or "")


# -- what the ledger holds ---------------------------------------------------------------------


def _all(book: Ledger, table: sa.Table) -> list[Row]:
    with book.reading() as connection:
        found = connection.execute(sa.select(table).order_by(*table.primary_key.columns))
        return [dict(row._mapping) for row in found]


def versions(book: Ledger) -> list[Row]:
    """Every version of every identity, oldest first, but for the baselines."""
    return [row for row in _all(book, submission) if row["month"] != str(LONG_AGO)]


def attempts(book: Ledger) -> list[Row]:
    """Every request that was intended."""
    return _all(book, attempt)


def events(book: Ledger) -> list[Row]:
    """Every event, oldest first."""
    return _all(book, event)


def states(book: Ledger) -> dict[str, str]:
    """The state of the newest version by business id."""
    return {row["business_id"]: row["state"] for row in versions(book)}


def codes(book: Ledger) -> dict[str, str]:
    """The reason code of the newest version by business id."""
    return {row["business_id"]: row["reason_code"] for row in versions(book)}


def story(book: Ledger, business_id: str) -> list[tuple[str | None, str]]:
    """A row's states in the order of its events: ``[(None, "held"), ("held", "planned"), …]``.

    By the rule that ``history`` states: an event of an attempt stands for all its rows, but for
    those that have their own for the same attempt and action.
    """
    with book.reading() as connection:
        told = history(connection, business_id)
    own = {(e["attempt_id"], e["action"]) for e in told["events"] if e["submission_id"]}
    return [
        (e["from_state"], e["to_state"])
        for e in told["events"]
        if e["submission_id"] or (e["attempt_id"], e["action"]) not in own
    ]


def mark(book: Ledger, **card: Any) -> None:
    """Write on the ledger's identity card: ``paused_by``, ``adopted_at``, …"""
    with book.writing() as connection:
        connection.execute(ledger.update().values(**card))


def decided(result: Any) -> dict[str, str]:
    """The decision of each row of a run."""
    frame = result.decisions.read()
    assert frame["business_id"].is_unique
    return dict(zip(frame["business_id"], frame["decision"], strict=True))


def reason_codes(result: Any) -> dict[str, str]:
    """The reason code of each row of a run."""
    frame = result.decisions.read()
    return dict(zip(frame["business_id"], frame["reason_code"], strict=True))


def counted(decisions: Mapping[str, str]) -> dict[str, int]:
    """How many rows each decision has."""
    found: dict[str, int] = {}
    for decision in decisions.values():
        found[decision] = found.get(decision, 0) + 1
    return found


# -- an office: a ledger with its partner's settings -------------------------------------------

Version = dict[str, Any]


def version(
    kind: PostKind,
    row: Row,
    state: str,
    *,
    month: Month | None = None,
    number: int = 1,
    code: str = "",
    updated_at: str = "2026-10-06T08:00:00.000000Z",
) -> Version:
    """One version as the ledger keeps it: what was decided of ``row``, and when."""
    decided_in = month or MONTH_OF[kind]
    facts = ("payload_hash", "amount", "currency", "currency_digits", "client_id", "loan_ids")
    return {name: row[name] for name in facts} | {
        "kind": kind.value,
        "period": str(decided_in) if kind is REPAYMENT else "",
        "month": str(decided_in),
        "business_id": row["business_id"],
        "version": number,
        "state": state,
        "reason_code": code,
        "reasons": "",
        "field_hashes": row.get("field_hashes", ""),
        "disbursed": row.get("disbursed"),
        "effective_on": f"{row['effective_on']:%Y-%m-%d}",
        "client_ids": row.get("client_ids", "[]"),
        "remote_ref": "",
        "confirm_url": "",
        "run_id": "run-0",
        "updated_at": updated_at,
    }  # fmt: skip


def put(book: Ledger, *rows: Version) -> None:
    """Put versions into the ledger, as earlier runs left them."""
    if rows:
        with book.writing() as connection:
            connection.execute(submission.insert(), list(rows))


def give_baselines(book: Ledger, kind: PostKind, rows: Sequence[Row]) -> None:
    """Adopt a figure of long ago, 0, of each loan: else its first report waits for a person."""
    if kind is not REPAYMENT:
        return
    known = {row["business_id"] for row in _all(book, submission) if row["month"] == str(LONG_AGO)}
    figures = [
        {**row, "amount": 0, "payload_hash": "", "effective_on": datetime(2025, 1, 31)}
        for row in rows
        if row["business_id"] not in known
    ]
    put(book, *(version(REPAYMENT, row, "accepted", month=LONG_AGO) for row in figures))


@dataclass
class Office:
    """A ledger and the settings of its partner: what a month is planned with."""

    book: Ledger
    settings: Settings
    folder: Path

    def on(self, day: date) -> "Office":
        """The same office on another day."""
        return self.with_settings(calendar={"practice_today": day})

    def with_settings(self, **sections: dict[str, Any]) -> "Office":
        """The same ledger under other settings."""
        changed = {
            name: getattr(self.settings, name).model_copy(update=keys)
            for name, keys in sections.items()
        }
        return Office(self.book, self.settings.model_copy(update=changed), self.folder)

    def plan(self, kind: PostKind, rows: Sequence[Row] = (), **how: Any) -> dict[str, Row]:
        """What the planner decides of a month, by business id.

        ``how``: ``month``, ``listed`` (Kiva's loans), ``chunk_rows``, ``baselines``.
        """
        return self._planned(kind, rows, apply=False, **how)

    def apply(self, kind: PostKind, rows: Sequence[Row] = (), **how: Any) -> dict[str, Row]:
        """Plan a month and write the plan into the ledger."""
        return self._planned(kind, rows, apply=True, **how)

    def _planned(
        self,
        kind: PostKind,
        rows: Sequence[Row],
        *,
        apply: bool,
        listed: pd.DataFrame | None = None,
        baselines: bool = True,
        **how: Any,
    ) -> dict[str, Row]:
        if baselines:
            give_baselines(self.book, kind, rows)
        of = submission_of(kind, rows, self.settings, self.folder, **how)
        planner = MonthPlanner(of, self.book, self.settings, self.folder)
        plan = planner.made(kiva_loans() if listed is None else listed).read()
        if apply:
            with self.book.writing() as connection:
                apply_plan(connection, plan, kind.value, of.period, str(of.month), actor("plan"))
        assert plan["business_id"].is_unique
        assert plan["business_id"].is_monotonic_increasing
        return {row["business_id"]: row for row in plan.to_dict("records")}


def told(plan: Mapping[str, Row]) -> dict[str, tuple[str, str]]:
    """``decision, reason_code`` by business id."""
    return {key: (row["decision"], row["reason_code"]) for key, row in plan.items()}
