"""What did followers go past, or have to leave alone, and what is to be tried again?"""

import logging
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from psycopg import Cursor, sql

from application.ports import LOGS, Broken, Log
from infrastructure.event_reader import ParkedEvent

PARK: Final = """
    INSERT INTO parked_events (follower, log, position, topic, error) VALUES (%b, %b, %b, %b, %b) ON CONFLICT DO NOTHING"""
PARK_BROKEN: Final = {
    log: sql.SQL(
        "INSERT INTO parked_events (follower, log, position, topic, error)"
        " SELECT %b, %b, notification_id, topic, %b FROM {} WHERE originator_id = %b AND originator_version = %b"
        " ON CONFLICT DO NOTHING"
    ).format(sql.Identifier(log))
    for log in LOGS
}
LAST_VERSION: Final = {
    log: sql.SQL("SELECT coalesce(max(originator_version), 0) FROM {} WHERE originator_id = %b").format(sql.Identifier(log))
    for log in LOGS
}

logger: Final = logging.getLogger(__name__)


def park(cursor: Cursor[Any], follower: str, log: Log, events: Sequence[ParkedEvent]) -> None:
    """Keep what a follower went past, for a person to look at; what is kept already is not told again."""
    for event in events:
        cursor.execute(PARK, (follower, log, event.position, event.topic, event.error))
        if cursor.rowcount:
            logger.error("%s went past event %d of %s: %s", follower, event.position, log, event.error)


def park_broken(cursor: Cursor[Any], follower: str, log: Log, broken: Sequence[Broken]) -> None:
    """Keep what a follower had to leave alone."""
    for one in broken:
        cursor.execute(PARK_BROKEN[log], (follower, log, one.error, one.stream_id, one.version))
        if cursor.rowcount:
            logger.error("%s leaves %s of %s alone, from version %d on: %s", follower, one.stream_id, log, one.version, one.error)


def parked_at(cursor: Cursor[Any], follower: str, log: Log) -> set[int]:
    """The positions of all that a follower went past."""
    cursor.execute("SELECT position FROM parked_events WHERE follower = %b AND log = %b", (follower, log))
    return {position for (position,) in cursor}


def unpark(cursor: Cursor[Any], follower: str, log: Log, position: int) -> None:
    """It was applied after all."""
    cursor.execute("DELETE FROM parked_events WHERE follower = %b AND log = %b AND position = %b", (follower, log, position))


def last_version(cursor: Cursor[Any], log: Log, stream_id: UUID) -> int:
    """Of the stream as it stands; 0 where there is none."""
    cursor.execute(LAST_VERSION[log], (stream_id,))
    return int(cursor.fetchall()[0][0])
