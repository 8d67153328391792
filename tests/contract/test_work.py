"""Is a process manager's work one transaction: read, appended and recorded as a whole, by the leader only?"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from psycopg.conninfo import make_conninfo

from application.ports import Deposed, PositionLost, Work
from domain.dispatch import DispatchRequested
from domain.scheduled_message import MessageScheduled
from domain.user import EmailChanged, TimezoneChanged, UserRegistered
from infrastructure.event_store import PostgresEventStore
from infrastructure.leader import Elector, Leadership
from infrastructure.work import PostgresWork, begin_work, read_position
from tests.store_stage import CLI, NOW, birthday_of, cancelled, of, of_message, of_user, open_store, registered, scheduled

WATCH_COMMITS = """
    CREATE TABLE commits (synchronous text);
    CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN INSERT INTO commits VALUES (current_setting('synchronous_commit')); RETURN NULL; END$$;
    CREATE CONSTRAINT TRIGGER watching AFTER UPDATE ON positions DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION watch()"""
TO_TOKYO, TO_PARIS = TimezoneChanged(timezone="Asia/Tokyo"), TimezoneChanged(timezone="Europe/Paris")


@pytest.fixture
def store(migrated_database: str) -> Iterator[PostgresEventStore]:
    with open_store(migrated_database) as store:
        yield store


def test_what_is_read_decided_and_recorded_is_kept_as_one(store: PostgresEventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
    with begin_work(store, PostgresWork, "planner", None) as work:
        followed = work.follow("users", 10)
        work.append([of_message(birthday_of(ada), 0, scheduled())], CLI, NOW)
        work.followed("users", followed.position)
        assert store.head().messages == 0, "seen by others before the commit"
    assert store.head().messages == 1
    with begin_work(store, PostgresWork, "planner", None) as work:
        rest = work.follow("users", 10)
    assert (rest.events, rest.position, rest.more) == ([], 1, False)


def test_what_is_followed_stays_sealed_until_its_stream_is_loaded(store: PostgresEventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
    with begin_work(store, PostgresWork, "planner", None) as work:
        (followed,) = work.follow("users", 10).events
        loaded = work.load_users([ada])[ada].state
    assert isinstance(followed.event, UserRegistered)
    assert (followed.event.first_name, followed.event.timezone) == ("", "Europe/London")
    assert loaded is not None
    assert loaded.first_name == "Ada"


def test_work_that_fails_leaves_nothing(store: PostgresEventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
    with pytest.raises(LookupError), begin_work(store, PostgresWork, "planner", None) as work:
        work.append([of_message(birthday_of(ada), 0, scheduled())], CLI, NOW)
        work.followed("users", work.follow("users", 10).position)
        raise LookupError
    assert store.head().messages == 0
    with store.database.cursor() as cursor:
        assert read_position(cursor, "planner", "users") == 0


def test_of_two_runners_at_one_position_one_loses_it_and_all_it_did(store: PostgresEventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
    with begin_work(store, PostgresWork, "planner", None) as slow:
        position = slow.follow("users", 10).position
        with begin_work(store, PostgresWork, "planner", None) as fast:
            fast.followed("users", fast.follow("users", 10).position)
    # the slow one goes on where it stood, in a transaction of its own
    with pytest.raises(PositionLost), begin_work(store, PostgresWork, "planner", None) as slow:
        slow._positions["users"] = {"planner": 0}
        slow.append([of_message(birthday_of(ada), 0, scheduled())], CLI, NOW)
        slow.followed("users", position)
    assert store.head().messages == 0


def test_runners_side_by_side_apply_every_event_once(store: PostgresEventStore) -> None:
    users = [uuid4() for _ in range(200)]
    store.append([of_user(user, 0, registered(None)) for user in users], CLI, NOW)

    def run(_: int) -> list[object]:
        applied: list[object] = []
        while True:
            try:
                with begin_work(store, PostgresWork, "planner", None) as work:
                    followed = work.follow("users", 7)
                    work.followed("users", followed.position)
            except PositionLost:
                continue
            if not followed.events:
                return applied
            applied += [recorded.stream_id for recorded in followed.events]

    with ThreadPoolExecutor(4) as threads:
        applied = [one for runner in threads.map(run, range(4)) for one in runner]
    assert sorted(applied, key=str) == sorted(users, key=str)


def test_followers_have_positions_of_their_own(store: PostgresEventStore) -> None:
    store.append([of_user(uuid4(), 0, registered("ada"))], CLI, NOW)
    with begin_work(store, PostgresWork, "planner", None) as work:
        work.followed("users", work.follow("users", 10).position)
    with begin_work(store, PostgresWork, "publisher", None) as work:
        assert len(work.follow("users", 10).events) == 1


def test_events_of_other_kinds_are_gone_past_unread(store: PostgresEventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("ada"), TO_TOKYO, EmailChanged(email="new@example.com"))], CLI, NOW)
    with begin_work(store, PostgresWork, "planner", None) as work:
        followed = work.follow("users", 10, frozenset({TimezoneChanged}))
    assert ([recorded.event for recorded in followed.events], followed.position, followed.more) == ([TO_TOKYO], 3, False)


def test_what_cannot_be_read_is_parked_and_gone_past(store: PostgresEventStore) -> None:
    with store.database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO users (originator_id, originator_version, topic, state, recorded_at)"
            " VALUES (%s, 1, 'user.levitated.v1', 'Ada', %s)",
            (uuid4(), NOW),
        )
    for _ in range(2):
        with begin_work(store, PostgresWork, "planner", None) as work:
            work.followed("users", work.follow("users", 10, frozenset({UserRegistered})).position)
    with store.database.cursor() as cursor:
        cursor.execute("SELECT follower, log, position, topic, error FROM parked_events")
        assert cursor.fetchall() == [("planner", "users", 1, "user.levitated.v1", "unknown")]


def test_who_lost_reads_and_decides_again_in_the_same_work(store: PostgresEventStore) -> None:
    ada, bob = uuid4(), uuid4()
    store.append([of_user(ada, 0, registered("ada")), of_user(bob, 0, registered("bob"))], CLI, NOW)
    with begin_work(store, PostgresWork, "planner", None) as work:
        versions = work.load_users([ada, bob])
        store.append([of_user(ada, 1, TO_PARIS)], CLI, NOW)
        groups = [of_user(user, versions[user].version, TO_TOKYO) for user in (ada, bob)]
        assert work.append(groups, CLI, NOW).lost == {0}
        again = work.load_users([ada])[ada]
        assert (again.version, again.state and again.state.timezone) == (2, "Europe/Paris")
        assert work.append([of_user(ada, 2, TO_TOKYO)], CLI, NOW).lost == frozenset()
    assert [recorded.event for recorded in store.history("users", ada)[1:]] == [TO_PARIS, TO_TOKYO]


def test_members_first_then_their_dispatch_in_one_work(store: PostgresEventStore) -> None:
    message, dispatch = birthday_of(uuid4()), uuid4()
    requested = DispatchRequested(channel="sink", region="asia", message_ids=(message,))
    with begin_work(store, PostgresWork, "dispatcher", None) as work:
        work.append([of_message(message, 0, scheduled())], CLI, NOW)
        work.append([of("dispatches", dispatch, 0, requested)], CLI, NOW)
        work.append([of_message(message, 1, cancelled())], CLI, NOW)
        assert work.load_messages([message])[message].version == 2
    assert store.load_dispatches([dispatch])[dispatch].version == 1


def test_a_follower_of_its_own_appends_meets_them_next(store: PostgresEventStore) -> None:
    with begin_work(store, PostgresWork, "planner", None) as work:
        work.append([of_message(birthday_of(uuid4()), 0, scheduled())], CLI, NOW)
    with begin_work(store, PostgresWork, "planner", None) as work:
        assert [type(recorded.event) for recorded in work.follow("messages", 10).events] == [MessageScheduled]


def test_a_deposed_leader_keeps_nothing(store: PostgresEventStore) -> None:
    old = lead(store)
    new = lead(store)
    assert new.epoch == old.epoch + 1
    with pytest.raises(Deposed), begin_work(store, PostgresWork, "planner", old) as work:
        work.append([of_message(birthday_of(uuid4()), 0, scheduled())], CLI, NOW)
    with begin_work(store, PostgresWork, "planner", new) as work:
        work.append([of_message(birthday_of(uuid4()), 0, scheduled())], CLI, NOW)
    assert store.head().messages == 1


def test_a_takeover_waits_for_what_the_leader_has_in_flight(store: PostgresEventStore) -> None:
    old = lead(store)
    with ThreadPoolExecutor(1) as threads:
        with begin_work(store, PostgresWork, "planner", old) as work:
            taking_over = threads.submit(lead, store)
            while not work.cursor.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount:
                assert not taking_over.done()
            work.append([of_message(birthday_of(uuid4()), 0, scheduled())], CLI, NOW)
        assert taking_over.result().epoch == old.epoch + 1
    assert store.head().messages == 1


def lead(store: PostgresEventStore) -> Leadership:
    """Take the role over from whoever has it."""
    leadership = Elector(store.database, "planner", take_over_at_once=True).step(0.0)
    assert leadership is not None
    return leadership


def keeps_the_contract(work: PostgresWork) -> Work:
    """Checked by the type checker."""
    return work


@pytest.mark.parametrize(
    ("comes_again", "appends", "synchronous"), [(True, False, "off"), (True, True, "on"), (False, False, "on")]
)
def test_only_what_comes_again_is_not_waited_for_to_reach_the_disk(
    migrated_database: str, comes_again: bool, appends: bool, synchronous: str
) -> None:
    ada = uuid4()
    with open_store(make_conninfo(migrated_database, options="-c synchronous_commit=on")) as store:
        store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
        with store.database.connect() as connection:
            connection.execute(WATCH_COMMITS)
        with begin_work(store, PostgresWork, "publisher", None, comes_again=comes_again) as work:
            work.followed("users", work.follow("users", 10).position)
            if appends:
                work.append([of_message(birthday_of(ada), 0, scheduled())], CLI, NOW)
        with store.database.connect() as connection:
            assert connection.execute("SELECT * FROM commits").fetchall() == [(synchronous,)]
            assert connection.execute("SHOW synchronous_commit").fetchall() == [("on",)]
