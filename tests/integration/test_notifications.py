"""Does a follower hear of what is appended, and is it late by a second at most when nobody tells it?"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Signal
from uuid import uuid4

import pytest

from application.ports import Log
from infrastructure import notifications
from infrastructure.event_store import PostgresEventStore
from infrastructure.notifications import POLL_SECONDS, Announcer, Hearing, Listener, Topic, Wakeups
from infrastructure.work import PostgresWork, begin_work
from tests.store_stage import CLI, NOW, of_message, open_store, scheduled

LONG_SECONDS = 60.0
SOON_SECONDS = 5 * POLL_SECONDS


@pytest.fixture
def store(migrated_database: str) -> Iterator[PostgresEventStore]:
    with open_store(migrated_database) as store:
        yield store


@pytest.fixture
def wakeups(store: PostgresEventStore) -> Iterator[Wakeups]:
    """Listening."""
    wakeups = Wakeups(store.database)
    before = wakeups.heard()
    with wakeups:
        wakeups.wait_beyond(before, LONG_SECONDS)
        yield wakeups


def test_an_append_is_announced_to_the_followers_of_its_log(store: PostgresEventStore, wakeups: Wakeups) -> None:
    before = wakeups.heard()
    append(store)
    wakeups.wait_beyond({"messages": before["messages"]}, LONG_SECONDS)
    assert wakeups.heard() == before | {"messages": before["messages"] + 1}


def test_work_is_announced_once_it_is_committed(store: PostgresEventStore, wakeups: Wakeups) -> None:
    before = wakeups.heard()
    with begin_work(store, PostgresWork, "planner", None) as work:
        work.append([of_message(uuid4(), 0, scheduled())], CLI, NOW)
        assert wakeups.heard() == before
    wakeups.wait_beyond({"messages": before["messages"]}, LONG_SECONDS)
    assert wakeups.heard()["messages"] > before["messages"]


def test_an_announcement_made_while_the_follower_was_busy_is_not_missed(wakeups: Wakeups) -> None:
    listener = wakeups.listener()
    wakeups.poke("users")
    before = wakeups.heard()
    wakeups.wait_beyond({log: times for log, times in listener._heard.items() if log == "users"}, LONG_SECONDS)
    listener.wait(["users"])
    assert listener._heard == before


def test_an_announcement_made_before_the_rest_is_heard_after_it(wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = wakeups.listener()
    wakeups.poke("users")
    assert returns_by_what_it_hears(lambda: listener.wait(["users"], LONG_SECONDS, rest_seconds=0.01), monkeypatch)


def test_a_process_hears_its_own_announcements_without_a_server(
    store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mute = Announcer(store.database)  # never started
    listener = mute.made_here.listener()
    mute.announce(["dispatches"])
    assert returns_by_what_it_hears(lambda: listener.wait(["dispatches"], LONG_SECONDS), monkeypatch)


def test_a_process_without_followers_does_not_listen(store: PostgresEventStore) -> None:
    wakeups = Wakeups(store.database)
    before = wakeups.heard()
    append(store)
    assert wakeups.heard() == before
    wakeups.listener()
    wakeups.wait_beyond(before, LONG_SECONDS)
    assert wakeups.heard() == dict.fromkeys(before, 1)
    wakeups.stop()


def test_each_follower_hears_for_itself(wakeups: Wakeups) -> None:
    one, other = wakeups.listener(), wakeups.listener()
    wakeups.poke("users")
    one.wait(["users"])
    assert other._heard["users"] < one._heard["users"]


def test_a_lost_announcement_delays_a_follower_by_a_poll(store: PostgresEventStore, wakeups: Wakeups) -> None:
    mute = PostgresEventStore(store.database, store.keyring, announcer=Announcer(store.database))  # never started
    assert follow_one(store, wakeups.listener(), lambda: append(mute)) == 1


def test_a_killed_listening_connection_delays_a_follower_by_a_poll(store: PostgresEventStore, wakeups: Wakeups) -> None:
    def cut_and_append() -> None:
        with store.database.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
            assert cursor.fetchall() == [(True,)]
        append(store)

    assert follow_one(store, wakeups.listener(), cut_and_append) == 1


def test_listening_begins_again_after_a_cut_and_wakes_everybody(store: PostgresEventStore, wakeups: Wakeups) -> None:
    before = wakeups.heard()
    with store.database.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    wakeups.wait_beyond({"dispatches": before["dispatches"]}, LONG_SECONDS)
    again = wakeups.heard()
    assert again == {log: times + 1 for log, times in before.items()}
    append(store)
    wakeups.wait_beyond({"messages": again["messages"]}, LONG_SECONDS)
    assert wakeups.heard()["messages"] > again["messages"]


def test_announcing_goes_on_after_a_cut(store: PostgresEventStore, wakeups: Wakeups) -> None:
    before = wakeups.heard()
    append(store)
    wakeups.wait_beyond({"messages": before["messages"]}, LONG_SECONDS)
    before = wakeups.heard()
    with store.database.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_notify%' AND pid <> pg_backend_pid()"
        )
    append(store)
    wakeups.wait_beyond({"messages": before["messages"]}, LONG_SECONDS)
    assert wakeups.heard()["messages"] > before["messages"]


def returns_by_what_it_hears(wait: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> bool:
    """As no poll ends it for a minute."""
    monkeypatch.setattr(notifications, "POLL_SECONDS", LONG_SECONDS)
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(wait).result(timeout=SOON_SECONDS) is None


def follow_one(store: PostgresEventStore, listener: Listener, act: Callable[[], None]) -> int:
    """How many messages a waiting follower has soon after an act it may not hear of."""
    waiting = Signal()
    log: Log = "messages"

    def follow() -> int:
        while not (events := store.read(log, 0, 10).events):
            waiting.set()
            listener.wait([log], LONG_SECONDS)
        return len(events)

    with ThreadPoolExecutor(1) as threads:
        following = threads.submit(follow)
        waiting.wait()
        act()
        return following.result(timeout=SOON_SECONDS)


def append(store: PostgresEventStore) -> None:
    assert not store.append([of_message(uuid4(), 0, scheduled())], CLI, NOW).lost


def test_a_rest_ends_when_the_log_stands_still(wakeups: Wakeups) -> None:
    assert rested(wakeups.listener(), Signal())


def test_a_rest_goes_on_while_the_log_grows_until_all_is_to_stop(store: PostgresEventStore) -> None:
    stop = Signal()
    growing = Growing(stop)
    assert rested(growing.listener(), stop)
    assert growing.looks == Growing.LOOKS


def test_a_rest_ends_when_somebody_asks(store: PostgresEventStore, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "QUIET_SECONDS", LONG_SECONDS)
    listener = wakeups.listener()
    store.announcer.announce(["asked"])
    assert rested(listener, Signal()), "and be it before the rest began"


class Growing(Hearing):
    """Of a log that grows between any two looks; after some of these all stops."""

    LOOKS = 5

    def __init__(self, stop: Signal) -> None:
        super().__init__()
        self.looks, self._stop = 0, stop

    def wait_beyond(self, heard: Mapping[Topic, int], timeout_seconds: float) -> bool:
        self.poke("messages")
        self.looks += 1
        if self.looks == self.LOOKS:
            self._stop.set()
        return super().wait_beyond(heard, 0.0)


def rested(listener: Listener, stop: Signal) -> bool:
    """As it would not be for a minute yet."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(listener.rest, "messages", LONG_SECONDS, stop).result(timeout=SOON_SECONDS) is None
