"""Real servers on loopback: one that speaks HTTP as a test tells it to, one that breaks it."""

import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

SCOPES = "create:journal_update create:repayment read:loans create:loan_draft"


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    peer: tuple[str, int]

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")


@dataclass(frozen=True)
class Reply:
    """An answer; a ``body`` that is not bytes is sent as JSON, and ``instead`` breaks HTTP."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    instead: Callable[[socket.socket], None] | None = None

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class HttpServer:
    """Keeps what it was asked; answers tokens T1, T2, … and the rest by ``answer``."""

    def __init__(
        self,
        answer: Callable[[Asked], Reply] = lambda _asked: Reply(),
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answer = answer
        self.token_answer: Callable[[int], Reply] = lambda number: Reply(token(number))
        self.asked: list[Asked] = []
        self.tokens: list[Asked] = []
        self._lock = threading.Lock()
        self._server = _Threads(("127.0.0.1", 0), _handler(self))
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"

    def reply(self, asked: Asked) -> Reply:
        if asked.path == "/oauth/token":
            with self._lock:
                self.tokens.append(asked)
                number = len(self.tokens)
            return self.token_answer(number)
        with self._lock:
            self.asked.append(asked)
        return self.answer(asked)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def token(number: int = 1, **changes: Any) -> dict[str, Any]:
    """The token endpoint's answer, with a token that no request may leak: T1, T2, …"""
    answer = {
        "access_token": f"T{number}",
        "token_type": "bearer",
        "expires_in": 43199,
        "scope": SCOPES,
        "partnerId": "145",
    }
    return {key: value for key, value in (answer | changes).items() if value is not ...}


class _Threads(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of the tests."""


def _handler(server: HttpServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            if len(body) < length:  # its client died in the middle of it
                self.close_connection = True
                return
            reply = server.reply(
                Asked(self.command, self.path, self.headers, body, self.client_address)
            )
            if reply.instead:
                self.close_connection = True
                reply.instead(self.connection)
                return
            content = reply.content
            self.send_response(reply.status)
            for name, value in ({"Content-Length": str(len(content))} | reply.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    return Handler


class RawServer:
    """Hands each connection to ``behave`` and counts them."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._behave = behave
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self.closed_one = threading.Event()
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            self._behave(connection)
        self.closed_one.set()


def read_request(connection: socket.socket) -> bytes:
    """One whole request, headers and body."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        piece = connection.recv(65536)
        if not piece:
            return seen
        seen += piece
    head, _, body = seen.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = (int(lengths[0].split(b":")[1]) if lengths else 0) - len(body)
    while missing > 0:
        piece = connection.recv(65536)
        if not piece:
            break
        missing -= len(piece)
        seen += piece
    return seen


def answering(content: bytes) -> Callable[[socket.socket], None]:
    """Reads a request, sends these bytes and closes."""

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(content)

    return behave


def reset(connection: socket.socket) -> None:
    """End a connection with a RST, as a crashed or impatient machine in between does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())  # at once, whoever else holds the socket


def closed_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
