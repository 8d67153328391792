"""Who answers a query: the read replica, or, while that can't, the primary through a few connections?"""

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Final, Self, TypeVar

from msgspec import Struct
from prometheus_client import Gauge
from psycopg.errors import QueryCanceled, UndefinedColumn, UndefinedTable
from psycopg_pool import PoolTimeout

from application.ports import StoreUnavailable
from infrastructure.database import Database

R = TypeVar("R")

LOOK_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 5
WAIT_SECONDS: Final = 5.0
STAND_IN_SIZE: Final = 4
"""Connections to the primary for all queries of a process that its replica can't answer: commands must not wait for them."""
STOP_SECONDS: Final = 5.0

PRIMARY: Final = "SELECT pg_current_wal_flush_lsn()::text, clock_timestamp(), system_identifier FROM pg_control_system()"
REPLICA: Final = """
    SELECT pg_is_in_recovery(), system_identifier, pg_wal_lsn_diff(%s::pg_lsn, pg_last_wal_replay_lsn())::bigint,
        pg_last_xact_replay_timestamp()
    FROM pg_control_system()"""

IN_USE: Final = Gauge("ninebell_replica_in_use", "1 while queries go to the read replica", ["replica"])
BEHIND_BYTES: Final = Gauge("ninebell_replica_behind_bytes", "Written by the primary, not yet applied there", ["replica"])
BEHIND_SECONDS: Final = Gauge("ninebell_replica_behind_seconds", "Age of the last it applied; 0 if that is all", ["replica"])
STOOD_IN: Final = Gauge("ninebell_queries_stood_in", "Queries that the primary answered in its place, since the start")

logger = logging.getLogger(__name__)


class Standing(Struct, frozen=True):
    """What a look at the replica found."""

    trouble: str = ""  # why no query goes there
    behind_bytes: int | None = None  # None where the primary does not answer either
    behind_seconds: float = 0.0


class ReadReplica:
    """A streaming standby that queries go to while it answers, looked at once a second. Safe to share among threads."""

    def __init__(
        self,
        dsn: str,
        primary_dsn: str,
        *,
        name: str,
        application_name: str,
        size: int,
        patience_seconds: int = PATIENCE_SECONDS,
    ) -> None:
        """`name` is how metrics call it. What gives no connection in `patience_seconds` does not answer."""
        self.name: Final = name
        self.database: Final = Database(
            dsn, application_name=application_name, size=size, replica=True, wait_seconds=WAIT_SECONDS
        )
        self.stand_in: Final = Database(primary_dsn, application_name=f"{application_name} queries", size=STAND_IN_SIZE)
        self.standing = Standing("was not looked at yet")
        self._patience_seconds = patience_seconds
        self._looked_at = 0.0
        self._look_now, self._stopping = Event(), Event()
        self._thread = Thread(target=self._watch, name="replica watch", daemon=True)

    def __enter__(self) -> Self:
        """Waits for nobody: until the first look has found it fit, the primary answers."""
        self.database.open(wait=False)
        self.stand_in.open(wait=False)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        self._look_now.set()
        self._thread.join(STOP_SECONDS)
        self.database.close()
        self.stand_in.close()

    @property
    def trouble(self) -> str:
        """Why queries do not go there now; empty while they do."""
        looks_take_seconds = LOOK_SECONDS + 2 * self._patience_seconds  # one that never ends says nothing good
        if self.standing.trouble or monotonic() - self._looked_at < looks_take_seconds:
            return self.standing.trouble
        return "does not answer"

    def first(self, there: Callable[[], R], here: Callable[[], R]) -> R:
        """The same query on the replica; on the primary's few connections where that fails or is not to be asked.

        A query that the standby cancelled, since what it must apply came in between, is asked again here. One that took too
        long, or found no connection free, is not: it would only carry the load over. One about tables or columns that a new
        version has made, and that are still on their way there, is. Raises StoreUnavailable.
        """
        if not self.trouble:
            try:
                return there()
            except StoreUnavailable as error:
                self._look_now.set()
                if isinstance(error.__cause__, QueryCanceled | PoolTimeout) and not self.trouble:
                    raise
            except (UndefinedTable, UndefinedColumn):
                self._look_now.set()
        STOOD_IN.inc()
        return here()

    def look(self) -> Standing:
        """Whether it is reachable, a replica, this database's, and how far behind. Nothing is raised."""
        written = now = system = None
        with suppress(StoreUnavailable), self.stand_in.passing(self._patience_seconds) as connection:
            [(written, now, system)] = connection.execute(PRIMARY).fetchall()
        try:
            with self.database.passing(self._patience_seconds) as connection:
                [(standby, its_system, behind, applied_at)] = connection.execute(REPLICA, (written,)).fetchall()
        except StoreUnavailable as error:
            return Standing(f"does not answer ({error})")
        if not standby:
            return Standing("is no replica: it takes writes itself")
        if system is not None and system != its_system:
            return Standing("is a replica of another database")
        if behind is None or now is None:
            return Standing()
        seconds = (now - applied_at).total_seconds() if behind > 0 and applied_at else 0.0
        return Standing("", max(0, behind), max(0.0, seconds))

    def _watch(self) -> None:
        while not self._stopping.is_set():
            self._look_now.clear()
            self._become(self.look())
            self._look_now.wait(LOOK_SECONDS)

    def _become(self, standing: Standing) -> None:
        if standing.trouble != self.standing.trouble:
            logger.warning("read replica %s %s", self.name, standing.trouble or "answers queries")
            if standing.trouble:
                self.database.cut()  # a query that waits for a frozen server would wait as long as that
        self.standing, self._looked_at = standing, monotonic()
        IN_USE.labels(self.name).set(not standing.trouble)
        BEHIND_BYTES.labels(self.name).set(standing.behind_bytes or 0)
        BEHIND_SECONDS.labels(self.name).set(standing.behind_seconds)
