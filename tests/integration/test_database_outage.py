"""Do writers, followers and leaders go on by themselves when the database comes back?"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from application.ports import StoreUnavailable
from infrastructure.database import Database
from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.leader import Elector
from infrastructure.notifications import Wakeups
from infrastructure.schema import migrate
from tests.store_stage import CLI, NOW, of_message, open_store, scheduled

LONG_SECONDS = 60.0


def test_all_goes_on_after_a_restart_of_the_server(data_dir: Path) -> None:
    postgres = EmbeddedPostgres.start(data_dir, durable=False)
    migrate(postgres.dsn)
    first, second = uuid4(), uuid4()
    impatient = Database(postgres.dsn, application_name="test", wait_seconds=1)
    with open_store(postgres.dsn, impatient) as store, Wakeups(store.database) as wakeups, ThreadPoolExecutor(1) as threads:
        elector = Elector(store.database, "planner")
        leadership = elector.step(0.0)
        store.append([of_message(first, 0, scheduled())], CLI, NOW)
        postgres.stop()
        with pytest.raises(StoreUnavailable):
            elector.step(5.0)
        appending = threads.submit(store.append, [of_message(second, 0, scheduled())], CLI, NOW)
        with pytest.raises(StoreUnavailable):
            store.head()
        assert not appending.done()
        before = wakeups.heard()
        postgres = EmbeddedPostgres.start(data_dir, durable=False)
        try:
            assert appending.result(LONG_SECONDS).lost == frozenset()
            assert [recorded.stream_id for recorded in store.read("messages", 0, 10).events] == [first, second]
            wakeups.wait_beyond({"messages": before["messages"]}, LONG_SECONDS)
            assert wakeups.heard()["messages"] > before["messages"]
            assert elector.step(10.0) == leadership
        finally:
            postgres.stop()


def test_a_database_that_is_not_there_is_reported(data_dir: Path) -> None:
    missing = f"postgresql://postgres@/postgres?host={data_dir}&port=5432"
    with pytest.raises(StoreUnavailable), Database(missing, application_name="test", wait_seconds=0.1):
        pass
    with pytest.raises(StoreUnavailable):
        Database(missing, application_name="test").direct()
    with pytest.raises(StoreUnavailable):
        migrate(missing)


def test_why_there_is_no_connection_is_said(postgres_dsn: str) -> None:
    nowhere = psycopg.conninfo.make_conninfo(postgres_dsn, dbname="nowhere")
    with pytest.raises(StoreUnavailable, match=r'^OperationalError: database "nowhere" does not exist$'):
        Database(nowhere, application_name="test").direct()
    with pytest.raises(StoreUnavailable, match=r"^OperationalError: Connection refused$"):
        Database("postgresql://ada:secret@127.0.0.1:1/postgres", application_name="test").direct()
    with pytest.raises(StoreUnavailable, match=r"^OperationalError: failed to resolve host 'nowhere\.invalid'"):
        Database("postgresql://ada:secret@nowhere.invalid/postgres", application_name="test").direct()


def test_of_a_statement_that_failed_nothing_but_its_kind_is_said(postgres_dsn: str) -> None:
    """As its text can quote data."""
    with (
        Database(postgres_dsn, application_name="test") as database,
        pytest.raises(StoreUnavailable, match=r"^QueryCanceled$"),
        database.cursor() as cursor,
    ):
        cursor.execute("SET statement_timeout = '10ms'")
        cursor.execute("SELECT 'ada@example.org', pg_sleep(5)")
