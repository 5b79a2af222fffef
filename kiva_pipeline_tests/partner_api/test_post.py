"""A POST is one exchange, and its outcome says only what is certain."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from kiva_pipeline.partner_api.client import PartnerApi, exchange_of
from kiva_pipeline.partner_api.exchange import Answered, NotSent, PostKind, Unanswered
from kiva_pipeline_tests.partner_api.conftest import Client
from kiva_pipeline_tests.partner_api.servers import (
    HttpServer,
    RawServer,
    Reply,
    answering,
    closed_port,
    read_request,
    reset,
)

BODY = '{"name":"Азиз ابتسام é 🐘"}'.encode()


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (PostKind.LOAN_DRAFT, "/v3/partner/145/loan_draft"),
        (PostKind.REPAYMENT, "/v3/partner/145/repayments"),
        (PostKind.JOURNAL, "/v3/partner/145/journals"),
    ],
)
def test_a_post_carries_its_body_untouched_to_its_path(
    kiva: HttpServer, api: PartnerApi, kind: PostKind, path: str
) -> None:
    kiva.answer = lambda _asked: Reply({"code": "api.success"}, 201)
    assert api.post(kind, BODY, "attempt-1") == Answered(201, {"code": "api.success"})
    (asked,) = kiva.asked
    assert (asked.method, asked.target, asked.body) == ("POST", path, BODY)
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["X-Request-ID"] == "attempt-1"
    assert asked.headers["Authorization"] == "Bearer T1"
    assert asked.headers["User-Agent"].startswith("kiva-pipeline/")


def test_journals_can_go_by_the_other_path(kiva: HttpServer, client: Client) -> None:
    api = client(journals={"path": "partners"})
    api.post(PostKind.JOURNAL, b"[]", "a1")
    api.post(PostKind.REPAYMENT, b"{}", "a2")
    assert [a.path for a in kiva.asked] == [
        "/v3/partners/145/journals",
        "/v3/partner/145/repayments",
    ]


def test_an_odd_partner_id_stays_one_part_of_the_path(kiva: HttpServer, client: Client) -> None:
    client(f"{kiva.url}/", partner_id="1/4?5").post(PostKind.REPAYMENT, b"{}", "a1")
    assert kiva.asked[0].target == "/v3/partner/1%2F4%3F5/repayments"


@pytest.mark.parametrize(
    "status", [200, 204, 400, 404, 408, 409, 413, 425, 429, 500, 502, 503, 504]
)
def test_any_status_is_an_answer_and_never_tried_again(
    kiva: HttpServer, api: PartnerApi, status: int
) -> None:
    body = b"" if status == 204 else b'{"code":"x"}'
    kiva.answer = lambda _asked: Reply(body, status)
    expected = Answered(status, is_json=False) if status == 204 else Answered(status, {"code": "x"})
    assert api.post(PostKind.REPAYMENT, b"{}", "a1") == expected
    assert len(kiva.asked) == 1
    assert api.request_counts == {"POST token": 1, "POST repayments": 1}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_not_followed(
    kiva: HttpServer, api: PartnerApi, status: int
) -> None:
    with HttpServer() as elsewhere:
        kiva.answer = lambda _asked: Reply(b"", status, {"Location": f"{elsewhere.url}/x"})
        assert api.post(PostKind.REPAYMENT, b"{}", "a1") == Answered(status, is_json=False)
        assert (elsewhere.asked, len(kiva.asked)) == ([], 1)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>log in</html>", b"\xff\xfe\x00", b'{"upload_id":', b"NaN", b"[" * 3000],
)
def test_a_body_that_is_not_json_is_told_apart(
    kiva: HttpServer, api: PartnerApi, body: bytes
) -> None:
    kiva.answer = lambda _asked: Reply(body, 200, {"Content-Type": "application/json"})
    assert api.post(PostKind.REPAYMENT, b"{}", "a1") == Answered(200, is_json=False)


@pytest.mark.parametrize(("body", "parsed"), [(b"null", None), (b'"ok"', "ok"), (b"[1]", [1])])
def test_any_json_is_handed_on_as_it_is(
    kiva: HttpServer, api: PartnerApi, body: bytes, parsed: object
) -> None:
    kiva.answer = lambda _asked: Reply(body)
    assert api.post(PostKind.REPAYMENT, b"{}", "a1") == Answered(200, parsed, is_json=True)


@pytest.mark.parametrize(("header", "seconds"), [("17", 17.0), ("soon", None), ("1e999", None)])
def test_the_wait_that_a_server_asks_for_is_handed_on(
    kiva: HttpServer, api: PartnerApi, header: str, seconds: float | None
) -> None:
    kiva.answer = lambda _asked: Reply({}, 429, {"Retry-After": header})
    answer = api.post(PostKind.REPAYMENT, b"{}", "a1")
    assert answer == Answered(429, {}, retry_after_seconds=seconds)


def half_an_answer(connection: socket.socket) -> None:
    answering(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"upload_id":')(connection)


def reset_while_reading(connection: socket.socket) -> None:
    connection.recv(1)
    reset(connection)


def read_then_reset(connection: socket.socket) -> None:
    read_request(connection)
    reset(connection)


def silence(connection: socket.socket) -> None:
    read_request(connection)
    connection.recv(1)  # until the client has had enough


def stops_half_way(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    connection.recv(1)


HEAD = b"HTTP/1.1 200 OK\r\n"
BROKEN = {
    "closed before reading": (lambda connection: None, {"RemoteProtocolError", "ReadError", "WriteError"}),
    "reset while reading": (reset_while_reading, {"ReadError", "WriteError", "RemoteProtocolError"}),
    "reset after reading": (read_then_reset, {"ReadError"}),
    "closed after reading": (answering(b""), {"RemoteProtocolError"}),
    "closed in the headers": (answering(b"HTTP/1.1 200 OK\r\nContent-Le"), {"RemoteProtocolError"}),
    "half a body": (half_an_answer, {"RemoteProtocolError"}),
    "half a chunk": (answering(HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{"), {"RemoteProtocolError"}),
    "a bad chunk": (answering(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), {"RemoteProtocolError"}),
    "two lengths": (answering(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"), {"RemoteProtocolError"}),
    "garbage": (answering(b"\x00\xffnot http\r\n\r\n"), {"RemoteProtocolError"}),
    "bad gzip": (answering(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"), {"DecodingError"}),
    "silence": (silence, {"ReadTimeout"}),
    "stops half way": (stops_half_way, {"ReadTimeout"}),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_leaves_open_whether_the_post_arrived(client: Client, name: str) -> None:
    behave, causes = BROKEN[name]
    with RawServer(behave) as broken:
        api = client(broken.url, read_timeout_seconds=0.05)
        exchange = api.post(PostKind.REPAYMENT, b'{"repayments":[]}', "a1")
        assert isinstance(exchange, Unanswered)
        assert exchange.cause in causes
        assert broken.connections == 1


def test_a_body_that_the_server_does_not_take_in_time_leaves_it_open(client: Client) -> None:
    given_up = threading.Event()
    with RawServer(lambda _connection: given_up.wait(10)) as deaf:
        api = client(deaf.url, read_timeout_seconds=0.05)
        assert api.post(PostKind.LOAN_DRAFT, b" " * 30_000_000, "a1") == Unanswered("WriteTimeout")
        given_up.set()
        assert deaf.connections == 1


def test_a_refused_connection_means_not_sent(client: Client) -> None:
    api = client(f"http://127.0.0.1:{closed_port()}")
    assert api.post(PostKind.REPAYMENT, b"{}", "a1") == NotSent("ConnectError")


def test_a_failed_tls_handshake_means_not_sent(client: Client) -> None:
    def no_tls(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with RawServer(no_tls) as plain:
        api = client(plain.url.replace("http:", "https:"))
        assert api.post(PostKind.REPAYMENT, b"{}", "a1") == NotSent("ConnectError")


@pytest.fixture
def full_queue() -> Iterator[str]:
    """A host that takes no more connections, as one behind a silent firewall."""
    with socket.socket() as listening, socket.socket() as filler:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        filler.connect(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_connection_that_takes_too_long_means_not_sent(client: Client, full_queue: str) -> None:
    api = client(full_queue, connect_timeout_seconds=0.05)
    assert api.post(PostKind.REPAYMENT, b"{}", "a1") == NotSent("ConnectTimeout")


def test_a_proxy_that_refuses_the_tunnel_means_not_sent(client: Client) -> None:
    def forwards_no_tls(connection: socket.socket) -> None:
        if read_request(connection).startswith(b"CONNECT"):
            connection.sendall(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
        else:  # the token request, which is plain HTTP here
            connection.sendall(HEAD + b"Content-Length: 20\r\n\r\n" + b'{"access_token":"T"}')

    with RawServer(forwards_no_tls) as proxy:
        api = client("https://127.0.0.1:9", proxy=proxy.url)
        assert api.post(PostKind.REPAYMENT, b"{}", "a1") == NotSent("ProxyError")


def tree(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


NOTHING_LEFT = {
    "ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol",
    "InvalidURL",
}  # fmt: skip
MAY_HAVE_ARRIVED = {
    "HTTPError", "RequestError", "TransportError", "TimeoutException", "ReadTimeout",
    "WriteTimeout", "NetworkError", "ReadError", "WriteError", "CloseError", "ProtocolError",
    "LocalProtocolError", "RemoteProtocolError", "DecodingError", "TooManyRedirects",
    "HTTPStatusError",
}  # fmt: skip
FAILURES = sorted({*tree(httpx.HTTPError), *tree(httpx.InvalidURL)}, key=lambda kind: kind.__name__)


def test_every_failure_that_httpx_knows_has_an_outcome() -> None:
    assert {kind.__name__ for kind in FAILURES} == NOTHING_LEFT | MAY_HAVE_ARRIVED


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_proves_not_sent_only_where_nothing_can_have_left(kind: type[Exception]) -> None:
    request = httpx.Request("POST", "http://127.0.0.1")
    more = {"request": request, "response": httpx.Response(500)}
    error = kind("x", **more) if kind is httpx.HTTPStatusError else kind("x")
    outcome = NotSent if kind.__name__ in NOTHING_LEFT else Unanswered
    assert exchange_of(error) == outcome(kind.__name__)


def peers(kiva: HttpServer) -> list[tuple[str, int]]:
    return [asked.peer for asked in kiva.asked]


@pytest.mark.parametrize(("idle_seconds", "connections"), [(1.5, 1), (2.1, 2)])
def test_a_connection_that_idled_over_two_seconds_is_not_used(
    kiva: HttpServer,
    api: PartnerApi,
    monkeypatch: pytest.MonkeyPatch,
    idle_seconds: float,
    connections: int,
) -> None:
    api.post(PostKind.REPAYMENT, b"{}", "a1")
    real = time.monotonic  # time-machine leaves this clock alone
    monkeypatch.setattr(time, "monotonic", lambda: real() + idle_seconds)
    api.post(PostKind.REPAYMENT, b"{}", "a2")
    assert len(set(peers(kiva))) == connections


def test_a_kept_connection_that_breaks_is_not_a_reason_to_post_again(client: Client) -> None:
    ok = HEAD + b"Content-Length: 2\r\n\r\n{}"
    requests = []

    def second_breaks(connection: socket.socket) -> None:
        requests.append(read_request(connection))
        connection.sendall(ok)
        requests.append(read_request(connection))
        reset(connection)

    with RawServer(second_breaks) as server:
        api = client(server.url)
        assert api.post(PostKind.REPAYMENT, b"{}", "a1") == Answered(200, {})
        assert isinstance(api.post(PostKind.REPAYMENT, b"{}", "a2"), Unanswered)
        assert (len(requests), server.connections) == (2, 1)


def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(client: Client) -> None:
    with RawServer(answering(HEAD + b"Content-Length: 2\r\n\r\n{}")) as server:
        api = client(server.url)
        for attempt in ("a1", "a2"):
            assert api.post(PostKind.REPAYMENT, b"{}", attempt) == Answered(200, {})
            assert server.closed_one.wait(10)
        assert server.connections == 2


def test_each_thread_keeps_one_connection(kiva: HttpServer, api: PartnerApi) -> None:
    all_at_work = threading.Barrier(4)

    def three_posts(thread: int) -> None:
        for number in range(3):
            all_at_work.wait(10)
            answer = api.post(PostKind.REPAYMENT, b"{}", f"{thread}-{number}")
            assert answer == Answered(200, {})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(three_posts, range(4)))
    assert len(kiva.asked) == 12
    assert len(set(peers(kiva))) == 4
    assert len(kiva.tokens) == 1


def test_a_closed_client_has_let_go_of_its_connections(kiva: HttpServer, client: Client) -> None:
    seen: list[bytes] = []
    ended = threading.Event()

    def until_closed(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")
        seen.append(connection.recv(1))
        ended.set()

    with RawServer(until_closed) as server:
        with client(server.url) as api:
            api.post(PostKind.REPAYMENT, b"{}", "a1")
        assert ended.wait(10)
    assert seen == [b""]
