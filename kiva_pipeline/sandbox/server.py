"""Serving the sandbox: in this process's background, as a process of its own, or in the foreground.

What must not break: it listens on loopback unless told otherwise, and the socket listens before the
server starts, so that a first request waits for the answer instead of being refused.
"""

import http.client
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

import uvicorn
from starlette.applications import Starlette

from kiva_pipeline.errors import PipelineError
from kiva_pipeline.sandbox.app import create_app

__all__ = [
    "DEFAULT_PORT",
    "LOOPBACK",
    "RunningSandbox",
    "SandboxProcess",
    "create_app",
    "serve",
]

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8765
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_BACKLOG = 512


def serve(store_path: Path | str, host: str = LOOPBACK, port: int = DEFAULT_PORT) -> None:
    """Serve until interrupted (Ctrl-C, SIGTERM).

    Raises:
        PipelineError: The port is taken, or the file can't be opened as a sandbox.
    """
    with listen(host, port) as listening:
        server_of(create_app(store_path)).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        PipelineError: The address can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        raise PipelineError(
            f"The sandbox can't listen on {host}:{port}"
            f" ({error.strerror if isinstance(error, OSError) else 'no such port'}).",
            "Stop what uses that port, or choose another one; port 0 takes any that is free.",
        ) from error
    return listening


def server_of(app: Starlette) -> uvicorn.Server:
    """The server of an application: no access log, and no wait for a client that hangs."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            # Behind a tunnel on this machine, the control door must see who is at its other end.
            proxy_headers=True,
            forwarded_allow_ips="127.0.0.1,::1",
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=2,
        )
    )


class RunningSandbox:
    """A sandbox in a thread of this process, for tests and the demo: a context manager.

    Args:
        store_path: The sandbox's file, seeded or not yet.
        host: Loopback unless told otherwise.
        port: 0 takes a free one.

    Attributes:
        url: Where it is, once entered: ``http://127.0.0.1:40123``.
    """

    def __init__(self, store_path: Path | str, host: str = LOOPBACK, port: int = 0) -> None:
        self.store_path = Path(store_path)
        self.url = ""
        self._host, self._port = host, port

    def __enter__(self) -> Self:
        self._socket = listen(self._host, self._port)
        try:
            self._server = server_of(create_app(self.store_path))
        except PipelineError:
            self._socket.close()
            raise
        self.url = _url_of(self._socket)
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._thread.start()
        _wait_for_an_answer(*self._socket.getsockname()[:2])
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        # Closed also when the server could not start: whoever waits is refused and not left alone.
        with self._socket:
            self._server.run(sockets=[self._socket])


class SandboxProcess:
    """A sandbox in a process of its own, which can be killed: a context manager.

    It ends with the process that started it, however that one ends.

    Args:
        store_path: The sandbox's file, seeded or not yet.
        host: Loopback unless told otherwise.
        port: 0 takes a free one.

    Attributes:
        url: Where it is, once entered.
        port: Its port, once entered; the same one can be given again after ``kill``.
    """

    def __init__(self, store_path: Path | str, host: str = LOOPBACK, port: int = 0) -> None:
        self.store_path = Path(store_path)
        self.url = ""
        self.port = port
        self._host = host

    def __enter__(self) -> Self:
        with listen(self._host, self.port) as listening:
            self.url, self.port = _url_of(listening), listening.getsockname()[1]
            self._process = subprocess.Popen(  # noqa: S603  our own module
                [
                    sys.executable,
                    "-m",
                    "kiva_pipeline.sandbox",
                    str(self.store_path),
                    str(listening.fileno()),
                ],
                stdin=subprocess.PIPE,
                pass_fds=[listening.fileno()],
            )
            address = listening.getsockname()[:2]
        try:
            _wait_for_an_answer(*address)
        except PipelineError:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin:
            self._process.stdin.close()  # tells it to end
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as ``kill -9`` does: in the middle of whatever it is doing."""
        self._process.kill()
        self._process.wait()


def _url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _wait_for_an_answer(host: str, port: int) -> None:
    # The socket listens already: the request lies in its queue until the server takes it.
    reachable = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104  any address
    connection = http.client.HTTPConnection(reachable, port, timeout=_START_SECONDS)
    try:
        connection.request("GET", "/_sandbox/facts")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise PipelineError(
            "The sandbox did not start.", "Run `kiva-pipeline sandbox` to see why."
        ) from error
    finally:
        connection.close()
