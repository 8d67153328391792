"""What do the store's tests act on: an event store on a database of the test's own, and facts to put into it?"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

from eventsourcing.postgres import PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from application.ports import Group, Log, NewEvents, Origin
from domain.event import Event
from domain.message_id import message_id
from domain.scheduled_message import MessageAbandoned, MessageCancelled, MessageScheduled
from domain.user import UserEvent, UserRegistered
from infrastructure.database import SCHEMA, Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import Keyring
from infrastructure.notifications import Announcer
from infrastructure.partitions import ensure_partitions

NOW: Final = datetime(2027, 3, 1, 12, tzinfo=UTC)
OCCASION: Final = date(2027, 3, 14)
CLI: Final = Origin("cli")
MASTER_KEY: Final = bytes(range(32))


@contextmanager
def open_store(dsn: str, database: Database | None = None, keep_trying_seconds: float = 60.0) -> Iterator[PostgresEventStore]:
    """An event store on a migrated database, as one process has it."""
    with database or Database(dsn, application_name="test") as pool, Announcer(pool) as announcer:
        with pool.connect() as connection:
            ensure_partitions(connection, OCCASION, OCCASION)
        yield PostgresEventStore(pool, Keyring(MASTER_KEY), announcer=announcer, keep_trying_seconds=keep_trying_seconds)


def open_datastore(dsn: str) -> PostgresDatastore:
    """eventsourcing's own way to the same tables."""
    given = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    return PostgresDatastore(
        dbname=given["dbname"],
        host=given["host"],
        port=given["port"],
        user=given["user"],
        password=given.get("password", ""),
        schema=SCHEMA,
        pool_size=5,
        max_overflow=20,
    )


def of(log: Log, stream_id: UUID, version: int, *events: Event) -> Group:
    """A group of one stream."""
    return Group((NewEvents(log, stream_id, version, events),))


def of_user(user_id: UUID, version: int, *events: UserEvent) -> Group:
    return of("users", user_id, version, *events)


def of_message(stream_id: UUID, version: int, *events: Event) -> Group:
    return of("messages", stream_id, version, *events)


def birthday_of(user_id: UUID) -> UUID:
    """The ID of this user's message."""
    return message_id(user_id, "BIRTHDAY", OCCASION)


def registered(external_id: str | None, first_name: str = "Ada", email: str = "ada@example.com") -> UserRegistered:
    return UserRegistered(
        external_id=external_id,
        first_name=first_name,
        last_name="Lovelace",
        email=email,
        timezone="Europe/London",
        birthday="1990-12-10",
        anniversary=None,
        country="GB",
        language=None,
        preferred_time=None,
        message_types=("BIRTHDAY",),
        attributes={},
        first_occasion=OCCASION,
    )


def scheduled() -> MessageScheduled:
    return MessageScheduled(
        message_type="BIRTHDAY",
        timezone="Asia/Tokyo",
        due_at=NOW,
        user_id=UUID(int=1),
        occasion=OCCASION,
        rule="plain",
        tzdata="2026f",
        type_version=1,
    )


def cancelled() -> MessageCancelled:
    return MessageCancelled(message_type="BIRTHDAY", timezone="Asia/Tokyo", due_at=NOW, reason="operator")


def abandoned(error: str) -> MessageAbandoned:
    """As big as its error."""
    return MessageAbandoned(
        message_type="BIRTHDAY", timezone="Asia/Tokyo", due_at=NOW, reason="rejected", error=error, dispatch_id=None
    )
