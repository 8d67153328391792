"""How does a stream come to hold what this program can't read, and who left it alone?"""

from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg import sql

from application.ports import LOGS, Log, Origin
from domain.dispatch import DispatchMemberWithdrawn
from domain.event import Event
from domain.scheduled_message import LateResultRecorded
from domain.user import LanguageChanged
from infrastructure.database import Database
from infrastructure.event_mapper import EventMapper
from tests.domain.message_stories import REPEATED

TOPIC: Final = "something.sung.v9"
NO_MATTER: Final[dict[Log, Event]] = {
    "users": LanguageChanged(language=None),
    "messages": LateResultRecorded(**REPEATED, dispatch_id=UUID(int=4711), result="accepted"),
    "dispatches": DispatchMemberWithdrawn(message_id=UUID(int=4711)),
}


def break_stream(database: Database, log: Log, stream_id: UUID, at: datetime) -> None:
    """A newer program records something there."""
    insert = sql.SQL(
        "INSERT INTO {0} (originator_id, originator_version, topic, state, recorded_at)"
        " SELECT %s, coalesce(max(originator_version), 0) + 1, %s, '{{}}', %s FROM {0} WHERE originator_id = %s"
    ).format(sql.Identifier(log))
    with database.connect() as connection:
        connection.execute(insert, (stream_id, TOPIC, at, stream_id))


def mend_stream(database: Database, log: Log, stream_id: UUID) -> None:
    """As if this program knew by now what was recorded: nothing that changes anything."""
    topic, state = EventMapper().encode(NO_MATTER[log], Origin("newer"), None)
    update = sql.SQL("UPDATE {} SET topic = %s, state = %s WHERE originator_id = %s AND topic = %s").format(sql.Identifier(log))
    with database.connect() as connection:
        connection.execute(update, (topic, state, stream_id, TOPIC))


def left_alone(database: Database) -> set[tuple[str, Log, UUID]]:
    """Follower, log and stream of every event parked."""
    found: set[tuple[str, Log, UUID]] = set()
    with database.connect() as connection:
        for log in LOGS:
            query = sql.SQL(
                "SELECT follower, originator_id FROM parked_events JOIN {} ON notification_id = position WHERE log = %s"
            )
            for follower, stream_id in connection.execute(query.format(sql.Identifier(log)), [log]):
                found.add((follower, log, stream_id))
    return found
