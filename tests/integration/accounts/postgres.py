"""A PostgreSQL server of our own, from Debian's package, for one run of the tests.

It runs as an unprivileged user when the tests run as root (it refuses to be
root), listens on a Unix socket only, and does not outlive the tests even when
those are killed: the kernel interrupts it then.
"""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

INSTALLED = Path("/usr/lib/postgresql")
DEADLINE_S = 60
READY = "database system is ready to accept connections"

# What a crash would cost does not matter here; what an fsync costs does.
SETTINGS = [
    "-c",
    "listen_addresses=",
    "-c",
    "fsync=off",
    "-c",
    "max_connections=100",
    "-c",
    "log_timezone=UTC",
]


@dataclass(frozen=True)
class PostgresServer:
    """A running server; each test gets a new database from it."""

    binaries: Path
    directory: Path
    user: str

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{uuid.uuid4().hex}"
        self.run_sql("postgres", f"CREATE DATABASE {name}")
        return f"postgresql+asyncpg://{self.user}@/{name}?host={self.directory}"

    def run_sql(self, database: str, statement: str) -> str:
        """Run a statement from outside the program under test; return what psql prints."""
        where = ["-h", str(self.directory), "-U", self.user, "-d", database]
        return subprocess.check_output(
            [str(self.binaries / "psql"), "-X", "-q", "-A", "-t", *where, "-c", statement],
            timeout=DEADLINE_S,
            text=True,
        ).strip()


def installed_binaries() -> Path | None:
    """Return the folder of the newest installed server, or ``None``."""
    found = [folder for folder in INSTALLED.glob("*/bin") if (folder / "initdb").exists()]
    return max(found, key=lambda folder: float(folder.parent.name), default=None)


@contextmanager
def running_server(binaries: Path) -> Iterator[PostgresServer]:
    """Make a cluster in a short directory (a socket's path has at most 107 bytes) and run it."""
    user = _unprivileged_user()
    directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        shutil.chown(directory, user)
        _initialise(binaries, directory, user)
        with _serving(binaries, directory, user):
            yield PostgresServer(binaries, directory, user)
    finally:
        shutil.rmtree(directory)


def _unprivileged_user() -> str:
    if os.geteuid() != 0:
        return getpass.getuser()
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _as(user: str) -> list[str]:
    entry = pwd.getpwnam(user)
    command = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        command += [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    return [*command, "--"]


def _initialise(binaries: Path, directory: Path, user: str) -> None:
    options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", user]
    subprocess.run(
        [*_as(user), binaries / "initdb", *options, "-D", directory / "data"],
        check=True,
        timeout=DEADLINE_S,
        capture_output=True,
        cwd=directory,
    )


@contextmanager
def _serving(binaries: Path, directory: Path, user: str) -> Iterator[None]:
    server = subprocess.Popen(
        [*_as(user), binaries / "postgres", "-D", directory / "data", "-k", directory, *SETTINGS],
        stderr=subprocess.PIPE,
        text=True,
        cwd=directory,
    )
    log: list[str] = []
    settled = threading.Event()  # it is ready, or it has ended

    def read_log() -> None:
        assert server.stderr is not None
        for line in server.stderr:
            log.append(line)
            if READY in line:
                settled.set()
        settled.set()

    reader = threading.Thread(target=read_log, name="postgres-log")
    reader.start()
    try:
        if not settled.wait(DEADLINE_S) or server.poll() is not None:
            raise RuntimeError("PostgreSQL did not start:\n" + "".join(log))
        yield
    finally:
        with server:
            server.send_signal(signal.SIGINT)  # "fast": rolls back and disconnects
            try:
                server.wait(DEADLINE_S)
            finally:
                server.kill()
                reader.join(DEADLINE_S)
