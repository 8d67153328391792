"""A running API on a database of the test's own, whose planner and projections go on when the test says so."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, Final
from uuid import UUID

import pytest
from msgspec.structs import replace
from starlette.testclient import TestClient

from api.app import make_app
from api.service import Service
from application.channel_plan import ChannelPlan, ChannelTraits
from application.edit_templates import EditTemplates
from application.plan_messages import Planner
from domain.message_type import registry
from infrastructure.api_keys import ApiKeys
from infrastructure.database import Database
from infrastructure.derivation_tables import moved_by_tzdata
from infrastructure.event_store import PostgresEventStore
from infrastructure.followers import Followers
from infrastructure.import_staging import PostgresStaging
from infrastructure.keyring import Keyring
from infrastructure.liquid_text import compile_text
from infrastructure.notifications import Announcer
from infrastructure.partitions import ensure_partitions
from infrastructure.planner_tables import PostgresPlannerWork
from infrastructure.projector import Projector
from infrastructure.story_search import PostgresStories
from infrastructure.template_tables import PostgresTemplates
from infrastructure.user_sealer import UserSealer
from infrastructure.wanted_rebuilds import PostgresWantedRebuilds
from infrastructure.work import begin_work
from projections.projection import Cursor, Sealer
from projections.registry import PROJECTIONS
from tests.servers import create_database, drop_database

TOWN_NUMBERS: Final = count()
KEY: Final = "a-key-for-tests"
NOW: Final = datetime(2027, 3, 1, 12, tzinfo=UTC)
ADA: Final[dict[str, Any]] = {
    "external_id": "crm-1",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "email": "ada@example.org",
    "timezone": "Europe/London",
    "birthday": "1990-03-02",
}


class SetClock:
    """A clock that stands where the test put it."""

    def __init__(self) -> None:
        self.instant = NOW

    def now(self) -> datetime:
        return self.instant

    def steady(self) -> bool:
        return True


SINK = ChannelTraits("sink", idempotent=True, askable=False, concurrency=64)


class Town:
    """The API, and what goes on behind it."""

    def __init__(self, store: PostgresEventStore) -> None:
        self.store = store
        self.clock = SetClock()
        self.red: list[str] = []
        self.projectors = [Projector(store, projection) for projection in PROJECTIONS.values()]
        for projector in self.projectors:
            projector.prepare()
        keys = ApiKeys(store.database)
        keys.ensure_key(KEY)
        self.service = Service(
            store=store,
            clock=self.clock,
            types=registry(),
            channels=ChannelPlan([SINK]),
            reading=self.reading,
            followers=Followers(store),
            keys=keys,
            staging=partial(PostgresStaging, store),
            planning=partial(begin_work, store, PostgresPlannerWork, "operator", None),
            templates=EditTemplates(PostgresTemplates(store.database), registry(), compile_text),
            rebuilds=PostgresWantedRebuilds(store.database),
            ready=lambda: self.red,
            moved_by_tzdata=partial(moved_by_tzdata, store.database),
            note_caller_id=PostgresStories(store.database).note,
            wait_seconds=0.2,
        )
        self.client = self.client_of(self.service)

    def client_of(self, service: Service) -> TestClient:
        headers = {"Authorization": f"Bearer {KEY}"}
        return TestClient(make_app(service), headers=headers, raise_server_exceptions=False)

    def with_limits(self, **limits: Any) -> TestClient:
        """A client of an API that differs in these fields of its service."""
        return self.client_of(replace(self.service, **limits))

    @contextmanager
    def reading(self) -> Iterator[tuple[Cursor, Sealer]]:
        with self.store.database.transaction() as cursor:
            yield cursor, UserSealer(self.store.keyring, cursor)

    def plan(self) -> None:
        """The planner goes on until there is nothing left to do."""
        planner = Planner(partial(begin_work, self.store, PostgresPlannerWork, "planner", None), self.service.types)
        while planner.step(self.clock.now()):
            pass

    def project(self) -> None:
        """So do the read models."""
        for projector in self.projectors:
            while projector.step():
                pass

    def catch_up(self) -> None:
        self.plan()
        self.project()

    def create(self, **fields: Any) -> UUID:
        """A person like Ada, but for what is said."""
        answer = self.client.post("/v1/users", json=ADA | fields)
        assert answer.status_code == 201, answer.text
        return UUID(answer.json()["id"])

    def message_of(self, user_id: UUID) -> dict[str, Any]:
        """Their one message, once planner and projections are through."""
        self.catch_up()
        (message,) = self.client.get("/v1/messages", params={"user_id": str(user_id)}).json()["items"]
        found: dict[str, Any] = message
        return found


@contextmanager
def town_on(dsn: str) -> Iterator[Town]:
    with Database(dsn, application_name="test") as database, Announcer(database) as announcer:
        yield Town(PostgresEventStore(database, Keyring(bytes(32)), announcer=announcer, keep_trying_seconds=1))


@pytest.fixture(scope="session")
def empty_town(postgres_dsn: str, migrated_template: str) -> Iterator[str]:
    """Name of a database to be copied, in which a town has room for the first half of 2027, and its read models' tables."""
    name = f"empty_town_{os.getpid()}"
    with town_on(create_database(postgres_dsn, name, migrated_template)) as town, town.store.database.connect() as connection:
        ensure_partitions(connection, date(2027, 1, 1), date(2027, 6, 30))
    yield name
    drop_database(postgres_dsn, name)


@pytest.fixture
def town_database(postgres_dsn: str, empty_town: str) -> Iterator[str]:
    """The town's, as a DSN, for commands that look into it."""
    name = f"town_{os.getpid()}_{next(TOWN_NUMBERS)}"
    yield create_database(postgres_dsn, name, empty_town)
    drop_database(postgres_dsn, name)


@pytest.fixture
def town(town_database: str) -> Iterator[Town]:
    with town_on(town_database) as town:
        yield town


@pytest.fixture
def client(town: Town) -> TestClient:
    return town.client


Pointers = Callable[[Any], list[str]]


def pointers(answer: Any) -> list[str]:
    """The wrong fields that a problem names."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    return [error["pointer"] for error in answer.json()["errors"]]


def later(**span: float) -> datetime:
    return NOW + timedelta(**span)
