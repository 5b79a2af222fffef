"""A pgbouncer of our own before the tests' PostgreSQL server."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kiva_pipeline_tests.live import need
from kiva_pipeline_tests.live.postgres import ADMIN, PostgresServer, free_port, server_user


@contextlib.contextmanager
def pgbouncer(server: PostgresServer, pool_mode: str, **options: int) -> Iterator[int]:
    """The port of a pooler in this mode."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    need(program, "no pgbouncer on this machine: apt-get install pgbouncer")
    folder = Path(tempfile.mkdtemp(prefix="kiva-pgbouncer-"))
    port, address = free_port(), server.address
    settings = {
        "listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "", "auth_type": "any",
        "pool_mode": pool_mode, "default_pool_size": 20, "admin_users": ADMIN,
    } | options  # fmt: skip
    lines = [
        "[databases]", f"* = host={address.host} port={address.port} user={address.username}",
        "[pgbouncer]", *(f"{name} = {value}" for name, value in settings.items()),
    ]  # fmt: skip
    (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
    user, group, _ = server_user()
    os.chown(folder, user, group)
    privileged = os.geteuid() == 0
    with (folder / "output").open("wb") as output:
        running = subprocess.Popen(
            [str(program), str(folder / "pgbouncer.ini")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            **({"user": user, "group": group, "extra_groups": []} if privileged else {}),
        )
    try:
        _until_it_listens(port, running, folder)
        yield port
    finally:
        running.kill()
        running.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _until_it_listens(port: int, running: "subprocess.Popen[bytes]", folder: Path) -> None:
    until = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        assert running.poll() is None, (folder / "output").read_text()
        assert time.monotonic() < until, "pgbouncer does not listen"
        running_for_a_moment(running)


def running_for_a_moment(running: "subprocess.Popen[bytes]") -> None:
    """Wait until it ends, but not for long: that it does not is what is hoped for."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(0.02)
