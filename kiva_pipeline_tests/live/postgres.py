"""A PostgreSQL server of our own for the tests, or a database on the one that is given.

What must not break: nothing but its own temporary folder and loopback is touched, and a server
that is given loses only the databases that were made here.
"""

import contextlib
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import URL, make_url

from kiva_pipeline_tests.live import need

SERVER_VARIABLE = "KIVA_PIPELINE_TEST_POSTGRES_URL"
ADMIN = "kiva_admin"
_numbers = itertools.count(1)


class PostgresServer:
    """A running server.

    Attributes:
        address: Of its database ``postgres``, as its administrator.
        own: Whether it was started here, so that its settings may be changed and it be stopped.
    """

    def __init__(self, address: URL, programs: Path | None = None, folder: Path | None = None):
        self.address = address
        self.folder = folder
        self._programs = programs

    @property
    def own(self) -> bool:
        return self.folder is not None

    def address_of(self, database: str, **changed: Any) -> str:
        """A ledger's URL, without a password."""
        return self.address.set(
            drivername="postgresql+psycopg", database=database, password=None, **changed
        ).render_as_string()

    @contextlib.contextmanager
    def database(self, *, like: str = "template0") -> Iterator[str]:
        """The name of an empty database; on a server that was given it is dropped at the end."""
        name = f"kiva_test_{os.getpid()}_{next(_numbers)}"
        self.do(f'CREATE DATABASE "{name}" ENCODING UTF8 TEMPLATE "{like}"')
        try:
            yield name
        finally:
            if not self.own:  # ours goes as a whole, which is quicker
                self.do(f'DROP DATABASE "{name}" WITH (FORCE)')

    def do(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """As the administrator, outside of any transaction."""
        address = self.address.set(drivername="postgresql", database=database)
        with psycopg.connect(address.render_as_string(hide_password=False), autocommit=True) as c:
            cursor = c.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def program(self, name: str) -> str:
        """One of PostgreSQL's programs, such as ``pg_dump``; of the server's own version first."""
        found = shutil.which(name, path=f"{self._programs}:{os.environ['PATH']}")
        need(found, f"no {name} on this machine: apt-get install postgresql-client")
        return str(found)

    def restart(self) -> None:
        """As an administrator does after an update: every session ends."""
        self._pg_ctl("restart", "--mode=fast")

    @contextlib.contextmanager
    def as_standby(self) -> Iterator[None]:
        """A read replica for a while, of a primary that is away."""
        assert self.folder
        (self.folder / "data" / "standby.signal").touch()
        self.restart()
        try:
            yield
        finally:
            self._pg_ctl("promote")

    def reload(self) -> None:
        """Read the configuration again; seen by every session from its next statement on."""
        before = self.do("SELECT pg_conf_load_time()")
        self.do("SELECT pg_reload_conf()")
        while self.do("SELECT pg_conf_load_time()") == before:
            pass

    def _pg_ctl(self, what: str, *options: str) -> None:
        folder = self.folder
        assert folder
        command = [self.program("pg_ctl"), what, "-D", folder / "data", "-l", folder / "log", "-s"]
        as_server_user([*command, "-w", *options], folder)


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """The server that ``KIVA_PIPELINE_TEST_POSTGRES_URL`` names, else one of our own."""
    if given := os.environ.get(SERVER_VARIABLE):
        yield PostgresServer(make_url(given))
        return
    programs = _programs()
    need(programs, "no PostgreSQL server's programs on this machine: apt-get install postgresql")
    # Short, because the path of a socket has a limit; not pytest's, which others may not enter.
    folder = Path(tempfile.mkdtemp(prefix="kiva-postgres-", dir=_quick_folder()))
    os.chown(folder, *server_user()[:2])
    address = URL.create(
        "postgresql", ADMIN, database="postgres", host="127.0.0.1", port=free_port()
    )
    server = PostgresServer(address, programs, folder)
    with _ended_with_us(programs, folder):
        as_server_user(
            [programs / "initdb", "-D", folder / "data", "-U", ADMIN, "--auth=trust",
             "--encoding=UTF8", "--locale=C", "--no-sync"], folder,
        )  # fmt: skip
        options = f"-h 127.0.0.1 -p {address.port} -k {folder} -c max_connections=60"
        server._pg_ctl("start", "-o", options)
        yield server


@contextlib.contextmanager
def _ended_with_us(programs: Path, folder: Path) -> Iterator[None]:
    """End the server and drop its folder at the end, also when this process is killed.

    A shell waits for the end of a pipe that only we hold.
    """
    stop = f'"{programs}/pg_ctl" stop -D "{folder}/data" --mode=immediate -s; rm -rf "{folder}"/*'
    with subprocess.Popen(
        ["sh", "-c", f"cat; {stop}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        start_new_session=True,
        **_as_server_user(),
    ) as waiting:
        yield
        assert waiting.stdin
        waiting.stdin.close()
    shutil.rmtree(folder, ignore_errors=True)


def server_user() -> tuple[int, int, str]:
    """Whom servers run as: they refuse root. Its number, its group's, its name."""
    if os.geteuid() != 0:
        own = pwd.getpwuid(os.geteuid())
        return own.pw_uid, own.pw_gid, own.pw_name
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return found.pw_uid, found.pw_gid, name
    raise AssertionError("no user to run a server as")


def as_server_user(command: list[Any], folder: Path) -> None:
    """Run a program of a server; what it says is shown when it fails."""
    ended = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=(folder / "output").open("wb"),  # a file: the server inherits it and never closes it
        stderr=subprocess.STDOUT,
        cwd=folder,
        timeout=120,
        check=False,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        **_as_server_user(),
    )
    assert ended.returncode == 0, (folder / "output").read_text()


def _as_server_user() -> dict[str, Any]:
    user, group, _ = server_user()
    return {"user": user, "group": group, "extra_groups": []} if os.geteuid() == 0 else {}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _quick_folder() -> str | None:
    """In memory where there is room: a database is 300 files, and each is brought to the disk."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 4 * 1024**3
    return str(memory) if roomy and os.access(memory, os.W_OK) else None


def _programs() -> Path | None:
    found = [*Path("/usr/lib/postgresql").glob("*/bin"), Path("/usr/local/bin"), Path("/usr/bin")]
    newest_first = sorted(
        found, key=lambda p: (p.parent.name.isdigit(), p.parent.name), reverse=True
    )
    return next((folder for folder in newest_first if (folder / "initdb").exists()), None)
