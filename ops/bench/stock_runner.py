"""How fast does eventsourcing's own ProjectionRunner feed the same read model from the same log?"""

from time import monotonic, sleep
from typing import Any, ClassVar, Final
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import Mapper, StoredEvent, Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from application.ports import Origin, Recorded
from domain.event import Event
from infrastructure.clock import SystemClock
from infrastructure.database import SCHEMA
from infrastructure.event_mapper import EventMapper
from infrastructure.event_recorder import LogRecorder
from infrastructure.keyring import Keyring
from infrastructure.user_sealer import UserSealer
from projections.projection import Projection as ReadModel

A_SECOND: Final = 1.0


class _OurShape(Mapper[UUID]):
    """Reads the events as this log has them."""

    def __init__(self, mapper: EventMapper) -> None:
        self._ours = mapper

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        raise NotImplementedError  # nothing is written here

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        return stored_event, self._ours.decode(stored_event.topic, stored_event.state, None).event


class Messages(Application[UUID]):
    """The log of messages, as eventsourcing sees it."""

    name = "messages"

    def construct_mapper(self) -> Mapper[UUID]:
        return _OurShape(EventMapper())

    def construct_recorder(self) -> LogRecorder:
        datastore = self.factory.datastore  # type: ignore[attr-defined]
        return LogRecorder(datastore, events_table_name="messages", now=SystemClock().now)


class View(PostgresTrackingRecorder):
    """Rows and tracking in one transaction, as its documentation has it."""

    read_model: ClassVar[ReadModel]

    def apply(self, recorded: Recorded[Event], tracking: Tracking) -> None:
        with self.datastore.get_connection() as connection, connection.transaction():
            self._insert_tracking(connection.cursor(), tracking)
            cursor = connection.cursor(row_factory=tuple_row)
            self.read_model.project(cursor, [recorded], UserSealer(Keyring(bytes(32)), cursor))


class Stock(Projection[View]):
    """One event at a time."""

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        stored, event = domain_event
        position = tracking.notification_id
        # Its recorder does not tell when an event was recorded.
        recorded = Recorded(position, stored.originator_id, stored.originator_version, event.due_at, event, Origin("stock"))
        self.view.apply(recorded, tracking)


def events_a_second(dsn: str, read_model: ReadModel, seconds: float) -> float:
    """Over so many seconds from the log's start on, the first second left out; the tables are there, and empty."""
    View.read_model = read_model
    runner = ProjectionRunner(application_class=Messages, projection_class=Stock, view_class=View, env=_environment(dsn))
    with runner:
        sleep(A_SECOND)
        before, began = runner.view.max_tracking_id(Messages.name) or 0, monotonic()
        sleep(seconds)
        after = runner.view.max_tracking_id(Messages.name) or 0
        return (after - before) / (monotonic() - began)


def _environment(dsn: str) -> dict[str, str]:
    given = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": given["dbname"],
        "POSTGRES_HOST": given["host"],
        "POSTGRES_PORT": given.get("port", "5432"),
        "POSTGRES_USER": given["user"],
        "POSTGRES_PASSWORD": given.get("password", ""),
        "POSTGRES_SCHEMA": SCHEMA,
    }
