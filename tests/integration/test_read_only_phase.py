"""Is a server that takes no writes, such as a standby before its promotion, an outage like any other: waited out, not died of?"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from application.ports import StoreUnavailable
from infrastructure.database import Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import Keyring
from infrastructure.leader import Elector
from infrastructure.notifications import Announcer
from infrastructure.region_leaders import RegionLeaders
from infrastructure.schema import migrate
from infrastructure.worker_liveness import WorkerLiveness
from tests.servers import wait_until
from tests.standby import Standby, primary
from tests.store_stage import CLI, MASTER_KEY, NOW, of_message, open_store, scheduled

LONG_SECONDS, WAIT_SECONDS = 60.0, 2.0
CANT_SEE, CANT_SHOW = "can't see", "can't show"


class Phase:
    """In which the database takes no writes: sessions that are open end, those from now on are read-only."""

    def __init__(self, server: str, dsn: str) -> None:
        self._server, self.dsn, self._name = server, dsn, urlsplit(dsn).path[1:]

    def begin(self) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            self._alter(connection, "SET default_transaction_read_only = on")
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (self._name,))

    def end(self) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            self._alter(connection, "RESET default_transaction_read_only")

    def bumps(self) -> int:
        """Of all leaders so far."""
        with psycopg.connect(self.dsn) as connection:
            [(count,)] = connection.execute("SELECT coalesce(sum(counter), 0)::int FROM ninebell.leader_bumps").fetchall()
            return int(count)

    def rename(self, table: str, name: str) -> None:
        with psycopg.connect(self.dsn) as connection:
            connection.execute(
                sql.SQL("ALTER TABLE {} RENAME TO {}").format(sql.Identifier("ninebell", table), sql.Identifier(name))
            )

    def _alter(self, connection: psycopg.Connection, how: str) -> None:
        connection.execute(sql.SQL("ALTER DATABASE {} ").format(sql.Identifier(self._name)) + sql.SQL(how))


@pytest.fixture
def phase(postgres_dsn: str, migrated_database: str) -> Phase:
    return Phase(postgres_dsn, migrated_database)


@pytest.fixture
def pool(migrated_database: str) -> Iterator[Database]:
    with Database(migrated_database, application_name="test", wait_seconds=WAIT_SECONDS) as database:
        yield database


@contextmanager
def store_on(database: Database, keep_trying_seconds: float = LONG_SECONDS) -> Iterator[PostgresEventStore]:
    with Announcer(database) as announcer:
        yield PostgresEventStore(database, Keyring(MASTER_KEY), announcer=announcer, keep_trying_seconds=keep_trying_seconds)


def appended(store: PostgresEventStore, id_: UUID) -> bool:
    return not store.append([of_message(id_, 0, scheduled())], CLI, NOW).lost


def test_an_append_waits_it_out(phase: Phase) -> None:
    impatient = Database(phase.dsn, application_name="test", wait_seconds=WAIT_SECONDS)
    with open_store(phase.dsn, impatient) as store, store_on(impatient, 0.01) as giving_up, ThreadPoolExecutor(1) as threads:
        phase.begin()
        with pytest.raises(StoreUnavailable):
            appended(giving_up, uuid4())
        appending = threads.submit(appended, store, uuid4())
        with pytest.raises(StoreUnavailable):
            appended(giving_up, uuid4())
        assert not appending.done()
        phase.end()
        assert appending.result(LONG_SECONDS)


def test_a_worker_shows_again_that_it_is_alive(phase: Phase, pool: Database, caplog: pytest.LogCaptureFixture) -> None:
    with WorkerLiveness(pool, "ada-1", lease_seconds=1.0, call_timeout_seconds=0.5) as liveness:
        phase.begin()
        wait_until(lambda: CANT_SHOW in caplog.text and not liveness.may_call(), None, "the phase")
        phase.end()
        wait_until(liveness.may_call, None, "the worker")


def test_an_elector_bumps_again(phase: Phase, pool: Database, caplog: pytest.LogCaptureFixture) -> None:
    with Elector(pool, "planner", bump_seconds=0.01, look_seconds=0.01) as leader:
        assert leader.wait(LONG_SECONDS)
        phase.begin()
        wait_until(lambda: CANT_SEE in caplog.text, None, "the phase")
        before = phase.bumps()
        phase.end()
        wait_until(lambda: phase.bumps() > before, None, "the bumps")
        assert leader.leadership


def test_what_stands_by_takes_over_afterwards(phase: Phase, pool: Database, caplog: pytest.LogCaptureFixture) -> None:
    phase.begin()
    with RegionLeaders(pool, "dispatcher") as leaders, Elector(pool, "planner") as elector:
        wait_until(lambda: caplog.text.count(CANT_SEE) >= 2, None, "the phase")
        phase.end()
        assert leaders.wait(LONG_SECONDS)
        assert elector.wait(LONG_SECONDS)


def test_what_nobody_foresaw_ends_no_thread(phase: Phase, pool: Database, caplog: pytest.LogCaptureFixture) -> None:
    with WorkerLiveness(pool, "ada-1", lease_seconds=1.0, call_timeout_seconds=0.5) as liveness:
        phase.rename("workers", "workers_away")
        phase.rename("leader_bumps", "bumps_away")
        with RegionLeaders(pool, "dispatcher") as leaders, Elector(pool, "planner") as elector:
            for who in ("ada-1", "electors of dispatcher", "elector of planner"):
                wait_until(lambda who=who: f"{who} can't" in caplog.text, None, who)  # type: ignore[misc]
            assert "UndefinedTable" in caplog.text
            wait_until(lambda: not liveness.may_call(), None, "the lease's end")
            phase.rename("workers_away", "workers")
            phase.rename("bumps_away", "leader_bumps")
            wait_until(liveness.may_call, None, "the worker")
            assert leaders.wait(LONG_SECONDS)
            assert elector.wait(LONG_SECONDS)


def test_a_connection_that_takes_no_writes_is_not_used_again(migrated_database: str) -> None:
    with Database(migrated_database, application_name="test", size=1) as database:
        with database.connect() as connection:
            connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(StoreUnavailable, match="ReadOnlySqlTransaction"), database.transaction() as cursor:
            cursor.execute("DELETE FROM workers")
        with database.transaction() as cursor:
            cursor.execute("DELETE FROM workers")


def test_a_standby_is_not_our_database_until_it_is_promoted(data_dir: Path) -> None:
    with primary(data_dir) as dsn:
        migrate(dsn)
        with open_store(dsn):
            pass
        with Standby(data_dir, dsn) as standby, ThreadPoolExecutor(1) as threads:
            address = standby.dsn("postgres")
            with pytest.raises(StoreUnavailable), Database(address, application_name="test", wait_seconds=WAIT_SECONDS):
                pass  # what it reads may be old
            with pytest.raises(StoreUnavailable):
                migrate(address)
            both = hosts(address, dsn)
            assert migrate(both) == []
            with Database(both, application_name="test") as database, store_on(database) as store:
                assert appended(store, uuid4())
            promoted = Database(address, application_name="test", wait_seconds=WAIT_SECONDS)
            promoted.open(wait=False)
            with store_on(promoted) as store, store_on(promoted, 0.01) as giving_up:
                appending = threads.submit(appended, store, uuid4())
                with pytest.raises(StoreUnavailable):
                    appended(giving_up, uuid4())
                assert not appending.done()
                with psycopg.connect(address, autocommit=True) as connection:
                    connection.execute("SELECT pg_promote()")
                assert appending.result(LONG_SECONDS)
            promoted.close()


def hosts(*dsns: str) -> str:
    """One address that names all these servers."""
    return make_conninfo(
        dsns[0], host=",".join(str(conninfo_to_dict(dsn)["host"]) for dsn in dsns), port=",".join(["5432"] * len(dsns))
    )
