"""Does a build see that messages are being sent, and that no more are?"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from application.ports import Group, NewEvents, Origin
from domain.dispatch import request
from infrastructure.calm import CALM_SECONDS, Calm
from infrastructure.database import Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import Keyring
from infrastructure.notifications import Announcer

NOW = datetime(2027, 6, 1, tzinfo=UTC)


@pytest.fixture
def store(migrated_database: str) -> Iterator[PostgresEventStore]:
    with Database(migrated_database, application_name="tests") as database, Announcer(database) as announcer:
        yield PostgresEventStore(database, Keyring(bytes(32)), announcer=announcer)


def test_it_is_calm_once_nothing_was_handed_out_for_a_while(store: PostgresEventStore) -> None:
    calm = Calm(store.database)
    assert not calm.looked_at(100.0), "nobody knows yet"
    assert calm.looked_at(100.0 + CALM_SECONDS)
    events = tuple(request("sink", "asia", (uuid4(),)))
    store.append([Group((NewEvents("dispatches", uuid4(), 0, events),))], Origin(who="test"), NOW)
    assert not calm.looked_at(110.0)
    assert not calm.looked_at(109.9 + CALM_SECONDS)
    assert calm.looked_at(110.0 + CALM_SECONDS)


def test_whoever_has_not_looked_before_goes_by_the_clock(store: PostgresEventStore) -> None:
    calm = Calm(store.database)
    assert calm.at_once(NOW)
    events = tuple(request("sink", "asia", (uuid4(),)))
    store.append([Group((NewEvents("dispatches", uuid4(), 0, events),))], Origin(who="test"), NOW)
    assert not calm.at_once(NOW + timedelta(seconds=CALM_SECONDS - 0.1))
    assert calm.at_once(NOW + timedelta(seconds=CALM_SECONDS))
