"""A Partner API that does nothing, in a process of its own, so that its CPU is nobody's.

It answers a token, the lists, pages of loans and every POST at once (or after a latency), and
counts what it was asked. It checks nothing: what arrived is counted, so that no variant can be
fast by doing less.

Run as ``python -m kiva_pipeline_tests.bench.noop_server``; it prints its port and lives until its
standard input closes.
"""

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import orjson

from kiva_pipeline_tests.bench.facts import kiva_page

LISTS = {
    "activities": [{"activity_id": 1, "activity": "Farming"}],
    "themes": [{"theme_type_id": 2, "theme_type": "Rural"}],
    "locales": [
        {"currency": "KES", "language_code": "en", "language_name": "English", "language_id": 1}
    ],
    "locations": [{"country": "Kenya", "location": "Kisumu", "full_name": "Kisumu: Kenya"}],
}
_TOKEN = {
    "access_token": "noop",
    "token_type": "bearer",
    "expires_in": 43199,
    "scope": "read:loans create:loan_draft create:repayment create:journal_update",
}


class State:
    """What was asked so far, and how to answer."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.latency = 0.0
        self.loans = 0
        self.numbers = itertools.count(1)
        self.first_post = self.last_answer = 0.0

    def answer(self, method: str, target: str, body: bytes) -> tuple[dict[str, object], float]:
        """The JSON of an answer, and after how many seconds it goes out."""
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        what = parts.path.rsplit("/", 1)[-1]
        if parts.path == "/_reset":
            self.counts.clear()
            self.first_post = self.last_answer = 0.0
            self.latency, self.loans = float(query["latency"]), int(query["loans"])
            return {}, 0
        if parts.path == "/_counts":
            return {**self.counts, "span": self.last_answer - self.first_post}, 0
        self.counts[f"{method} {what}"] += 1
        if method == "POST" and what == "token":
            return _TOKEN, self.latency
        if method == "POST":
            return self._received(what, body), self.latency
        if what == "loans":
            first, size = int(query.get("offset", 0)), int(query.get("limit", 20))
            page = kiva_page(first, max(0, min(size, self.loans - first)))
            return {"total_records": self.loans, "data": page}, self.latency
        return {"code": "api.success", what: LISTS[what]}, self.latency

    def _received(self, what: str, body: bytes) -> dict[str, object]:
        now = time.monotonic()
        self.first_post = self.first_post or now
        self.last_answer = now + self.latency
        self.counts["bytes"] += len(body)
        self.counts["rows"] += body.count(b'"loan_id"')
        self.counts["photos"] += body.count(b'"image_encoded"')
        number = next(self.numbers)
        return {
            "code": "api.success",
            "message": "ok",
            "upload_id": f"U{number}",
            "loan_draft_uuid": f"D{number}",
            "problems": [],
        }


class Connection(asyncio.Protocol):
    """One kept-alive connection."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._buffer = bytearray()
        self._need = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= self._need:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).decode("latin-1")
            length = next(
                (
                    int(line.split(":")[1])
                    for line in head.split("\r\n")
                    if line.lower().startswith("content-length:")
                ),
                0,
            )
            self._need = end + 4 + length
            if len(self._buffer) < self._need:
                return
            body = bytes(self._buffer[end + 4 : self._need])
            del self._buffer[: self._need]
            self._need = 0
            method, target, _ = head.split(" ", 2)
            told, latency = self._state.answer(method, target, body)
            content = orjson.dumps(told)
            answer = (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                % len(content)
            ) + content
            if latency:
                asyncio.get_running_loop().call_later(latency, self._write, answer)
            else:
                self._write(answer)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def serve() -> None:
    """Serve until standard input closes."""
    loop, state = asyncio.get_running_loop(), State()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
