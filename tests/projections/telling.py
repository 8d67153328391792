"""A read model that is told events as its log would tell them."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from uuid import UUID

from psycopg import sql

from application.ports import Origin, Recorded
from domain.event import Event
from domain.user import UserErased, UserRegistered
from infrastructure.database import Database
from infrastructure.keyring import Keyring
from infrastructure.partitions import ensure_partitions
from infrastructure.schema import migrate
from infrastructure.user_sealer import UserSealer
from projections.projection import Projection

AT: Final = datetime(2027, 5, 15, 8, 30, 15, tzinfo=UTC)
AT_ONCE: Final = timedelta(0)
KEYRING: Final = Keyring(bytes(range(32)))


class ReadModel:
    """One projection's tables on a database of the test's own."""

    def __init__(self, database: Database, projection: Projection) -> None:
        self._database, self._projection = database, projection
        self._versions = Counter[UUID]()
        self._position = 0
        with database.connect() as connection:
            for table in projection.tables:
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(table)))
            connection.execute("TRUNCATE user_keys")
            connection.execute(projection.create)
            for table in projection.monthly:
                ensure_partitions(connection, AT.date(), AT.date(), table)

    def given(self, stream_id: UUID, *events: Event, at: datetime = AT, apart: timedelta = AT_ONCE) -> Self:
        """These things were recorded of one stream from `at` on, each so much after the one before, and came in one batch."""
        return self.given_batch([(stream_id, event) for event in events], at=at, apart=apart)

    def given_batch(self, told: Sequence[tuple[UUID, Event]], at: datetime = AT, apart: timedelta = AT_ONCE) -> Self:
        recorded = [self._record(stream_id, event, at + number * apart) for number, (stream_id, event) in enumerate(told)]
        with self._database.transaction() as cursor:
            self._projection.project(cursor, recorded, UserSealer(KEYRING, cursor))
        return self

    def _record(self, stream_id: UUID, event: Event, at: datetime) -> Recorded[Event]:
        self._versions[stream_id] += 1
        self._position += 1
        self._keep_key(stream_id, event)
        return Recorded(self._position, stream_id, self._versions[stream_id], at, event, Origin("cli"))

    def _keep_key(self, user_id: UUID, event: Event) -> None:
        """As the store does in the same transaction."""
        with self._database.connect() as connection:
            if isinstance(event, UserRegistered):
                connection.execute("INSERT INTO user_keys VALUES (%s, %s)", [user_id, KEYRING.new_key(user_id)[1]])
            if isinstance(event, UserErased):
                connection.execute("DELETE FROM user_keys WHERE user_id = %s", [user_id])


def ready(dsn: str) -> Database:
    """The migrated database, not yet open."""
    migrate(dsn)
    return Database(dsn, application_name="tests")
