"""What do the message log and its read model say of each day's messages, at one instant?"""

from collections import Counter
from datetime import date
from typing import Final
from uuid import UUID

from psycopg import Cursor

from application.audit_messages import DayStatus, Evidence
from domain.event import stored_name
from domain.message_id import occasion_of
from domain.scheduled_message import (
    STATUS_AFTER,
    DoubtResolved,
    LateResultRecorded,
    MessageScheduled,
    MessageSent,
    Status,
)
from infrastructure.database import Database, Row
from projections import message_log
from projections.message_log import MESSAGE_LOG

# Where each stored name leads. What a resolved doubt leads to stands in the event.
_RESOLVED: Final = stored_name(DoubtResolved)
_LEADS: Final[dict[str, Status]] = {
    **{stored_name(kind): status for kind, status in STATUS_AFTER.items()},
    f"{_RESOLVED} sent": "sent",
    f"{_RESOLVED} not_sent": "retrying",
}

# A stream per row, then streams alike counted together: by date and version of the ID, whether the stream begins by being
# scheduled, whether no version is missing, whether it was sent once at most, and the last event that changed the status: the
# greatest text of a padded version and a name, as an ordered array of names takes twice as long.
CENSUS: Final = """
WITH streams AS (
    SELECT originator_id,
        bool_or(originator_version = 1 AND topic = %(scheduled)s) AS begun,
        min(originator_version) = 1 AND max(originator_version) = count(*) AS whole,
        count(*) FILTER (WHERE topic = %(sent)s) <= 1 AS once,
        max((to_char(originator_version, 'FM000000000') || CASE topic
            WHEN %(resolved)s THEN topic || ' ' || (convert_from(state, 'utf8')::jsonb #>> '{event,outcome}')
            ELSE topic END) COLLATE "C") FILTER (WHERE topic <> %(silent)s) AS last
    FROM messages WHERE notification_id <= %(until)s GROUP BY originator_id
)
SELECT left(originator_id::text, 15), begun, whole, once, substr(last, 10), count(*) FROM streams GROUP BY 1, 2, 3, 4, 5
"""


class _Census:
    """Streams counted, as far as the log was read."""

    def __init__(self) -> None:
        self.scheduled = Counter[date]()
        self.standing = Counter[DayStatus]()
        self.faults = Counter[str]()

    def add(self, date_of_id: str, last: str | None, streams: int, *, begun: bool, whole: bool, once: bool) -> None:
        day, status = _day(date_of_id), _LEADS.get(last or "")
        if day is None:
            self.faults["streams under an ID that is no message's"] += streams
            return
        if not begun:
            self.faults[f"{day}: messages that have events but were never scheduled"] += streams
        if not whole:
            self.faults[f"{day}: messages whose history has a gap"] += streams
        if not once:
            self.faults[f"{day}: messages recorded as sent more than once"] += streams
        if status is None:
            self.faults[f"{day}: messages of which nobody can say where they stand ({last})"] += streams
        self.scheduled[day] += streams * begun
        if status:
            self.standing[day, status] += streams


def gather_evidence(database: Database) -> Evidence:
    """Everything an audit needs, from one snapshot, however much is appended meanwhile. Raises StoreUnavailable."""
    with database.transaction() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # Years of messages are read here by nobody in a hurry, and without a lock.
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '60s'")
        cursor.execute("SET LOCAL work_mem = '64MB'")
        cursor.execute("SET LOCAL enable_partitionwise_aggregate = on")
        head = _number(cursor, "SELECT max(notification_id) FROM messages")
        read = _number(
            cursor, "SELECT position FROM positions WHERE follower = %s ORDER BY version DESC LIMIT 1", MESSAGE_LOG.name
        )
        now = _census(cursor, head)
        shown = {(row.occasion, row.status): row.messages for row in message_log.count_rows(cursor)} if _built(cursor) else None
        then = now if shown is None or read == head else _census(cursor, read)
    faults = tuple(f"{fault}: {streams}" for fault, streams in sorted(now.faults.items()))
    return Evidence(now.scheduled, now.standing, faults, then.standing, shown)


def _census(cursor: Cursor[Row], until: int) -> _Census:
    names = {
        "scheduled": stored_name(MessageScheduled),
        "sent": stored_name(MessageSent),
        "resolved": _RESOLVED,
        "silent": stored_name(LateResultRecorded),
    }
    cursor.execute(CENSUS, {**names, "until": until})
    census = _Census()
    for date_of_id, begun, whole, once, last, streams in cursor:
        census.add(date_of_id, last, streams, begun=begun, whole=whole, once=once)
    return census


def _built(cursor: Cursor[Row]) -> bool:
    cursor.execute("SELECT to_regclass('message_log') IS NOT NULL")
    return bool(cursor.fetchall()[0][0])


def _number(cursor: Cursor[Row], query: str, *arguments: object) -> int:
    row = cursor.execute(query, arguments).fetchone()
    return int(row[0] or 0) if row else 0


def _day(date_of_id: str) -> date | None:
    """The date in the first 15 characters of an ID, which end with its version."""
    try:
        return occasion_of(UUID(date_of_id.replace("-", "") + "000" + "8" + 15 * "0"))
    except ValueError:
        return None
