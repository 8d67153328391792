"""Are queries answered by a real streaming standby, as far as it has come, and by the primary while it can't?"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any, NamedTuple

import pytest
from psycopg import Connection
from psycopg.errors import UndefinedTable
from starlette.testclient import TestClient

from api.app import make_app
from application.ports import StoreUnavailable
from infrastructure.database import Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import Keyring
from infrastructure.notifications import Announcer
from infrastructure.partitions import ensure_partitions
from infrastructure.read_replica import ReadReplica
from infrastructure.schema import migrate
from ops.replica_wiring import with_replica
from ops.watching import replica_told
from tests.api.conftest import KEY, Town
from tests.standby import Standby, primary

PATIENCE_SECONDS = 30.0


class Pair(NamedTuple):
    """A primary and its standby, and an API whose queries go to the standby."""

    primary: str
    standby: Standby
    replica: ReadReplica
    town: Town

    @property
    def client(self) -> TestClient:
        return self.asking(self.replica)

    def asking(self, replica: ReadReplica) -> TestClient:
        app = make_app(with_replica(self.town.service, self.town.store, replica))
        return TestClient(app, headers={"Authorization": f"Bearer {KEY}"}, raise_server_exceptions=False)

    def seen(self, dsn: str = "", patience_seconds: int = 2) -> ReadReplica:
        """The standby, or another server, in less patient eyes."""
        dsn = dsn or self.standby.dsn("postgres")
        return ReadReplica(dsn, self.primary, name="x", application_name="test", size=4, patience_seconds=patience_seconds)

    def on_standby(self, statement: str) -> Any:
        with Connection.connect(self.standby.dsn("postgres"), autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchone()

    @contextmanager
    def standby_held(self) -> Iterator[None]:
        """It has all there is by now and replays nothing meanwhile: asked to pause, it first finishes what it is at."""
        with Connection.connect(self.primary, autocommit=True) as connection:
            [written] = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone() or ()
        deadline = monotonic() + PATIENCE_SECONDS
        while self.on_standby(f"SELECT pg_last_wal_replay_lsn() >= '{written}'") != (True,):
            assert monotonic() < deadline
            sleep(0.01)
        self.on_standby("SELECT pg_wal_replay_pause()")
        while self.on_standby("SELECT pg_get_wal_replay_pause_state()") != ("paused",):
            assert monotonic() < deadline
            sleep(0.01)
        try:
            yield
        finally:
            self.on_standby("SELECT pg_wal_replay_resume()")


def until_trouble(replica: ReadReplica, text: str) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    while not (replica.trouble.startswith(text) if text else not replica.trouble):
        assert monotonic() < deadline, replica.trouble
        sleep(0.05)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with TemporaryDirectory(prefix="ninebell-") as directory, primary(Path(directory)) as dsn:
        migrate(dsn)
        with (
            Standby(Path(directory), dsn) as standby,
            Database(dsn, application_name="test") as database,
            Announcer(database) as announcer,
            ReadReplica(
                standby.dsn("postgres"), dsn, name="standby", application_name="test", size=4, patience_seconds=60
            ) as replica,
        ):
            with database.connect() as connection:
                ensure_partitions(connection, date(2027, 1, 1), date(2027, 6, 30))
            town = Town(PostgresEventStore(database, Keyring(bytes(32)), announcer=announcer, keep_trying_seconds=1))
            made = Pair(dsn, standby, replica, town)
            until_trouble(replica, "")
            yield made


def person(pair: Pair, external_id: str) -> Any:
    """One registered on the primary, and in its read models."""
    fields = {"external_id": external_id, "first_name": "Ada", "email": "a@example.org", "timezone": "Asia/Tokyo"}
    created = pair.client.post("/v1/users", json=fields)
    assert created.status_code == 201
    pair.town.catch_up()
    return created


@pytest.mark.parametrize("path", ["", "/events", "?version=1", "/upcoming"])
def test_a_query_waits_until_the_replica_has_come_as_far_as_its_command(pair: Pair, path: str) -> None:
    with pair.standby_held():
        created = person(pair, f"crm{path}")
        where, position = created.headers["Location"] + path, {"Ninebell-Position": created.headers["Ninebell-Position"]}
        assert pair.town.client.get(where, headers=position).status_code == 200, "the primary has it"
        behind = pair.client.get(where, headers=position)
        assert (behind.status_code, behind.headers["Retry-After"]) == (503, "1"), "the standby has not"
        assert pair.client.get(where).status_code == 404, "who does not say what they know of sees the standby as it stands"
        standing = pair.replica.look()
        assert standing.behind_bytes
        assert standing.behind_seconds > 0
    deadline = monotonic() + PATIENCE_SECONDS
    while (found := pair.client.get(where, headers=position)).status_code == 503:
        assert monotonic() < deadline
    assert found.status_code == 200


def test_a_read_model_is_asked_on_the_replica_and_its_followers_on_the_primary(pair: Pair) -> None:
    created = person(pair, "asked")
    position = {"Ninebell-Position": created.headers["Ninebell-Position"]}
    with pair.standby_held():
        before = pair.client.get("/v1/users", params={"limit": 500}).json()
        person(pair, "not there yet")
        assert pair.client.get("/v1/users", params={"limit": 500}).json() == before
        on_primary = {one["name"]: one["position"] for one in pair.town.client.get("/v1/projections").json()["items"]}
        assert {one["name"]: one["position"] for one in pair.client.get("/v1/projections").json()["items"]} == on_primary
    assert pair.client.get("/v1/dashboard/summary", headers=position).status_code == 200


def test_a_query_that_the_standby_cancels_is_answered_by_the_primary(pair: Pair) -> None:
    with Connection.connect(pair.primary, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.in_the_way ()")
        while not pair.on_standby("SELECT to_regclass('public.in_the_way')")[0]:
            sleep(0.02)
        reading = threading.Event()
        said: list[str] = []

        def there() -> str:
            try:
                with pair.replica.database.transaction() as cursor:
                    cursor.execute("SELECT * FROM public.in_the_way")
                    reading.set()
                    cursor.execute("SELECT pg_sleep(20)")
            except StoreUnavailable as error:
                said.append(str(error))
                raise
            return "standby"

        def drop() -> None:
            reading.wait(PATIENCE_SECONDS)
            connection.execute("DROP TABLE public.in_the_way")

        dropping = threading.Thread(target=drop)
        dropping.start()
        assert pair.replica.first(there, lambda: "primary") == "primary"
        dropping.join()
        assert said == ["SerializationFailure"]


def test_what_a_new_version_has_just_made_is_asked_of_the_primary_until_the_replica_has_it(pair: Pair) -> None:
    def asked(database: Database) -> Any:
        with database.cursor() as cursor:
            return cursor.execute("SELECT count(*) FROM public.just_made").fetchone()

    def first() -> Any:
        return pair.replica.first(lambda: asked(pair.replica.database), lambda: asked(pair.replica.stand_in))

    with Connection.connect(pair.primary, autocommit=True) as connection:
        with pair.standby_held():
            connection.execute("CREATE TABLE public.just_made ()")
            assert first() == (0,)
        connection.execute("DROP TABLE public.just_made")
    with pytest.raises(UndefinedTable):
        first()


def test_what_only_took_too_long_is_not_carried_over_to_the_primary(pair: Pair) -> None:
    def there() -> str:
        with pair.replica.database.transaction() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 1")
            cursor.execute("SELECT pg_sleep(20)")
        return "standby"

    with pytest.raises(StoreUnavailable, match="QueryCanceled"):
        pair.replica.first(there, lambda: "primary")


def test_who_waits_for_a_frozen_replica_is_answered_by_the_primary(pair: Pair) -> None:
    path = person(pair, "frozen").headers["Location"]
    with pair.seen() as replica:
        client = pair.asking(replica)
        until_trouble(replica, "")
        pair.standby.freeze()
        try:
            assert client.get(path).json()["external_id"] == "frozen"
            until_trouble(replica, "does not answer")
            assert client.get(path).json()["external_id"] == "frozen"
            assert replica_told(replica) == f"the read replica {replica.trouble}: the primary answers queries"
        finally:
            pair.standby.thaw()
        until_trouble(replica, "")
        assert replica_told(replica) is None


def test_a_server_that_is_no_replica_of_this_one_is_not_asked(pair: Pair, postgres_dsn: str) -> None:
    assert pair.seen(pair.primary, 60).look().trouble == "is no replica: it takes writes itself"
    assert pair.seen(postgres_dsn, 60).look().trouble == "is no replica: it takes writes itself"
    elsewhere = pair._replace(primary=postgres_dsn)
    assert elsewhere.seen(patience_seconds=60).look().trouble == "is a replica of another database"


def test_queries_go_on_without_the_replica_and_return_to_it(pair: Pair) -> None:
    path = person(pair, "away").headers["Location"]
    pair.standby.shut_down()
    assert pair.client.get(path).json()["external_id"] == "away"
    until_trouble(pair.replica, "does not answer")
    pair.standby.ensure_running()
    until_trouble(pair.replica, "")
    assert pair.client.get(path).json()["external_id"] == "away"
