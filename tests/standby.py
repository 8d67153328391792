"""A real streaming standby for tests: made by pg_basebackup from a running server, stopped, frozen and thawed."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import psutil
from psycopg import Connection

from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.postgres_cluster import PostgresCluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

REPLICATES = ("wal_level = 'replica'", "max_wal_senders = 10", "wal_keep_size = '64MB'")
CONF = "\nmax_standby_streaming_delay = 0\nhot_standby_feedback = off\n"


@contextmanager
def primary(home: Path) -> Iterator[str]:
    """DSN of a server of the test's own that a standby can follow."""
    with EmbeddedPostgres.start(home, durable=False) as postgres, Connection.connect(postgres.dsn, autocommit=True) as connection:
        for setting in REPLICATES:
            connection.execute(f"ALTER SYSTEM SET {setting}".encode())
    with EmbeddedPostgres.start(home, durable=False) as postgres:
        yield postgres.dsn


class Standby(PostgresCluster):
    """In its own directory, following the server at a DSN; conflicting queries are cancelled at once."""

    def __init__(self, home: Path, primary_dsn: str) -> None:
        super().__init__(home / "standby", durable=False)
        self._primary_dsn = primary_dsn

    def __enter__(self) -> Self:
        self._let_server_user_in()
        copy = ["-D", str(self._path), "-d", self._primary_dsn, "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        self._run("pg_basebackup", *copy)
        with (self._path / "postgresql.conf").open("a") as conf:
            conf.write(CONF)
        self.ensure_running()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.thaw()
        self.shut_down()

    def freeze(self) -> None:
        """Connections stand and are accepted, and nothing is ever answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if (pid := self.pid) is not None:
            postmaster = psutil.Process(pid)
            for process in (postmaster, *postmaster.children()):
                process.send_signal(number)
