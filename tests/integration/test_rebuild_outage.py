"""Does a build go on where it was when the server is killed under it?"""

from contextlib import suppress
from pathlib import Path
from threading import Event as Signal

import psutil
import pytest

from application.ports import StoreUnavailable
from infrastructure.database import Database
from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.event_store import PostgresEventStore
from infrastructure.filling import Filling, Told
from infrastructure.keyring import Keyring
from infrastructure.notifications import Announcer
from infrastructure.partitions import ensure_partitions
from infrastructure.read_model_rebuild import Rebuild
from infrastructure.schema import migrate
from projections.message_log import MESSAGE_LOG
from tests.contract.test_projector import NOW, drain, prepared, rows
from tests.contract.test_rebuild import JULY, MASTER_KEY, history


def test_a_server_killed_under_a_build_takes_only_the_part_that_was_not_done(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir, guest=True) as first:
        migrate(first.dsn)
        with Database(first.dsn, application_name="tests") as pool, Announcer(pool) as announcer:
            with pool.connect() as connection:
                ensure_partitions(connection, NOW.date(), JULY)
            store = PostgresEventStore(pool, Keyring(MASTER_KEY), announcer=announcer)
            history(store)
            drain(prepared(store, MESSAGE_LOG))
            before = rows(store, MESSAGE_LOG)
            told: list[Told] = []

            def kill(one: Told) -> None:
                told.append(one)
                if one.events:
                    with pool.connect() as connection:  # whose commit brings to the disk what was committed before
                        connection.execute("UPDATE positions SET position = position")
                    server = psutil.Process(first.pid)
                    server.kill()
                    server.wait()

            with pytest.raises(StoreUnavailable):
                Rebuild(store, Filling(first.dsn, MASTER_KEY, 1), MESSAGE_LOG, Signal(), kill).build(NOW)
            done = told[-1].events
            with EmbeddedPostgres.start(data_dir, guest=True) as second:
                told.clear()
                work = Rebuild(store, Filling(second.dsn, MASTER_KEY, 1), MESSAGE_LOG, Signal(), told.append)
                work.build(NOW)
                assert 0 < max(one.events for one in told) <= store.head().messages - done
                assert rows(store, MESSAGE_LOG) == before
                work.swap()
                assert rows(store, MESSAGE_LOG) == before


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("stage", ["reading", "indexing"])
def test_what_a_killed_server_has_forgotten_is_done_again(data_dir: Path, processes: int, stage: str) -> None:
    with EmbeddedPostgres.start(data_dir, guest=True) as server:
        migrate(server.dsn)
        with Database(server.dsn, application_name="tests") as pool, Announcer(pool) as announcer:
            with pool.connect() as connection:
                ensure_partitions(connection, NOW.date(), JULY)
                connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")  # so that it forgets what nobody waited for
                connection.execute("SELECT pg_reload_conf()")
            store = PostgresEventStore(pool, Keyring(MASTER_KEY), announcer=announcer)
            history(store)
            drain(prepared(store, MESSAGE_LOG))
            before = rows(store, MESSAGE_LOG)
            killed: list[Told] = []

            def kill(one: Told) -> None:
                if one.stage == stage and one.done >= one.whole and not killed:
                    killed.append(one)
                    process = psutil.Process(server.pid)
                    process.kill()
                    process.wait()
                    assert server.revive()

            def work() -> Rebuild:
                return Rebuild(store, Filling(server.dsn, MASTER_KEY, processes), MESSAGE_LOG, Signal(), kill)

            for _ in range(3):  # as it is called again where it ended
                with suppress(StoreUnavailable):
                    work().build(NOW)
                    break
            work().swap()
            assert killed
            assert rows(store, MESSAGE_LOG) == before
