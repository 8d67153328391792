"""Does a log go on when a process freezes in the middle of an append?"""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from application.ports import StoreUnavailable
from infrastructure.database import Database
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.event_log import TABLES
from infrastructure.leader import Elector, Leadership
from infrastructure.watchdog import LONGEST_HOLD_SECONDS, Watchdog
from infrastructure.work import begin_work
from tests.integration.stuck_writer import HOW
from tests.store_stage import CLI, NOW, of_message, open_store, scheduled

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 15


@contextmanager
def stuck_writer(dsn: str, how: str) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.integration.stuck_writer", dsn, how]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "holding\n"
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("how", HOW)
def test_a_frozen_client_frees_the_others_within_fifteen_seconds(migrated_database: str, how: str) -> None:
    with (
        open_store(migrated_database, keep_trying_seconds=1) as store,
        stuck_writer(migrated_database, how),
        Watchdog(store.database),
    ):
        with store.database.transaction() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{PATIENCE_SECONDS}s'")
            TABLES["messages"].lock(cursor)
        message = uuid4()
        assert store.append([of_message(message, 0, scheduled())], CLI, NOW).lost == frozenset()
        assert store.head().messages == store.history("messages", message)[0].position


def test_who_holds_a_lock_for_less_than_ten_seconds_is_let_be(migrated_database: str) -> None:
    with open_store(migrated_database) as store, store.database.direct() as writer:
        watchdog = Watchdog(store.database)
        with writer.transaction():
            TABLES["messages"].lock(writer.cursor())
            assert watchdog.step(100.0) == []
            assert watchdog.step(100.0 + LONGEST_HOLD_SECONDS - 0.1) == []
        with writer.transaction():
            TABLES["messages"].lock(writer.cursor())
            assert watchdog.step(100.0 + LONGEST_HOLD_SECONDS) == [], "a transaction's time is its own"


def test_who_holds_the_count_of_what_is_in_flight_is_ended_likewise(migrated_database: str) -> None:
    """Or a frozen dispatcher would hold up those of all other regions."""
    with open_store(migrated_database) as store:
        watchdog = Watchdog(store.database)
        with pytest.raises(StoreUnavailable), begin_work(store, PostgresDispatcherWork, "dispatcher", None) as work:
            work.members_in_flight()
            assert watchdog.step(100.0) == []
            assert watchdog.step(100.0 + LONGEST_HOLD_SECONDS) == [work.cursor.connection.info.backend_pid]


def test_a_leader_frozen_while_the_server_writes_to_it_is_ended_and_replaced(migrated_database: str) -> None:
    """No time-out of the server's ends that, and a takeover would wait for it for ever."""
    with open_store(migrated_database) as store, closing(store.database.direct()) as frozen:
        Elector(store.database, "dispatcher/asia").step(0.0)
        frozen.execute("BEGIN")
        frozen.execute("SELECT FROM leaders FOR SHARE")
        frozen.pgconn.send_query(b"SELECT repeat('nobody reads this', 1000) FROM generate_series(1, 10000)")
        pid, watchdog = frozen.info.backend_pid, Watchdog(store.database)
        while not waits_for_its_client(store.database, pid):
            assert watchdog.step(100.0) == []
        assert watchdog.step(100.0) == []
        assert watchdog.step(100.0 + LONGEST_HOLD_SECONDS) == [pid]
        assert Elector(store.database, "dispatcher/asia", take_over_at_once=True).step(0.0) == Leadership("dispatcher/asia", 2)


def waits_for_its_client(database: Database, pid: int) -> bool:
    with database.connect() as connection:
        found = connection.execute("SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'ClientWrite'", [pid])
        return found.rowcount == 1


def test_who_waits_for_a_lock_is_not_taken_for_its_holder(migrated_database: str) -> None:
    with open_store(migrated_database) as store, ThreadPoolExecutor(1) as threads:
        watchdog = Watchdog(store.database)
        with store.database.transaction() as cursor:
            TABLES["messages"].lock(cursor)
            waiting = threads.submit(store.append, [of_message(uuid4(), 0, scheduled())], CLI, NOW)
            while not cursor.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").rowcount:
                pass
            watchdog.step(0.0)
            assert {pid for pid, _, _ in watchdog._since} == {cursor.connection.info.backend_pid}
        assert waiting.result().lost == frozenset()
