"""F of the drafts: read, write the JSON, splice the photo in, post, remember. No rule, no memory."""

import hashlib
import sqlite3
import time
import uuid
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import orjson
import pybase64

from kiva_pipeline_tests.bench.mis_world import DRAFT_MONTH
from kiva_pipeline_tests.bench.raw_http import RawConnection
from kiva_pipeline_tests.bench.raw_ledger import RawLedger
from kiva_pipeline_tests.bench.world import Task

_LOANS = (
    "SELECT l.id, l.loan_id, l.client_id, c.first_name, c.last_name, l.principal, l.currency,"
    " l.description, l.loan_use, l.location, l.disbursed_on, p.image FROM loans l"
    " JOIN clients c ON c.client_id = l.client_id LEFT JOIN photos p ON p.photo_id = l.photo_id"
    " WHERE l.funding_source = 'KIVA' ORDER BY l.id"
)
_SCHEDULES = "SELECT loan_pk, due_on, principal, interest FROM instalments ORDER BY loan_pk, number"


def prepare(task: Task) -> None:
    """Nothing."""


def run(task: Task) -> None:
    """One draft a request, each written ahead."""
    ledger = RawLedger(ledger_file(task))
    connection = RawConnection(task.port, "/v3/partner/145/loan_draft")
    answered = None
    with closing(sqlite3.connect(f"file:{task.mis}?mode=ro", uri=True)) as mis:
        schedules = groupby(mis.execute(_SCHEDULES), itemgetter(0))
        for number, row in enumerate(mis.execute(_LOANS), start=1):
            body = _body(row, [r[1:] for r in next(schedules)[1]])
            request_id = str(uuid.uuid4())
            digest = hashlib.sha256(body).hexdigest()
            minor = int(row[5].replace(".", ""))
            items = [(row[1], DRAFT_MONTH, minor, None, number)]
            ledger.step(answered, (number, request_id, 1, digest, time.time()), items)
            answer = orjson.loads(connection.post(body, request_id))
            answered = (number, 200, answer["loan_draft_uuid"])
    ledger.step(answered, None, ())
    connection.close()
    ledger.close()


def outcome(task: Task) -> dict[str, int]:
    """What its ledger says that Kiva has."""
    with closing(sqlite3.connect(ledger_file(task))) as ledger:
        rows, total = ledger.execute(
            "SELECT count(*), sum(amount) FROM item JOIN attempt ON attempt.id = item.attempt"
            " WHERE status = 200"
        ).fetchone()
    return {"accepted": rows, "total": total or 0}


def ledger_file(task: Task) -> str:
    """Where its ledger is."""
    return str(Path(task.folder) / "raw.sqlite")


def _body(row: tuple, schedule: list) -> bytes:
    _, loan_id, client_id, first, last, principal, currency, text, use, place, day, image = row
    payload = orjson.dumps(
        {
            "activity_id": 1,
            "client_waiver_signed": True,
            "currency": currency,
            "description": text,
            "description_language_id": 1,
            "disburse_time": day,
            "entreps": [
                {
                    "amount": orjson.Fragment(principal),
                    "client_id": client_id,
                    "first_name": first,
                    "gender": "female",
                    "last_name": last,
                    "loan_id": loan_id,
                }
            ],
            "loanuse": use,
            "location": place,
            "schedule": [
                {"date": due, "interest": orjson.Fragment(i), "principal": orjson.Fragment(p)}
                for due, p, i in schedule
            ],
            "theme_type_id": 2,
        }
    )
    if image is None:
        return payload
    head = b',"image_encoded":"data:image/jpeg;base64,'
    return b"".join((payload[:-1], head, pybase64.b64encode(image), b'"}'))
