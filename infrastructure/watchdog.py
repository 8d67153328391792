"""What frees a log whose writer stands still while it holds the lock?

A client frozen in the middle of a statement keeps its lock whatever the time-outs say; only ending its backend frees it.
"""

import logging
import time
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self

import psycopg
from psycopg import Cursor

from application.ports import StoreUnavailable
from infrastructure.database import Database, Row
from infrastructure.event_log import LOCK_SPACE

LONGEST_HOLD_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 1.0
STOP_SECONDS: Final = 5.0

# Half of the key in each of two columns, as pg_locks shows an advisory lock of two ints. A backend has one lock of a log in one
# transaction once; the start of the transaction tells it from the next one of the same backend. A leader's transaction may take
# longer, while it has more to say: it keeps a takeover waiting, though, and for ever if the server waits for it amid a statement.
HOLDERS: Final = """
    SELECT pid, objid::bigint, xact_start::text FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND classid = %s AND objsubid = 2 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL
    SELECT pid, 0, state_change::text FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE relation = to_regclass('leaders') AND mode = 'RowShareLock' AND granted
      AND wait_event_type = 'Client' AND datname = current_database()"""

logger = logging.getLogger(__name__)

Holder = tuple[int, int, str]


class Watchdog:
    """Ends every backend seen holding a log's lock, or a dispatcher's turn, for ten seconds; a leader's, if it stands still.

    Each process may run one.
    """

    def __init__(
        self, database: Database, *, longest_hold_seconds: float = LONGEST_HOLD_SECONDS, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._database = database
        self._longest_hold_seconds, self._look_seconds = longest_hold_seconds, look_seconds
        self._since: dict[Holder, float] = {}
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="watchdog", daemon=True)

    def step(self, monotonic_seconds: float) -> list[int]:
        """Look once; returns the process IDs of the backends ended.

        Counted from when a holder was first seen: the start of its transaction says little, as it may have waited for the lock.
        """
        with self._database.cursor() as cursor:
            cursor.execute(HOLDERS, (LOCK_SPACE,))
            self._since = {holder: self._since.get(holder, monotonic_seconds) for holder in cursor.fetchall()}
            stuck = [pid for (pid, _, _), since in self._since.items() if monotonic_seconds - since >= self._longest_hold_seconds]
            return [pid for pid in set(stuck) if _end(cursor, pid)]

    def start(self) -> Self:
        """Go on in a thread."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopping.wait(self._look_seconds):
            try:
                for pid in self.step(time.monotonic()):
                    logger.warning(
                        "ended backend %d: it stood still, or held a log's lock, for more than %.0f s",
                        pid,
                        self._longest_hold_seconds,
                    )
            except (StoreUnavailable, psycopg.Error) as error:
                self._since = {}
                logger.warning("the watchdog can't free the logs (%s)", type(error.__cause__ or error).__name__)


def _end(cursor: Cursor[Row], pid: int) -> bool:
    cursor.execute("SELECT pg_terminate_backend(%s)", (pid,))
    row = cursor.fetchone()
    return bool(row and row[0])
