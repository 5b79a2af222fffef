"""One kept-alive connection, by hand: the cheapest POST that Python can make."""

import socket


class RawConnection:
    """POSTs JSON to one path and reads the whole answer."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer noop\r\n"
            "Content-Type: application/json\r\nX-Request-ID: %s\r\nContent-Length: %d\r\n\r\n"
        )

    def post(self, body: bytes, attempt_id: str) -> bytes:
        """The answer's body."""
        self._socket.sendall((self._head % (attempt_id, len(body))).encode() + body)
        seen = self._socket.recv(65536)
        while b"\r\n\r\n" not in seen:
            seen += self._socket.recv(65536)
        head, _, content = seen.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(content) < length:
            content += self._socket.recv(65536)
        return content

    def close(self) -> None:
        self._socket.close()
