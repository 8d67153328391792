"""How does a test get the event store on PostgreSQL?"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from infrastructure.event_store import PostgresEventStore
from infrastructure.partitions import ensure_partitions
from tests.store_stage import open_store


@contextmanager
def real_store(migrated: str) -> Iterator[PostgresEventStore]:
    """On a migrated database, with partitions for the first half of 2027."""
    with open_store(migrated) as store:
        with store.database.connect() as connection:
            ensure_partitions(connection, date(2027, 1, 1), date(2027, 6, 30))
        yield store
