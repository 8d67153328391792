"""Does a worker get its outcomes into the database through cut connections and an outage?"""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from application.delivery_ports import NotAccepted
from application.ports import StoreUnavailable
from infrastructure.event_store import PostgresEventStore
from tests.delivery_scene import DUE, Handed, Scene, handed
from tests.stores import real_store


def cut(server: str, database: str, *, closed: bool) -> None:
    """End every connection to the database; while it is closed, none is accepted."""
    name = urlsplit(database).path[1:]
    with psycopg.connect(server, autocommit=True) as connection:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        connection.execute(allow.format(sql.Identifier(name), sql.Literal(not closed)))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


class Impatient(PostgresEventStore):
    """Gives up at once, and tells."""

    def __init__(self, store: PostgresEventStore, noticed: asyncio.Event) -> None:
        super().__init__(store.database, store.keyring, announcer=store.announcer, keep_trying_seconds=0.01)
        self._noticed, self._loop = noticed, asyncio.get_running_loop()

    def append(self, *arguments: Any) -> Any:
        try:
            return super().append(*arguments)
        except StoreUnavailable:
            self._loop.call_soon_threadsafe(self._noticed.set)
            raise


async def test_outcomes_outlast_every_connection_being_cut(postgres_dsn: str, migrated_database: str) -> None:
    with real_store(migrated_database) as store:
        scene = Scene(store)
        ids = scene.scheduled(20)
        command = scene.requested(*ids)
        scene.provider.answers[ids[0]] = [NotAccepted("not_accepted:500")]
        worker = scene.worker()
        claims = worker.claim([command], DUE)
        outcomes = await worker.send(claims)
        cut(postgres_dsn, migrated_database, closed=False)
        worker.record(claims, outcomes, DUE)
        assert scene.dispatch_status(command) == "finished"
        assert {len(scene.story(id_)) for id_ in ids} == {3}


async def test_outcomes_wait_out_an_outage_that_the_store_itself_does_not(
    postgres_dsn: str, migrated_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.database.WAIT_FOR_CONNECTION_SECONDS", 1.0)
    noticed = asyncio.Event()
    with real_store(migrated_database) as store:
        scene = Scene(Impatient(store, noticed))
        [id_] = scene.scheduled()
        delivery = Handed(scene.requested(id_))

        async def outage() -> None:
            cut(postgres_dsn, migrated_database, closed=True)

        scene.provider.before_answer = outage
        running = asyncio.create_task(scene.worker().run(handed(delivery), asyncio.Event()))
        await noticed.wait()
        assert delivery.acknowledged == 0
        cut(postgres_dsn, migrated_database, closed=False)
        await running
        assert scene.message(id_).status == "sent"
        assert delivery.acknowledged == 1
