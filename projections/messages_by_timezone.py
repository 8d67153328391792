"""What is still to be sent, where and when?"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, LiteralString, get_args
from uuid import UUID

from msgspec import Struct

from application.forecast_load import Load
from application.ports import Recorded
from domain.scheduled_message import PENDING, MessageEvent, ScheduledMessageEvent, status_after
from domain.timezones import canonical
from projections.projection import Cursor, History, Projection, Rows, Sealer, as_rows

CREATE: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS messages_by_timezone (
    message_id uuid PRIMARY KEY,
    canonical_timezone text NOT NULL,
    timezone text NOT NULL,
    due_at timestamptz NOT NULL,
    message_type text NOT NULL
);
-- A zone's messages in the order in which they fall due, and the first of each zone.
CREATE INDEX IF NOT EXISTS messages_by_timezone_zone ON messages_by_timezone (canonical_timezone, due_at, message_id);
-- The forecast reads a stretch of time over all zones, from the index alone.
CREATE INDEX IF NOT EXISTS messages_by_timezone_load ON messages_by_timezone (due_at) INCLUDE (canonical_timezone, message_type);
"""

# A row that already says so is left alone: most events of a pending message move nothing.
PUT: Final[LiteralString] = """
INSERT INTO messages_by_timezone AS held SELECT * FROM json_populate_recordset(NULL::messages_by_timezone, %s)
ON CONFLICT (message_id) DO UPDATE
SET canonical_timezone = excluded.canonical_timezone, timezone = excluded.timezone, due_at = excluded.due_at
WHERE (held.timezone, held.due_at) <> (excluded.timezone, excluded.due_at)
"""

# Zone by zone, and hour by hour, so that the indexes answer however much waits.
ZONES: Final[LiteralString] = """
WITH RECURSIVE zone (name) AS (
    SELECT min(canonical_timezone) FROM messages_by_timezone
    UNION ALL SELECT (SELECT min(canonical_timezone) FROM messages_by_timezone WHERE canonical_timezone > name)
    FROM zone WHERE name IS NOT NULL
)
SELECT name, pending, next_due_at FROM zone, LATERAL (
    SELECT count(*) AS pending, min(due_at) AS next_due_at FROM messages_by_timezone WHERE canonical_timezone = name
) AS load
WHERE name IS NOT NULL ORDER BY next_due_at, name
"""
LOAD: Final[LiteralString] = """
SELECT minute, canonical_timezone, message_type, messages
FROM generate_series((SELECT date_trunc('hour', min(due_at)) FROM messages_by_timezone), %s, interval '1 hour') AS hour, LATERAL (
    SELECT date_trunc('minute', due_at) AS minute, canonical_timezone, message_type, count(*) AS messages
    FROM messages_by_timezone WHERE due_at >= hour AND due_at < least(hour + interval '1 hour', %s) GROUP BY 1, 2, 3
) AS load
ORDER BY 1, 2, 3
"""

STANDING: Final[LiteralString] = "SELECT message_id AS id, 'pending' AS status FROM messages_by_timezone WHERE {which}"
"""For the audit: the messages that are pending here."""


class PendingMessage(Struct, frozen=True):
    """A message that is scheduled, requested or retrying."""

    message_id: UUID
    canonical_timezone: str
    timezone: str  # the user's own spelling
    due_at: datetime
    message_type: str


class ZoneLoad(Struct, frozen=True):
    """What waits in one zone, its links included."""

    timezone: str  # canonical
    pending: int
    next_due_at: datetime


def project(cursor: Cursor, events: Sequence[Recorded[MessageEvent]], _: Sealer) -> None:
    """Keep a row for each message for as long as it is pending."""
    last = {recorded.stream_id: recorded.event for recorded in events if status_after(recorded.event)}
    rows = [_row(message_id, event) for message_id, event in last.items() if status_after(event) in PENDING]
    gone = [message_id for message_id, event in last.items() if status_after(event) not in PENDING]
    if gone:
        cursor.execute("DELETE FROM messages_by_timezone WHERE message_id = ANY(%s)", [gone])
    if rows:
        cursor.execute(PUT, [as_rows(rows)])


def fold(histories: Sequence[History], _: Sealer) -> Rows:
    """The same of whole streams."""
    last = (next((told for told in reversed(history) if status_after(told.event)), None) for history in histories)
    rows = [_row(told.stream_id, told.event) for told in last if told and status_after(told.event) in PENDING]
    return {"messages_by_timezone": rows}


def _row(message_id: UUID, event: MessageEvent) -> PendingMessage:
    return PendingMessage(message_id, canonical(event.timezone), event.timezone, event.due_at, event.message_type)


def pending(cursor: Cursor, timezone: str, start: datetime, end: datetime, limit: int) -> list[PendingMessage]:
    """What falls due in a zone (under any of its names) in [start, end), the earliest first."""
    cursor.execute(
        """
        SELECT message_id, canonical_timezone, timezone, due_at, message_type FROM messages_by_timezone
        WHERE canonical_timezone = %s AND due_at >= %s AND due_at < %s ORDER BY due_at, message_id LIMIT %s
        """,
        [canonical(timezone), start, end, limit],
    )
    return [PendingMessage(*row) for row in cursor]


def zones(cursor: Cursor) -> list[ZoneLoad]:
    """Every zone in which something waits, the one that is due first at the top."""
    cursor.execute(ZONES)
    return [ZoneLoad(*row) for row in cursor]


def load(cursor: Cursor, end: datetime) -> list[Load]:
    """What is due before `end`, what should have gone by now included, per minute, zone and type."""
    cursor.execute(LOAD, [end, end])
    return [Load(*row) for row in cursor]


MESSAGES_BY_TIMEZONE: Final = Projection(
    name="messages_by_timezone",
    version=1,
    log="messages",
    kinds=frozenset(get_args(ScheduledMessageEvent)),
    tables=("messages_by_timezone",),
    create=CREATE,
    project=project,
    fold=fold,
)
