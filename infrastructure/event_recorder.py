"""What shows that our logs are what eventsourcing takes for a recorder?"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from eventsourcing.persistence import InterfaceError, OperationalError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from eventsourcing.utils import retry
from psycopg.rows import tuple_row

from infrastructure.event_log import LogTable, NewRow


class LogRecorder(PostgresApplicationRecorder):
    """eventsourcing's recorder on a log's table: our lock and insert in place of its table lock, pipeline and functions.

    Migrations make the table, so `create_table` is not called.
    """

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str, now: Callable[[], datetime]) -> None:
        super().__init__(datastore, events_table_name=events_table_name)
        self._log = LogTable(datastore.schema, events_table_name)
        self._now = now

    @retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)
    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Notification IDs, in order. Raises eventsourcing's IntegrityError where a version is taken."""
        at = self._now()
        rows = [
            NewRow(cast("UUID", event.originator_id), event.originator_version, event.topic, event.state, at)
            for event in stored_events
        ]
        with self.datastore.get_connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=tuple_row)
            self._log.lock(cursor)
            self._notify_channel(connection.cursor())
            return self._log.insert(cursor, rows)
