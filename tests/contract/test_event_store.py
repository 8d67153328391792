"""Does the event store keep what it promises its callers?"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from uuid import UUID, uuid4

import pytest

from application.ports import Group, NewEvents, Origin, Position
from domain.dispatch import DispatchMemberWithdrawn, DispatchRequested
from domain.errors import UserErasedError
from domain.event import Event
from domain.message_id import message_id
from domain.scheduled_message import MessageCancelled, MessageScheduled
from domain.user import EmailChanged, TimezoneChanged, UserErased, UserEvent, UserRegistered
from infrastructure.database import Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import Keyring
from infrastructure.notifications import Announcer
from infrastructure.partitions import ensure_partitions
from infrastructure.schema import migrate

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
CLI = Origin("cli")
OCCASION = date(2027, 3, 14)


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    migrate(database)
    with Database(database, application_name="test") as pool, Announcer(pool) as announcer:
        with pool.connect() as connection:
            ensure_partitions(connection, date(2027, 1, 1), date(2027, 6, 1))
        yield PostgresEventStore(pool, Keyring(bytes(32)), announcer=announcer)


def test_what_was_appended_is_read_back_in_order(store: PostgresEventStore) -> None:
    ada = uuid4()
    answer = store.append([of_user(ada, 0, registered("ada"), TimezoneChanged(timezone="Asia/Tokyo"))], CLI, NOW)
    assert answer.lost == frozenset()
    first, second = store.history("users", ada)
    assert (first.event, second.event) == (registered("ada"), TimezoneChanged(timezone="Asia/Tokyo"))
    assert (first.version, second.version) == (1, 2)
    assert first.position < second.position == answer.position.users == store.head().users
    assert (first.at, first.origin) == (NOW, CLI)


def test_a_stream_is_loaded_as_its_events_fold(store: PostgresEventStore) -> None:
    ada, nobody = uuid4(), uuid4()
    store.append([of_user(ada, 0, registered("ada"), EmailChanged(email="new@example.com"))], CLI, NOW)
    loaded = store.load_users([ada, nobody])
    state = loaded[ada].state
    assert state is not None
    assert (state.email, loaded[ada].version) == ("new@example.com", 2)
    assert (loaded[nobody].state, loaded[nobody].version) == (None, 0)


def test_a_conflict_hurts_only_its_group(store: PostgresEventStore) -> None:
    ada, bob = uuid4(), uuid4()
    store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
    answer = store.append([of_user(ada, 0, registered("x")), of_user(bob, 0, registered("bob"))], CLI, NOW)
    assert answer.lost == {0}
    assert store.load_users([bob])[bob].version == 1
    assert store.user_of("x") is None


def test_a_group_lands_whole_or_not_at_all(store: PostgresEventStore) -> None:
    message, dispatch = message_id(uuid4(), "BIRTHDAY", OCCASION), uuid4()
    requested = DispatchRequested(channel="sink", region="asia", message_ids=(message,))
    store.append([of("messages", message, 0, scheduled()), of("dispatches", dispatch, 0, requested)], CLI, NOW)
    cancel = NewEvents("messages", message, 1, (cancelled(),))
    withdraw = NewEvents("dispatches", dispatch, 0, (DispatchMemberWithdrawn(message_id=message),))
    assert store.append([Group((cancel, withdraw))], CLI, NOW).lost == {0}
    assert store.load_messages([message])[message].version == 1
    withdraw = NewEvents("dispatches", dispatch, 1, (DispatchMemberWithdrawn(message_id=message),))
    assert store.append([Group((cancel, withdraw))], CLI, NOW).lost == frozenset()
    assert store.load_messages([message])[message].version == 2


def test_no_events_only_check_the_version(store: PostgresEventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
    assert store.append([of_user(ada, 1)], CLI, NOW).lost == frozenset()
    assert store.append([of_user(ada, 2)], CLI, NOW).lost == {0}
    assert store.head() == Position(users=store.history("users", ada)[0].position)


def test_an_external_id_has_one_owner(store: PostgresEventStore) -> None:
    ada, bob, eve = uuid4(), uuid4(), uuid4()
    answer = store.append([of_user(ada, 0, registered("x")), of_user(bob, 0, registered("x"))], CLI, NOW)
    assert answer.lost == {1}
    assert store.append([of_user(eve, 0, registered("x"))], CLI, NOW).lost == {0}
    assert store.user_of("x") == ada


def test_an_erasure_leaves_a_redacted_user_whose_external_id_stays_taken(store: PostgresEventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("x")), of_user(ada, 1, UserErased())], CLI, NOW)
    state = store.load_users([ada])[ada].state
    assert state is not None
    assert (state.first_name, state.email, state.erased) == ("", "", True)
    with pytest.raises(UserErasedError):
        store.user_of("x")
    assert store.users_of(["x", "free"]) == {"x": "erased"}
    assert store.append([of_user(uuid4(), 0, registered("x"))], CLI, NOW).lost == {0}


def of(log: str, stream_id: UUID, version: int, *events: Event) -> Group:
    return Group((NewEvents(log, stream_id, version, events),))  # type: ignore[arg-type]


def of_user(user_id: UUID, version: int, *events: UserEvent) -> Group:
    return of("users", user_id, version, *events)


def registered(external_id: str | None, name: str = "Ada") -> UserRegistered:
    return UserRegistered(
        external_id=external_id,
        first_name=name,
        last_name="Lovelace",
        email="ada@example.com",
        timezone="Europe/London",
        birthday="1990-12-10",
        anniversary=None,
        country="GB",
        language=None,
        preferred_time=None,
        message_types=("BIRTHDAY",),
        attributes={},
        first_occasion=OCCASION,
    )


def scheduled() -> MessageScheduled:
    return MessageScheduled(
        message_type="BIRTHDAY",
        timezone="Asia/Tokyo",
        due_at=NOW,
        user_id=UUID(int=1),
        occasion=OCCASION,
        rule="plain",
        tzdata="2026f",
        type_version=1,
    )


def cancelled() -> MessageCancelled:
    return MessageCancelled(message_type="BIRTHDAY", timezone="Asia/Tokyo", due_at=NOW, reason="operator")
