"""How does a test get the event store on PostgreSQL?"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from infrastructure.database import Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import Keyring
from infrastructure.notifications import Announcer
from infrastructure.partitions import ensure_partitions


@contextmanager
def real_store(migrated: str) -> Iterator[PostgresEventStore]:
    """On a migrated database, with partitions for the first half of 2027."""
    with Database(migrated, application_name="test") as database, Announcer(database) as announcer:
        with database.connect() as connection:
            ensure_partitions(connection, date(2027, 1, 1), date(2027, 6, 30))
        yield PostgresEventStore(database, Keyring(bytes(32)), announcer=announcer)
