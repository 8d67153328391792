"""What has been left alone, by whom and why, and how is it tried again, or forgotten?"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from infrastructure.database import Database, Row

PAGE: Final = 1_000

# A page of either table first: only its rows are looked up in the logs.
EVENTS: Final = """
    SELECT parked.follower || '/' || log || '/' || position, parked.follower, topic, stream_id, error, since, again
    FROM (SELECT * FROM parked_events WHERE (follower, log, position) > (%b, %b, %b)
            AND (%b::text IS NULL OR follower = %b) ORDER BY follower, log, position LIMIT %b) AS parked
    LEFT JOIN LATERAL (
        SELECT originator_id AS stream_id, recorded_at AS since FROM users WHERE log = 'users' AND notification_id = position
        UNION ALL SELECT originator_id, recorded_at FROM messages WHERE log = 'messages' AND notification_id = position
        UNION ALL SELECT originator_id, recorded_at FROM dispatches WHERE log = 'dispatches' AND notification_id = position
    ) AS told ON true
    ORDER BY parked.follower, log, position"""
TYPES: Final = """
    SELECT 'planner/types/' || user_id || '/' || message_type, 'planner', message_type, user_id, error, at, again
    FROM parked_types WHERE (user_id, message_type) > (%b, %b) ORDER BY user_id, message_type LIMIT %b"""
ASK: Final = """
    WITH asked AS (SELECT unnest(%b::text[]) AS id),
    events AS (UPDATE parked_events SET again = true
        WHERE follower || '/' || log || '/' || position IN (SELECT id FROM asked) RETURNING 1),
    types AS (UPDATE parked_types SET again = true
        WHERE 'planner/types/' || user_id || '/' || message_type IN (SELECT id FROM asked) RETURNING 1)
    SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM types)"""
DROP: Final = """
    WITH asked AS (SELECT unnest(%b::text[]) AS id),
    events AS (DELETE FROM parked_events
        WHERE follower || '/' || log || '/' || position IN (SELECT id FROM asked) RETURNING 1),
    types AS (DELETE FROM parked_types
        WHERE 'planner/types/' || user_id || '/' || message_type IN (SELECT id FROM asked) RETURNING 1)
    SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM types)"""


class Parked(Struct, frozen=True):
    """One thing left alone: an event, or a message type on a person."""

    id: str  # FOLLOWER/LOG/POSITION, or planner/types/USER/TYPE
    follower: str
    what: str  # the event's stored name, or the type
    stream_id: UUID | None
    error: str
    since: datetime | None  # when the event was recorded, or the type failed
    again: bool  # an operator wants it tried again, and the process manager has not looked yet


class ParkedThings:
    """The tables of what is parked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, follower: str | None = None) -> Iterator[Parked]:
        """Page by page, the events in the order of their logs. Raises StoreUnavailable."""
        last = ("", "", 0)
        while page := self._rows(EVENTS, (*last, follower, follower, PAGE)):
            yield from (Parked(*row) for row in page)
            name, log, position = page[-1][0].rsplit("/", 2)
            last = (name, log, int(position))
        if follower in (None, "planner"):
            yield from self._types()

    def ask_again(self, ids: Sequence[str]) -> int:
        """Have process managers look at these again; how many there are. Raises StoreUnavailable."""
        return self._count(ASK, ids)

    def discard(self, ids: Sequence[str]) -> int:
        """Forget that these were left alone; how many there were. Raises StoreUnavailable."""
        return self._count(DROP, ids)

    def _types(self) -> Iterator[Parked]:
        user_id, message_type = UUID(int=0), ""
        while page := self._rows(TYPES, (user_id, message_type, PAGE)):
            found = [Parked(*row) for row in page]
            yield from found
            user_id, message_type = page[-1][3], page[-1][2]

    def _count(self, statement: str, ids: Sequence[str]) -> int:
        return int(self._rows(statement, (list(ids),))[0][0])

    def _rows(self, statement: str, arguments: tuple[object, ...]) -> list[Row]:
        with self._database.cursor() as cursor:
            return cursor.execute(statement, arguments).fetchall()
