"""Does an event store keep what it promises its callers, in memory and on PostgreSQL?"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from application.ports import EventStore, Group, NewEvents, Origin, Position
from domain.dispatch import DispatchMemberWithdrawn, DispatchRequested
from domain.errors import UserErasedError
from domain.user import EmailChanged, TimezoneChanged, UserErased, UserRegistered
from tests.fake_event_store import FakeEventStore
from tests.store_stage import CLI, NOW, birthday_of, cancelled, of, of_message, of_user, open_store, registered, scheduled


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    if request.param == "memory":
        yield FakeEventStore()
    else:
        with open_store(request.getfixturevalue("migrated_database")) as store:
            yield store


def test_what_was_appended_is_read_back_in_order(store: EventStore) -> None:
    ada = uuid4()
    answer = store.append([of_user(ada, 0, registered("ada"), TimezoneChanged(timezone="Asia/Tokyo"))], CLI, NOW)
    assert answer.lost == frozenset()
    first, second = store.history("users", ada)
    assert (first.event, second.event) == (registered("ada"), TimezoneChanged(timezone="Asia/Tokyo"))
    assert (first.version, second.version) == (1, 2)
    assert first.position < second.position == answer.position.users == store.head().users
    assert (first.stream_id, first.at, first.origin.who) == (ada, NOW, "cli")


def test_a_group_may_have_an_origin_of_its_own(store: EventStore) -> None:
    ada, planner = uuid4(), Origin("planner", "a story", "users:7")
    store.append([Group((NewEvents("users", ada, 0, (registered("ada"),)),), planner)], CLI, NOW)
    assert store.history("users", ada)[0].origin == planner


def test_what_nobody_asked_for_begins_a_story_of_its_streams_own_and_goes_on_with_it(store: EventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
    store.append([of_user(ada, 1, EmailChanged(email="a@example.com"))], Origin("key:crm", "request-7"), NOW)
    told = store.load_users([ada])[ada].story
    store.append([Group((NewEvents("users", ada, 2, (EmailChanged(email="b@example.com"),), told),))], CLI, NOW)
    assert [one.origin.correlation_id for one in store.history("users", ada)] == [str(ada), "request-7", "request-7"]
    assert store.load_users([ada])[ada].story == "request-7"


def test_a_stream_is_loaded_as_its_events_fold(store: EventStore) -> None:
    ada, nobody = uuid4(), uuid4()
    store.append([of_user(ada, 0, registered("ada"), EmailChanged(email="new@example.com"))], CLI, NOW)
    loaded = store.load_users([ada, nobody])
    state = loaded[ada].state
    assert state is not None
    assert (state.email, state.first_name, loaded[ada].version) == ("new@example.com", "Ada", 2)
    assert (loaded[nobody].state, loaded[nobody].version) == (None, 0)
    assert store.load_messages([]) == {}


def test_a_conflict_hurts_only_its_group(store: EventStore) -> None:
    ada, bob = uuid4(), uuid4()
    store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
    answer = store.append([of_user(ada, 0, registered("x")), of_user(bob, 0, registered("bob"))], CLI, NOW)
    assert answer.lost == {0}
    assert (store.user_of("x"), store.user_of("bob")) == (None, bob)


def test_events_after_ones_that_are_not_there_are_lost(store: EventStore) -> None:
    ada = uuid4()
    assert store.append([of_user(ada, 3, TimezoneChanged(timezone="Asia/Tokyo"))], CLI, NOW).lost == {0}
    assert store.history("users", ada) == []


def test_of_two_groups_for_one_stream_in_one_append_the_second_is_lost(store: EventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
    to_tokyo, to_paris = TimezoneChanged(timezone="Asia/Tokyo"), TimezoneChanged(timezone="Europe/Paris")
    assert store.append([of_user(ada, 1, to_tokyo), of_user(ada, 1, to_paris)], CLI, NOW).lost == {1}
    assert [recorded.event for recorded in store.history("users", ada)[1:]] == [to_tokyo]


def test_groups_that_follow_each_other_in_one_append_all_land(store: EventStore) -> None:
    ada = uuid4()
    first, second = of_user(ada, 0, registered("ada")), of_user(ada, 1, TimezoneChanged(timezone="Asia/Tokyo"))
    assert store.append([first, second], CLI, NOW).lost == frozenset()
    assert store.load_users([ada])[ada].version == 2


def test_a_group_lands_whole_or_not_at_all(store: EventStore) -> None:
    message, dispatch = birthday_of(uuid4()), uuid4()
    requested = DispatchRequested(channel="sink", region="asia", message_ids=(message,))
    store.append([of_message(message, 0, scheduled()), of("dispatches", dispatch, 0, requested)], CLI, NOW)
    cancel = NewEvents("messages", message, 1, (cancelled(),))
    withdrawn = DispatchMemberWithdrawn(message_id=message)
    assert store.append([Group((cancel, NewEvents("dispatches", dispatch, 0, (withdrawn,))))], CLI, NOW).lost == {0}
    assert store.load_messages([message])[message].version == 1
    assert store.append([Group((cancel, NewEvents("dispatches", dispatch, 1, (withdrawn,))))], CLI, NOW).lost == frozenset()
    assert store.load_messages([message])[message].version == 2
    assert store.load_dispatches([dispatch])[dispatch].version == 2


def test_no_events_only_check_the_version(store: EventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
    assert store.append([of_user(ada, 1)], CLI, NOW).lost == frozenset()
    assert store.append([of_user(ada, 2)], CLI, NOW).lost == {0}
    assert store.head() == Position(users=store.history("users", ada)[0].position)


def test_an_append_whose_acknowledgement_was_lost_may_be_made_again(store: EventStore) -> None:
    message, dispatch = birthday_of(uuid4()), uuid4()
    requested = DispatchRequested(channel="sink", region="asia", message_ids=(message,))
    news = (NewEvents("messages", message, 0, (scheduled(),)), NewEvents("dispatches", dispatch, 0, (requested,)))
    first = store.append([Group(news)], CLI, NOW)
    again = store.append([Group(news)], CLI, NOW)
    assert again.lost == frozenset()
    assert again.position == first.position == store.head()
    assert len(store.history("messages", message)) == 1


def test_what_only_half_stands_there_is_lost(store: EventStore) -> None:
    message, dispatch = birthday_of(uuid4()), uuid4()
    requested = DispatchRequested(channel="sink", region="asia", message_ids=(message,))
    store.append([of_message(message, 0, scheduled())], CLI, NOW)
    news = (NewEvents("messages", message, 0, (scheduled(),)), NewEvents("dispatches", dispatch, 0, (requested,)))
    assert store.append([Group(news)], CLI, NOW).lost == {0}
    assert store.load_dispatches([dispatch])[dispatch].version == 0


def test_an_external_id_has_one_owner(store: EventStore) -> None:
    ada, bob, eve = uuid4(), uuid4(), uuid4()
    answer = store.append([of_user(ada, 0, registered("x")), of_user(bob, 0, registered("x"))], CLI, NOW)
    assert answer.lost == {1}
    assert store.append([of_user(eve, 0, registered("x"))], CLI, NOW).lost == {0}
    assert store.user_of("x") == ada
    assert store.users_of(["x", "free"]) == {"x": ada}


def test_users_without_an_external_id_do_not_clash(store: EventStore) -> None:
    groups = [of_user(uuid4(), 0, registered(None)), of_user(uuid4(), 0, registered(None))]
    assert store.append(groups, CLI, NOW).lost == frozenset()


def test_an_erasure_leaves_a_redacted_user_whose_external_id_stays_taken(store: EventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("x"))], CLI, NOW)
    store.append([of_user(ada, 1, UserErased())], CLI, NOW)
    state = store.load_users([ada])[ada].state
    assert state is not None
    assert (state.first_name, state.email, state.birthday, state.erased) == ("", "", None, True)
    told = store.history("users", ada)[0].event
    assert isinstance(told, UserRegistered)
    assert (told.first_name, told.email, told.timezone) == ("", "", "Europe/London")
    with pytest.raises(UserErasedError):
        store.user_of("x")
    assert store.users_of(["x", "free"]) == {"x": "erased"}
    assert store.append([of_user(uuid4(), 0, registered("x"))], CLI, NOW).lost == {0}


def test_an_erased_external_id_registers_again_only_where_it_is_readmitted(store: EventStore) -> None:
    ada, again = uuid4(), uuid4()
    store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
    store.append([of_user(ada, 1, UserErased())], CLI, NOW)
    registration = NewEvents("users", again, 0, (registered("ada"),))
    assert store.append([Group((registration,))], CLI, NOW).lost == {0}
    assert store.append([Group((registration,), readmit=True)], CLI, NOW).lost == frozenset()
    assert store.user_of("ada") == again
    another = NewEvents("users", uuid4(), 0, (registered("ada"),))
    assert store.append([Group((another,), readmit=True)], CLI, NOW).lost == {0}


def test_a_change_that_meets_an_erasure_is_lost(store: EventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("x"))], CLI, NOW)
    store.append([of_user(ada, 1, UserErased())], CLI, NOW)
    assert store.append([of_user(ada, 1, EmailChanged(email="new@example.com"))], CLI, NOW).lost == {0}


def test_of_many_who_change_a_user_at_once_one_wins(store: EventStore) -> None:
    ada, emails = uuid4(), [f"{number}@example.com" for number in range(8)]
    store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
    with ThreadPoolExecutor(len(emails)) as threads:
        answers = list(threads.map(lambda email: store.append([of_user(ada, 1, EmailChanged(email=email))], CLI, NOW), emails))
    assert sorted(len(answer.lost) for answer in answers) == [0] + [1] * 7
    winner = next(email for email, answer in zip(emails, answers, strict=True) if not answer.lost)
    assert store.history("users", ada)[-1].event == EmailChanged(email=winner)
