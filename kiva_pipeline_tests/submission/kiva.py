"""A Kiva on loopback that keeps what it applied, misbehaves as told, and looks into the ledger.

At the receipt of each POST it opens the ledger by itself, as another program would, and looks for
the committed intent that must be there: ``unannounced`` names every POST that had none.
"""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.submission.tables import attempt, submission
from kiva_pipeline_tests.partner_api.servers import Asked, HttpServer, Reply, reset

_KINDS = {
    "loan_draft": PostKind.LOAN_DRAFT,
    "repayments": PostKind.REPAYMENT,
    "journals": PostKind.JOURNAL,
}
_REFERENCES = {
    PostKind.LOAN_DRAFT: "loan_draft_uuid",
    PostKind.REPAYMENT: "upload_id",
    PostKind.JOURNAL: "archive_id",
}


@dataclass(frozen=True)
class Post:
    """One POST as it arrived."""

    number: int  # of all, from 1
    kind: PostKind
    request_id: str
    token: str
    body: bytes

    @property
    def ids(self) -> list[str]:
        """The ids in it: of the draft or group, of each report row, of each journal's loan."""
        content = json.loads(self.body)
        if self.kind is PostKind.REPAYMENT:
            return [row["loan_id"] for row in content["repayments"]]
        if self.kind is PostKind.JOURNAL:
            return [row["internal_loan_id"] for row in content["journals"]]
        return [content.get("internal_loan_id") or content["entreps"][0]["loan_id"]]


Behaviour = Callable[["LoopbackKiva", Post], Reply]


class LoopbackKiva:
    """Answers tokens and ``GET /loans``, and POSTs by ``behave``.

    Attributes:
        behave: What to do with a POST; applies and answers as documented at first.
        listed: What ``GET /loans`` gives: internal loan ids.
        posts: In the order of arrival.
        applied: How often each effect (kind, id; of a report also its amount) was applied.
        figures: The figure that counts for each loan: the last one.
        most_at_once: POSTs that were under way at the same time.
        unannounced: What was wrong with the ledger at the receipt of a POST.
    """

    def __init__(self, ledger_url: str) -> None:
        self.behave: Behaviour = accept
        self.listed: list[str] = []
        self.posts: list[Post] = []
        self.applied: Counter[tuple[str, ...]] = Counter()
        self.figures: dict[str, float] = {}
        self.most_at_once = 0
        self.unannounced: list[str] = []
        self._at_once = 0
        self.ledger_url = ledger_url
        self._lock = threading.Lock()
        self.server = HttpServer(self._answer)
        self.url = self.server.url

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__()

    @property
    def duplicates(self) -> list[tuple[str, ...]]:
        """Drafts and journals that were applied more than once."""
        return [key for key, times in self.applied.items() if times > 1 and key[0] != "repayment"]

    def apply(self, post: Post, but: Sequence[str] = ()) -> None:
        """Keep what is in a POST, but for these rows of a report."""
        content = json.loads(post.body)
        with self._lock:
            if post.kind is PostKind.REPAYMENT:
                for row in content["repayments"]:
                    if row["loan_id"] in but:
                        continue
                    self.applied["repayment", row["loan_id"], str(row["amount"])] += 1
                    self.figures[row["loan_id"]] = row["amount"]
            elif post.kind is PostKind.JOURNAL:
                for row in content["journals"]:
                    self.applied["journal", row["internal_loan_id"], row["body"]] += 1
            else:
                self.applied["loan_draft", *post.ids] += 1

    def _answer(self, asked: Asked) -> Reply:
        endpoint = asked.path.rsplit("/", 1)[-1]
        if asked.method == "GET":
            return Reply({"total_records": len(self.listed), "data": self._loans(asked)})
        with self._lock:
            post = Post(len(self.posts) + 1, _KINDS[endpoint], asked.headers["X-Request-ID"],
                        asked.token, asked.body)  # fmt: skip
            self.posts.append(post)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        if wrong := not_announced(self.ledger_url, post):
            self.unannounced.append(wrong)
        try:
            return self.behave(self, post)
        finally:
            with self._lock:
                self._at_once -= 1

    def _loans(self, asked: Asked) -> list[dict[str, Any]]:
        offset, limit = int(asked.query.get("offset", 0)), int(asked.query.get("limit", 20))
        return [
            {
                "kiva_id": n, "uuid": f"u{n}", "internal_loan_id": loan_id, "borrower_count": 1,
                "internal_client_id": f"C-{loan_id}", "status": "payingBack",
                "loan_local_price": "3500.00", "loan_currency": "TJS", "create_time": 1_700_000_000,
            }
            for n, loan_id in list(enumerate(self.listed))[offset : offset + limit]
        ]  # fmt: skip


def not_announced(ledger_url: str, post: Post) -> str:
    """What the ledger lacks of the intent of a POST that has just arrived; "" when all is there."""
    engine = sa.create_engine(_read_only(ledger_url))
    try:
        with engine.connect() as connection:  # one statement, so that it sees one moment
            rows = connection.execute(
                sa.select(attempt, submission.c.business_id, submission.c.state)
                .join(submission, submission.c.attempt_id == attempt.c.id, isouter=True)
                .where(attempt.c.id == post.request_id)
            ).all()
    finally:
        engine.dispose()
    if not rows:
        return f"{post.request_id}: no attempt"
    made = rows[0]
    # What a dead sender had sent may be read only after the next one has found its orphans.
    orphan = made.verdict == "uncertain" and made.cause == "crashed"
    if made.verdict is not None and not orphan:
        return f"{post.request_id}: the attempt is over"
    if made.body_sha256 != hashlib.sha256(post.body).hexdigest():
        return f"{post.request_id}: another body"
    state = "uncertain" if orphan else "in_flight"
    ids = [row.business_id.split("/")[0] for row in rows if row.state == state]
    if sorted(ids) != sorted(post.ids) or made.items != len(ids):
        return f"{post.request_id}: {[tuple(row)[-2:] for row in rows]} in place of {post.ids}"
    return ""


def _read_only(ledger_url: str) -> sa.URL:
    url = sa.make_url(ledger_url)
    if url.get_backend_name() != "sqlite":
        return url
    return url.set(database=f"file:{Path(url.database or '')}", query={"mode": "ro", "uri": "true"})


# -- ways to behave ----------------------------------------------------------------------------


def receipt(post: Post, **more: Any) -> dict[str, Any]:
    """A successful answer."""
    return {"code": "api.success", "message": "ok", _REFERENCES[post.kind]: f"ref-{post.number}",
            "confirm_url": f"http://pa2/{post.number}"} | more  # fmt: skip


def accept(kiva: LoopbackKiva, post: Post) -> Reply:
    """Apply and say so."""
    kiva.apply(post)
    return Reply(receipt(post))


def status(number: int, body: Any = None, **headers: str) -> Behaviour:
    """Answer with a status and apply nothing."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = {"code": "api.bad", "message": "No."} if body is None else body
    return lambda _kiva, _post: Reply(content, number, named)


def applied_but(behaviour: Behaviour) -> Behaviour:
    """Apply, and then behave otherwise all the same."""

    def behave(kiva: LoopbackKiva, post: Post) -> Reply:
        kiva.apply(post)
        return behaviour(kiva, post)

    return behave


def breaking(how: Callable[[Any], None]) -> Behaviour:
    """No answer: do this to the connection."""
    return lambda _kiva, _post: Reply(instead=how)


def sending(content: bytes) -> Behaviour:
    """Bytes in place of an answer, and then the end."""
    return breaking(lambda connection: connection.sendall(content))


SILENCE = breaking(lambda connection: connection.recv(1))  # until the client has had enough
RESET = breaking(reset)
CLOSED = breaking(lambda _connection: None)


def by_number(*behaviours: Behaviour, then: Behaviour = accept) -> Behaviour:
    """The first POSTs behave each in their own way, all others like ``then``."""

    def behave(kiva: LoopbackKiva, post: Post) -> Reply:
        chosen = behaviours[post.number - 1] if post.number <= len(behaviours) else then
        return chosen(kiva, post)

    return behave


def by_id(otherwise: Behaviour = accept, **behaviours: Behaviour) -> Behaviour:
    """A POST with this id in it behaves so."""

    def behave(kiva: LoopbackKiva, post: Post) -> Reply:
        chosen = next((behaviours[i] for i in post.ids if i in behaviours), otherwise)
        return chosen(kiva, post)

    return behave


def problems(*told: dict[str, str]) -> Behaviour:
    """Apply, but for rows with an error, and name the problems."""

    def behave(kiva: LoopbackKiva, post: Post) -> Reply:
        kiva.apply(post)
        return Reply(receipt(post, problems=list(told)))

    return behave


def problem(loan_id: str, severity: str = "error") -> dict[str, str]:
    """A problem of a loan."""
    return {"loan_id": loan_id, "code": "x.17", "details": "Too much.", "severity": severity}
