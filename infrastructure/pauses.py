"""Where are the pauses kept, and how does a worker see them in time?"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from psycopg import Cursor

from application.pause_sending import PastPause, Pause, PausedNames
from application.ports import StoreUnavailable
from infrastructure.database import Database, Row, translated

LOOK_EVERY_SECONDS: Final = 1.0
TOO_OLD_SECONDS: Final = 2.0
OPEN: Final = "SELECT name, who, reason, at FROM pauses WHERE resumed_at IS NULL ORDER BY at, name"
BETWEEN: Final = """
    SELECT name, who, reason, at, resumed_at FROM pauses
    WHERE at < %b AND (resumed_at IS NULL OR resumed_at > %b) ORDER BY at, name"""
NAMES: Final = "SELECT name FROM pauses WHERE resumed_at IS NULL"
BEGIN: Final = """
    INSERT INTO pauses (name, who, reason, at) VALUES (%b, %b, %b, %b)
    ON CONFLICT (name) WHERE resumed_at IS NULL DO NOTHING"""
END: Final = """
    UPDATE pauses SET resumed_by = %b, resumed_because = %b, resumed_at = %b WHERE name = %b AND resumed_at IS NULL"""


class PostgresPauses:
    """`application.pause_sending.Pauses` on the table `pauses`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self) -> list[Pause]:
        with translated(), self._database.direct() as connection:  # who asks whether we are ready does not wait for the pool
            return [Pause(*row) for row in connection.execute(OPEN)]

    def between(self, since: datetime, until: datetime) -> list[PastPause]:
        """Those that lasted for some of that time, the oldest first. Raises StoreUnavailable."""
        with self._database.cursor() as cursor:
            return [PastPause(*row) for row in cursor.execute(BETWEEN, (until, since))]

    def begin(self, pause: Pause) -> bool:
        with self._database.cursor() as cursor:
            return cursor.execute(BEGIN, (pause.name, pause.who, pause.reason, pause.at)).rowcount == 1

    def end(self, pause: Pause) -> bool:
        with self._database.cursor() as cursor:
            return cursor.execute(END, (pause.who, pause.reason, pause.at, pause.name)).rowcount == 1


def paused_names(cursor: Cursor[Row]) -> frozenset[str]:
    """In the transaction of a dispatcher, say."""
    return frozenset(name for (name,) in cursor.execute(NAMES, prepare=True))


class WatchedPostgresPauses:
    """`application.pause_sending.WatchedPauses`, for one event loop: read in a thread, and while that goes on, what was known."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names: PausedNames = ()
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def current(self) -> PausedNames:
        """See WatchedPauses. Without the store what was known holds on: no lease covers a call for long then."""
        age = time.monotonic() - self._read_at
        if age >= LOOK_EVERY_SECONDS:
            self._reading = self._reading or asyncio.create_task(self._read())
            if age >= TOO_OLD_SECONDS:
                await asyncio.shield(self._reading)
        return self._names

    async def _read(self) -> None:
        try:
            self._names = await asyncio.to_thread(self._paused)
        except StoreUnavailable:
            pass
        finally:
            self._read_at, self._reading = time.monotonic(), None

    def _paused(self) -> Sequence[str]:
        with self._database.cursor() as cursor:
            return tuple(paused_names(cursor))
