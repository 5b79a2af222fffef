"""FF: the floor with the same columns and the same rules, by hand in pandas and numpy.

It reads the twelve columns of the MIS and Kiva's list, holds every row to the rules of
``BALANCE_RECORDS`` and ``REPAYMENT_RULES``, hashes what Kiva would see, compares it with its bare
ledger, and sends what is good and new. It keeps no reasons and no history and has no groups.
"""

import hashlib
import sqlite3
import unicodedata
from contextlib import closing
from typing import Any

import numpy as np
import orjson
import pandas as pd

from kiva_pipeline.mis.source import RAW_BALANCES
from kiva_pipeline_tests.bench import facts, report_floor
from kiva_pipeline_tests.bench.raw_ledger import RawLedger
from kiva_pipeline_tests.bench.world import Task

_AMOUNTS = ("disbursed", "repaid", "charged_back", "recovered", "written_off", "unknown")
outcome = report_floor.outcome


def prepare(task: Task) -> None:
    """A ledger that holds the month before."""
    ledger = RawLedger(report_floor.ledger_file(task))
    before = (
        (facts.loan_id(n), facts.LAST_MONTH, facts.repaid_before_minor(n), "", 0)
        for n in range(task.rows)
    )
    ledger.step(None, (0, "before", task.rows, "", 0.0), list(before))
    ledger.step((0, 200, "U0"), None, ())
    ledger.close()


def run(task: Task) -> None:
    """Read, judge, compare, post, remember."""
    mis = _mis_rows(task.mis)
    kiva = pd.read_parquet(task.kiva_loans)
    kiva = kiva[kiva["status"].isin(["payingBack", "defaulted"])]
    good, figures = _judged(mis, kiva)
    hashes = _hashes(figures)
    known, before = _known(task)
    rows = [
        (loan_id, minor)
        for loan_id, minor, is_good, digest in zip(
            figures["loan_id"], figures["amount"], good.tolist(), hashes, strict=True
        )
        if is_good and known.get(loan_id) != digest and minor >= before.get(loan_id, 0)
    ]
    size = task.batch
    report_floor.send(
        task,
        (rows[i : i + size] for i in range(0, len(rows), size)),
        dict(zip(figures["loan_id"], hashes, strict=True)),
    )


def _mis_rows(file: str) -> dict[str, Any]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as mis:
        rows = mis.execute(f"SELECT {', '.join(RAW_BALANCES)} FROM balances ORDER BY loan_id")
        return dict(zip(RAW_BALANCES, zip(*rows.fetchall(), strict=True), strict=True))


def _text(values: Any) -> np.ndarray:
    texts = ["" if v is None else str(v).strip() for v in values]
    if not all(map(str.isascii, texts)):
        texts = [unicodedata.normalize("NFC", text) for text in texts]
    return np.array(texts, dtype=object)


def _judged(mis: dict[str, Any], kiva: pd.DataFrame) -> tuple[np.ndarray, dict[str, Any]]:
    ids, clients, currency = (_text(mis[n]) for n in ("loan_id", "client_id", "currency"))
    types = _text(mis["unknown_types"])
    digits = pd.to_numeric(pd.Series(mis["currency_digits"]), errors="coerce")
    day = pd.to_datetime(
        pd.Series(mis["disbursed_on"], dtype="str"), format="%Y-%m-%d", errors="coerce"
    )
    bad = (ids == "") | (currency == "") | ~digits.isin([0, 1, 2, 3, 4]).to_numpy()
    bad |= pd.Series(ids).duplicated(keep=False).to_numpy()
    bad |= (day.isna() & pd.Series(mis["disbursed_on"]).notna()).to_numpy()
    minor = {}
    for name in _AMOUNTS:
        column = pd.to_numeric(pd.Series(mis[f"{name}_minor"]), errors="coerce")
        bad |= (column.isna() | (column != np.floor(column))).to_numpy()
        minor[name] = column.fillna(0).astype("int64").to_numpy()
    places = digits.fillna(0).astype("int64").to_numpy()

    loan_ids = _text(kiva["internal_loan_id"].tolist())
    shared = pd.Series(loan_ids).duplicated(keep=False).to_numpy()
    at = pd.Index(ids).get_indexer(pd.Index(loan_ids))
    answered = (at >= 0) & ~bad[at]
    mine = {name: values[at] for name, values in minor.items()}
    amount = mine["repaid"] - mine["charged_back"]
    at_kiva = kiva["internal_client_id"].to_numpy(dtype=object)
    price = _prices(kiva["loan_local_price"], places[at])
    same_currency = (
        pd.Series(currency[at]).str.upper()
        == kiva["loan_currency"].reset_index(drop=True).str.upper()
    ).to_numpy()
    good = (
        ~shared
        & answered
        & (loan_ids != "")
        & same_currency
        & ((clients[at] == at_kiva) | (clients[at] == "") | (at_kiva == ""))
        & (mine["disbursed"] != 0)
        & (price >= 0)
        & (mine["disbursed"] == price)
        & (amount <= price)
        & (amount >= 0)
        & (mine["recovered"] == 0)
        & (mine["unknown"] == 0)
        & (types[at] == "")
    )
    good &= np.bincount(at[at >= 0], minlength=len(ids))[at] == 1
    figures = {"loan_id": loan_ids.tolist(), "amount": amount.tolist(), "digits": places[at]}
    return good, figures


def _prices(texts: pd.Series, digits: np.ndarray) -> np.ndarray:
    codes, distinct = pd.factorize(texts)
    whole = pd.Series(distinct).str.extract(r"^(\d+)(?:\.(\d{1,4}))?$")
    units = pd.to_numeric(whole[0], errors="coerce").fillna(-1).astype("int64").to_numpy()
    parts = whole[1].fillna("").str.pad(4, side="right", fillchar="0").astype("int64").to_numpy()
    minor, rest = np.divmod((units * 10_000 + parts)[codes], 10 ** (4 - digits))
    return np.where((units[codes] >= 0) & (rest == 0), minor, -1)


def _hashes(figures: dict[str, Any]) -> list[str]:
    minor, digits = np.array(figures["amount"]), figures["digits"]
    for _ in range(4):
        idle = (digits > 0) & (minor % 10 == 0)
        minor, digits = np.where(idle, minor // 10, minor), np.where(idle, digits - 1, digits)
    return [
        hashlib.sha256(orjson.dumps((loan_id, None, amount, places))).hexdigest()
        for loan_id, amount, places in zip(
            figures["loan_id"], minor.tolist(), digits.tolist(), strict=True
        )
    ]


def _known(task: Task) -> tuple[dict[str, str], dict[str, int]]:
    """The hashes of this month, and the figures of the month before."""
    query = (
        "SELECT loan_id, {} FROM item JOIN attempt ON attempt.id = item.attempt"
        " WHERE month = ? AND status = 200"
    )
    with closing(sqlite3.connect(report_floor.ledger_file(task))) as ledger:
        return (
            dict(ledger.execute(query.format("hash"), (facts.MONTH,)).fetchall()),
            dict(ledger.execute(query.format("amount"), (facts.LAST_MONTH,)).fetchall()),
        )
