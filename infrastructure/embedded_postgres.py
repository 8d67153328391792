"""How does Ninebell run on a PostgreSQL of its own, with nothing to install?

The server lives in a session of its own: it outlives a killed owner and is adopted by the next one. Who may start and stop it is
told by advisory file locks, which the operating system releases with their holder:

    postgres.owner   held alone by the one `up` of this data directory
    postgres.users   shared by everyone who uses the server; whoever can take it alone was the last, and stops the server
    postgres.gate    held for the moment of starting or stopping
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from infrastructure.postgres_cluster import PostgresCluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


class DataDirectoryBusy(Exception):
    """Another Ninebell owns this data directory."""


class EmbeddedPostgres:
    """A running PostgreSQL whose data lies in `<data directory>/postgres`; it listens on a local socket only."""

    def __init__(self, data_dir: Path, *, durable: bool) -> None:
        """Not called directly: `start` makes one."""
        self._data_dir = data_dir
        self._cluster = PostgresCluster(data_dir / "postgres", durable=durable)
        self._held = ExitStack()
        self._users: IO[str] | None = None

    @classmethod
    def start(cls, data_dir: Path | str, *, durable: bool = True, guest: bool = False) -> Self:
        """Start the directory's server, or adopt the one that runs, and wait until it answers, through crash recovery if need be.

        One owner is the most there can be; a guest (a command beside `up`) shares the server with it. `durable=False` trades
        safety for speed, for data that is thrown away at the end.

        Raises DataDirectoryBusy, PostgresNotStarted.
        """
        home = Path(data_dir).resolve()
        home.mkdir(parents=True, exist_ok=True, mode=0o711)
        postgres = cls(home, durable=durable)
        with ExitStack() as undo:
            undo.callback(postgres._held.close)
            undo.callback(postgres.stop)  # interrupted while it starts, nobody would know of it
            if not guest:
                postgres._become_owner()
            with postgres._gate():
                postgres._users = postgres._lock("postgres.users", fcntl.LOCK_SH)
                postgres._cluster.ensure_running()
            undo.pop_all()
        return postgres

    def stop(self) -> None:
        """Let go of the server; the last to let go shuts it down and waits for the end. Twice is harmless."""
        if self._users is None:
            return
        with self._held, self._gate():
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # someone else still uses it, and will stop it
            else:
                self._cluster.shut_down()
        self._users = None

    def revive(self) -> bool:
        """Start the server again if it has died, and wait until it answers; whether it had. Raises PostgresNotStarted."""
        if self._users is None or self._cluster.pid is not None:
            return False
        with self._gate():
            self._cluster.ensure_running()
        return True

    @property
    def dsn(self) -> str:
        """Connection string of the database `postgres`, as its superuser."""
        return self._cluster.dsn("postgres")

    def dsn_of(self, database: str) -> str:
        """Connection string of another database of this server."""
        return self._cluster.dsn(database)

    @property
    def pid(self) -> int | None:
        """Process ID of the running server, None when it is down."""
        return self._cluster.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _become_owner(self) -> None:
        try:
            owner = self._lock("postgres.owner", fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = (self._data_dir / "postgres.owner").read_text().strip() or "another one"
            remedy = "stop that first, or set NINEBELL_DATA_DIR"
            raise DataDirectoryBusy(f"The data directory {self._data_dir} is in use by process {holder}: {remedy}.") from None
        owner.truncate(0)
        owner.write(str(os.getpid()))
        owner.flush()

    def _lock(self, name: str, how: int) -> IO[str]:
        """Held until the process ends or `_held` is closed."""
        file = self._held.enter_context((self._data_dir / name).open("a+"))
        fcntl.flock(file, how)
        return file

    @contextmanager
    def _gate(self) -> Iterator[None]:
        with (self._data_dir / "postgres.gate").open("a") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield
