"""Composition of the read side: the queries of the API on a replica. `ops/wiring.py` has the rest."""

from collections.abc import Callable
from functools import partial

from msgspec.structs import replace
from psycopg.conninfo import conninfo_to_dict
from starlette.responses import Response

from api.service import Service
from infrastructure.database import Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.followers import Followers
from infrastructure.read_replica import ReadReplica
from ops.settings import Settings
from ops.wiring import POOL_SIZE, reading


def read_replica(settings: Settings) -> ReadReplica | None:
    """None where no replica is named. Nothing is connected yet."""
    if settings.read_database_url is None or settings.database_url is None:
        return None
    dsn = settings.read_database_url.get_secret_value()
    at = conninfo_to_dict(dsn)
    return ReadReplica(
        dsn,
        settings.database_url.get_secret_value(),
        name=f"{at.get('host') or 'localhost'}:{at.get('port') or 5432}",
        application_name="ninebell api",
        size=POOL_SIZE,
    )


def with_replica(service: Service, store: PostgresEventStore, replica: ReadReplica) -> Service:
    """The same, but queries are answered from the replica, or by what stands in for it. `store` is the primary's."""
    there = _reading_from(replica.database, service, store)
    stand_in = _reading_from(replica.stand_in, service, store)

    def ask(query: Callable[[Service], Response]) -> Response:
        return replica.first(partial(query, there), partial(query, stand_in))

    return replace(service, ask_replica=ask)


def _reading_from(database: Database, service: Service, like: PostgresEventStore) -> Service:
    store = PostgresEventStore(database, like.keyring, announcer=like.announcer)
    return replace(service, store=store, reading=partial(reading, like.keyring, database), followers=Followers(store))
