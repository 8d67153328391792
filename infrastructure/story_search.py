"""Where in the logs does a request's story begin, which has no index of its own?"""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from psycopg import Cursor, sql

from application.ports import Log
from application.trace import Searched
from infrastructure.database import Database, Row
from infrastructure.event_reader import LAST_GIVEN
from projections import message_log
from projections.message_filter import Asked
from projections.projection import MOST_ROWS

AHEAD: Final = 150_000
BACK: Final = 50_000
"""Events looked through around an instant: half a second at most, however large the log."""
MOST_FOUND: Final = 1_000

NEXT: Final = sql.SQL("SELECT notification_id, recorded_at FROM {} WHERE notification_id >= %b ORDER BY notification_id LIMIT 1")
# The state is JSON without spaces (see event_mapper.py), and an ID is a word that needs no escape.
WITH_ID: Final = sql.SQL(
    "SELECT originator_id FROM {} WHERE notification_id >= %b AND notification_id < %b"
    " AND position(%b::bytea IN state) > 0 ORDER BY notification_id LIMIT %b"
)
PLANNED_FOR: Final = "SELECT message_id FROM planned WHERE user_id = %b ORDER BY occasion DESC LIMIT %b"
CALLED_AT: Final = "SELECT at FROM caller_ids WHERE correlation_id = %b ORDER BY at LIMIT 20"
NOTE: Final = "INSERT INTO caller_ids (correlation_id, at) VALUES (%b, %b) ON CONFLICT DO NOTHING"


class PostgresStories:
    """`application.trace.Stories`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, correlation_id: str, at: datetime) -> None:
        """A caller brings this ID of its own: nothing in it tells when. Raises StoreUnavailable."""
        with self._database.transaction() as cursor:
            # It only says where to look: a crash may lose the last second of it, and no command waits for the disk twice.
            cursor.execute("SET LOCAL synchronous_commit = off")
            cursor.execute(NOTE, (correlation_id, at), prepare=True)

    def forget(self, before: datetime) -> None:
        """Raises StoreUnavailable."""
        with self._database.cursor() as cursor:
            cursor.execute("DELETE FROM caller_ids WHERE at < %b", (before,))

    def called_at(self, correlation_id: str) -> list[datetime]:
        """Raises StoreUnavailable."""
        with self._database.cursor() as cursor:
            return [at for (at,) in cursor.execute(CALLED_AT, (correlation_id,))]

    def begun_by(
        self, correlation_id: str, log: Log, since: datetime | None, at: datetime | None, until: datetime | None
    ) -> Searched:
        """Positions and instants grow together, but for the clocks of several writers: so an instant is a place in the log.

        Raises StoreUnavailable.
        """
        with self._database.transaction() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")  # for a plan that knows not how short the stretch is
            head = int(cursor.execute(LAST_GIVEN[log]).fetchall()[0][0]) + 1
            place = _place(cursor, log, at, head) if at else head
            first = max(_place(cursor, log, since, head) if since else 0, place - (BACK if at else AHEAD + BACK))
            end = min(_place(cursor, log, until, head) if until else head, place + AHEAD)
            needle = b'"correlation_id":' + msgspec.json.encode(correlation_id)
            cursor.execute(WITH_ID.format(sql.Identifier(log)), (first, end, needle, MOST_FOUND), prepare=False)
            found = [stream_id for (stream_id,) in cursor]
            return Searched(
                log=log,
                stream_ids=list(dict.fromkeys(found)),
                events=max(0, end - first),
                since=_instant(cursor, log, first),
                until=_instant(cursor, log, end) if end < head else None,
            )

    def messages_of(self, user_id: UUID, most: int) -> list[UUID]:
        """What is planned, and what the read model knows of earlier years. Raises StoreUnavailable."""
        with self._database.transaction() as cursor:
            planned = [message_id for (message_id,) in cursor.execute(PLANNED_FOR, (user_id, most))]
            logged = message_log.page(cursor, Asked(user_id=user_id), limit=MOST_ROWS).items
        return sorted({*planned, *(message.id for message in logged)}, reverse=True)[:most]


def _place(cursor: Cursor[Row], log: Log, at: datetime, head: int) -> int:
    """The first position recorded at an instant or later."""
    low, high = 0, head
    while low < high:
        middle = (low + high) // 2
        found = cursor.execute(NEXT.format(sql.Identifier(log)), (middle,)).fetchone()
        if found is None or found[1] >= at:
            high = middle
        else:
            low = int(found[0]) + 1
    return low


def _instant(cursor: Cursor[Row], log: Log, position: int) -> datetime | None:
    found = cursor.execute(NEXT.format(sql.Identifier(log)), (position,)).fetchone()
    return found[1] if found else None
