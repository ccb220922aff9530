"""A PostgreSQL server of the tests' own, as an ordinary user, and databases in it."""

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from tests.support.programs import lacking

QUICK = ("fsync=off", "full_page_writes=off", "max_connections=60", "shared_buffers=32MB", "autovacuum=off")
"""Settings that the machine's crash would need, but no crash of a process."""

_numbers = count(1)


def programs() -> Path | None:
    """Where initdb is: Debian keeps it off the path."""
    found = [Path(name).resolve().parent for name in [shutil.which("initdb")] if name]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return next((path for path in found if (path / "initdb").exists() and (path / "pg_ctl").exists()), None)


class Server:
    """A private server: a socket in its own directory, and a port at 127.0.0.1 if asked for."""

    def __init__(self, directory: Path, bin_: Path, settings: tuple[str, ...] = QUICK, *, port: int = 0) -> None:
        self.directory = directory
        self.bin = bin_
        self.port = port
        self._settings = settings
        self._user = _ordinary_user()
        if self._user:
            os.chown(directory, self._user.pw_uid, self._user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make the cluster."""
        self.run(
            "initdb", "--no-sync", "--auth=trust", "--username=mcfd", "--encoding=UTF8", "--locale=C.UTF-8", "data"
        )

    def copy(self, primary: "Server") -> None:
        """Make the cluster as a copy of a running one, to be a replica that hears of nothing later."""
        self.run("pg_basebackup", "-D", "data", "--checkpoint=fast", "--no-sync", *primary._where())
        (self.directory / "data" / "standby.signal").touch()

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs as the server's user."""
        done = subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            **self._as_user(),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self, program: str, *arguments: str) -> Iterator[None]:
        """Let one of PostgreSQL's programs run meanwhile, as the server's user."""
        started = subprocess.Popen([self.bin / program, *arguments], cwd=self.directory, **self._as_user())
        try:
            yield
        finally:
            started.kill()
            started.wait(30)

    def start(self) -> None:
        """Start it, and return once it answers."""
        listen = ["listen_addresses=127.0.0.1", f"port={self.port}"] if self.port else ["listen_addresses="]
        options = [f"-c{text}" for text in (*self._settings, *listen, f"unix_socket_directories={self.directory}")]
        log = (self.directory / "log").open("ab")
        self._process = subprocess.Popen(
            [self.bin / "postgres", "-D", "data", *options],
            cwd=self.directory,
            stdout=log,
            stderr=log,
            **self._as_user(),
        )
        log.close()
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.directory / "log").read_text()
            else:
                return

    def stop(self, sig: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it at once, as a crash does; SIGINT stops it in order."""
        if self._process is not None:
            self._process.send_signal(sig)
            self._process.wait(30)
            self._process = None

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.directory / f".s.PGSQL.{self.port or 5432}"

    def follow(self, leader: "Server") -> None:
        """Begin as a copy of another server, and follow it: what that one commits from now on is here, too."""
        self.run("pg_basebackup", "-D", "data", "-R", "--checkpoint=fast", "--no-sync", *leader._where())
        self.start()
        with psycopg.connect(leader.url("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            waits = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            while connection.execute(waits).fetchone() == (0,):
                pass

    def promote(self) -> None:
        """Follow nobody any more."""
        self.run("pg_ctl", "promote", "-D", "data")

    def _where(self) -> tuple[str, ...]:
        return ("-h", str(self.directory), "-U", "mcfd", *(("-p", str(self.port)) if self.port else ()))

    def url(self, database: str) -> str:
        """The address of a database, as store.url has it."""
        port = f"&port={self.port}" if self.port else ""
        return f"postgresql://mcfd@/{database}?host={self.directory}{port}"

    def new_database(self, like: str = "template1") -> str:
        """Make an empty database, or a copy of another that nobody uses; returns its address."""
        name = f"d{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            quickly = "STRATEGY FILE_COPY" if connection.info.server_version >= 15_00_00 else ""  # 14 has no other way
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {like} {quickly}")
        return self.url(name)

    def _as_user(self) -> dict[str, object]:
        user = self._user
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def _ordinary_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root."""
    if getpass.getuser() != "root" and os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


def needed() -> Path:
    """Where PostgreSQL's programs are; skips the test where there are none, and fails it in CI."""
    return programs() or lacking("PostgreSQL is not installed; .ci/packages installs it")


@contextmanager
def following_server(leader: Server) -> Iterator[Server]:
    """A replica, without which the leader commits nothing from now on; stopped and removed at the end."""
    with unmade_server() as server:
        server.follow(leader)
        yield server


@contextmanager
def running_server(settings: tuple[str, ...] = QUICK, *, port: int = 0) -> Iterator[Server]:
    """A new server, stopped and removed at the end."""
    with unmade_server(settings, port) as server:
        server.make()
        server.start()
        yield server


@contextmanager
def replica_of(primary: Server) -> Iterator[Server]:
    """A copy of a running server as it is now, running and waiting to be promoted; it follows no further commits."""
    with unmade_server() as server:
        server.copy(primary)
        server.start()
        yield server


@contextmanager
def unmade_server(settings: tuple[str, ...] = QUICK, port: int = 0) -> Iterator[Server]:
    """A server that is known by its directory and has yet to be made; stopped and removed at the end."""
    bin_ = needed()
    with tempfile.TemporaryDirectory(prefix="mcfd-pg-", ignore_cleanup_errors=True) as name:
        server = Server(Path(name), bin_, settings, port=port)
        try:
            yield server
        finally:
            server.stop()
