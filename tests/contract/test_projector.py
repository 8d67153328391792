"""Does every read model see each event once, whoever runs, fails or starts again?"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from threading import Event as Signal
from threading import Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest
from msgspec.structs import replace

from application.ports import Group, Log, NewEvents, Origin, Position, Recorded, StoreUnavailable
from domain.event import Event, stored_name
from domain.message_id import message_id
from domain.user import EmailChanged, TimezoneChanged
from infrastructure.database import Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.followers import PROCESS_MANAGERS, Followers
from infrastructure.keyring import Keyring
from infrastructure.notifications import CHANNEL, Announcer, Wakeups
from infrastructure.projector import NewerTables, Projector
from infrastructure.schema import migrate
from infrastructure.shared_tail import SharedTail
from infrastructure.user_sealer import UserSealer
from infrastructure.work import PostgresWork, begin_work
from projections import analytics_view, message_log, users_view
from projections.analytics_view import ANALYTICS_VIEW
from projections.message_log import MESSAGE_LOG
from projections.messages_by_timezone import MESSAGES_BY_TIMEZONE
from projections.projection import Cursor, Projection, Sealer
from projections.registry import PROJECTIONS
from projections.users_view import USERS_VIEW
from tests.domain.message_stories import REQUESTED, SCHEDULED, SENT
from tests.projections.test_users_view import ADA

NOW = datetime(2027, 5, 15, 8, 30, tzinfo=UTC)
CLI = Origin("cli")
OCCASION = date(2027, 5, 15)


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    migrate(database)
    with Database(database, application_name="tests") as pool, Announcer(pool) as announcer:
        yield PostgresEventStore(pool, Keyring(bytes(range(32))), announcer=announcer)


def prepared(store: PostgresEventStore, projection: Projection, batch: int = 2_000) -> Projector:
    projector = Projector(store, projection, batch=batch)
    projector.prepare()
    return projector


def drain(projector: Projector) -> int:
    """Step until a step finds nothing; answers how many events there were."""
    steps = iter(projector.step, 0)
    return sum(steps)


def tell(store: PostgresEventStore, log: Log, *streams: tuple[UUID, Sequence[Event]]) -> Position:
    groups = [Group((NewEvents(log, stream_id, 0, tuple(events)),)) for stream_id, events in streams]
    answer = store.append(groups, CLI, NOW)
    assert not answer.lost
    return answer.position


def messages(first: int, last: int, *events: Event) -> list[tuple[UUID, Sequence[Event]]]:
    """The same story for the users numbered from `first` to `last`."""
    return [
        (message_id(UUID(int=number), "BIRTHDAY", OCCASION), [replace(SCHEDULED, user_id=UUID(int=number)), *events])
        for number in range(first, last + 1)
    ]


def counted(store: PostgresEventStore) -> dict[str, int]:
    with store.database.cursor() as cursor:
        return {row.status: row.messages for row in analytics_view.throughput(cursor, NOW.date(), NOW.date())}


def parked(store: PostgresEventStore) -> list[tuple[Any, ...]]:
    with store.database.cursor() as cursor:
        return cursor.execute("SELECT follower, log, topic, error FROM parked_events ORDER BY follower, position").fetchall()


def test_a_row_takes_over_what_its_registration_sealed_until_something_changes(store: PostgresEventStore) -> None:
    projector = prepared(store, USERS_VIEW)

    def sealed_and_seen() -> tuple[bool, str]:
        drain(projector)
        with store.database.cursor() as cursor:
            cursor.execute(
                "SELECT sealed = decode(convert_from(state, 'utf8')::jsonb #>> '{event,sealed}', 'base64')"
                " FROM users_view JOIN users ON user_id = originator_id WHERE originator_version = 1"
            )
            ((taken_over,),) = cursor.fetchall()
            seen = users_view.one(cursor, UserSealer(store.keyring, cursor), UUID(int=1))
        assert seen
        return taken_over, seen.user.email

    tell(store, "users", (UUID(int=1), [ADA]))
    assert sealed_and_seen() == (True, ADA.email)
    store.append([Group((NewEvents("users", UUID(int=1), 1, (EmailChanged(email="ada@example.net"),)),))], CLI, NOW)
    assert sealed_and_seen() == (False, "ada@example.net")


@pytest.mark.parametrize("batch", [1, 10], ids=["event by event", "in one batch"])
@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE user_keys SET wrapped = (SELECT wrapped FROM user_keys WHERE user_id = %(other)s) WHERE user_id = %(one)s",
        "UPDATE users SET state = (SELECT state FROM users WHERE originator_id = %(other)s)"
        " WHERE originator_id = %(one)s AND originator_version = 1",
    ],
    ids=["the key", "the event"],
)
def test_a_registration_that_does_not_open_hides_that_person_alone(store: PostgresEventStore, spoil: str, batch: int) -> None:
    one, other = UUID(int=1), UUID(int=2)
    tell(store, "users", (one, [ADA, TimezoneChanged("Asia/Tokyo")]), (other, [replace(ADA, external_id="other")]))
    with store.database.cursor() as cursor:
        cursor.execute(spoil, {"one": one, "other": other})
    projector = prepared(store, USERS_VIEW, batch=batch)
    assert drain(projector) == 3
    with store.database.cursor() as cursor:
        sealer = UserSealer(store.keyring, cursor)
        assert [seen.user_id for seen in users_view.page(cursor, sealer, users_view.Asked()).items] == [other]
        assert users_view.one(cursor, sealer, one) is None
    assert parked(store) == []


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "beside others"])
def test_a_registration_is_taken_over_without_being_opened(store: PostgresEventStore, *, shared: bool) -> None:
    tell(store, "users", (UUID(int=1), [ADA]))
    with store.database.cursor() as cursor:
        cursor.execute("DELETE FROM user_keys")
    projector = Projector(store, USERS_VIEW, tail=SharedTail(store, "messages", MESSAGE_LOG.kinds) if shared else None)
    projector.prepare()
    drain(projector)
    with store.database.cursor() as cursor:
        assert cursor.execute("SELECT user_id FROM users_view").fetchall() == [(UUID(int=1),)]
        assert users_view.one(cursor, UserSealer(store.keyring, cursor), UUID(int=1)) is None


def test_of_whom_more_is_said_at_once_everything_is_shown(store: PostgresEventStore) -> None:
    tell(store, "users", (UUID(int=1), [ADA, TimezoneChanged("Asia/Tokyo")]), (UUID(int=2), [replace(ADA, external_id="other")]))
    assert drain(prepared(store, USERS_VIEW)) == 3
    with store.database.cursor() as cursor:
        items = users_view.page(cursor, UserSealer(store.keyring, cursor), users_view.Asked()).items
    assert [(seen.user.email, seen.user.external_id, seen.user.timezone) for seen in items] == [
        (ADA.email, ADA.external_id, "Asia/Tokyo"),
        (ADA.email, "other", ADA.timezone),
    ]


def test_what_is_appended_shows_in_every_read_model(store: PostgresEventStore) -> None:
    projectors = [prepared(store, projection) for projection in PROJECTIONS.values()]
    tell(store, "users", (UUID(int=1), [ADA]))
    tell(store, "messages", *messages(1, 1, REQUESTED, SENT), *messages(2, 2))
    assert [drain(projector) for projector in projectors] == [1, 4, 4, 4]
    with store.database.cursor() as cursor:
        seen = users_view.one(cursor, UserSealer(store.keyring, cursor), UUID(int=1))
        assert seen
        assert seen.user.email == ADA.email
        assert message_log.totals(cursor)["sent"] == 1
        assert cursor.execute("SELECT count(*) FROM messages_by_timezone").fetchall() == [(1,)]
    assert counted(store) == {"scheduled": 2, "requested": 1, "sent": 1}


def test_the_position_outlives_the_projector(store: PostgresEventStore) -> None:
    tell(store, "messages", *messages(1, 5))
    assert drain(prepared(store, ANALYTICS_VIEW, batch=2)) == 5
    assert drain(prepared(store, ANALYTICS_VIEW)) == 0
    tell(store, "messages", *messages(6, 6))
    assert drain(prepared(store, ANALYTICS_VIEW)) == 1
    assert counted(store) == {"scheduled": 6}


def test_of_two_projectors_on_one_read_model_each_event_is_applied_by_one(store: PostgresEventStore) -> None:
    one, other = prepared(store, ANALYTICS_VIEW, batch=3), prepared(store, ANALYTICS_VIEW, batch=7)
    tell(store, "messages", *messages(1, 30))
    assert one.step() == 3
    assert other.step() == 7
    assert one.step() == 0, "it was overtaken, and must notice"
    assert drain(one) + drain(other) == 20
    assert counted(store) == {"scheduled": 30}


def test_projectors_racing_each_other_leave_no_gap_and_apply_nothing_twice(store: PostgresEventStore) -> None:
    prepared(store, ANALYTICS_VIEW)
    last = tell(store, "messages", *messages(1, 400)).messages

    def race(batch: int) -> None:
        projector = Projector(store, ANALYTICS_VIEW, batch=batch)
        while position_of(store, "analytics_view") < last:
            projector.step()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(race, (5, 7, 11, 13)))
    assert counted(store) == {"scheduled": 400}


def position_of(store: PostgresEventStore, follower: str) -> int:
    return {status.name: status.position for status in Followers(store).status(NOW)}[follower]


@pytest.mark.parametrize("where", [1, 4, 10])
def test_an_event_that_cannot_be_applied_is_parked_and_the_rest_goes_on(store: PostgresEventStore, where: int) -> None:
    streams = messages(1, 10)
    poisoned, _ = streams[where - 1]
    streams[where - 1] = (poisoned, [replace(SCHEDULED, message_type="BIRTH\x00DAY")])  # PostgreSQL has no such text
    tell(store, "messages", *streams)
    for projection in (ANALYTICS_VIEW, MESSAGE_LOG, MESSAGES_BY_TIMEZONE):
        drain(prepared(store, projection))
    assert parked(store) == [
        (name, "messages", "message.scheduled.v1", "UntranslatableCharacter:22P05")
        for name in ("analytics_view", "message_log", "messages_by_timezone")
    ]
    assert counted(store) == {"scheduled": 9}
    assert position_of(store, "analytics_view") == store.head().messages


def test_an_event_of_an_unknown_name_is_parked_and_the_rest_goes_on(store: PostgresEventStore) -> None:
    tell(store, "messages", *messages(1, 1))
    with store.database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO messages (originator_id, originator_version, topic, state, recorded_at)"
            " VALUES (%s, 1, 'message.sung.v1', '{}', %s)",
            [message_id(UUID(int=2), "BIRTHDAY", OCCASION), NOW],
        )
    tell(store, "messages", *messages(3, 3))
    drain(prepared(store, ANALYTICS_VIEW))
    assert parked(store) == [("analytics_view", "messages", "message.sung.v1", "unknown")]
    assert counted(store) == {"scheduled": 2}


STORY = (SCHEDULED, REQUESTED, SENT)


def spoilt(store: PostgresEventStore, projection: Projection, which: int) -> Projector:
    """All is read, but for one event of the first of two messages, which could not be read at the time."""
    tell(store, "messages", *messages(1, 2, *STORY[1:]))
    state = swap(store, which + 1, "message.sung.v9", b"{}")
    projector = prepared(store, projection, batch=2)
    drain(projector)
    assert [row[2] for row in parked(store)] == ["message.sung.v9"]
    swap(store, which + 1, stored_name(type(STORY[which])), state)
    return projector


def swap(store: PostgresEventStore, position: int, topic: str, state: bytes) -> bytes:
    """What stood there."""
    with store.database.cursor() as cursor:
        [(before,)] = cursor.execute("SELECT state FROM messages WHERE notification_id = %s", [position]).fetchall()
        cursor.execute("UPDATE messages SET topic = %s, state = %s WHERE notification_id = %s", (topic, state, position))
    return bytes(before)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("name", ["message_log", "messages_by_timezone", "analytics_view"])
def test_an_event_applied_after_all_leaves_the_rows_as_if_nothing_had_been(
    store: PostgresEventStore, name: str, which: int
) -> None:
    projection = PROJECTIONS[name]
    projector = spoilt(store, projection, which)
    assert projector.retry(which + 1) is None
    assert projector.retry(which + 1) is None, "again is harmless"
    assert parked(store) == []
    retried = rows(store, projection)
    with store.database.cursor() as cursor:
        cursor.execute("DELETE FROM positions WHERE follower = %s", [name])
    drain(prepared(store, projection))
    assert rows(store, projection) == retried


@pytest.mark.parametrize("first", [1, 2])
def test_of_two_that_were_gone_past_in_one_story_either_may_be_applied_first(store: PostgresEventStore, first: int) -> None:
    tell(store, "messages", *messages(1, 1, *STORY[1:]))
    states = {position: swap(store, position, "message.sung.v9", b"{}") for position in (1, 2)}
    projector = prepared(store, MESSAGE_LOG)
    drain(projector)
    for position, state in states.items():
        swap(store, position, stored_name(type(STORY[position - 1])), state)
    assert [projector.retry(position) for position in (first, 3 - first)] == [None, None]
    with store.database.cursor() as cursor:
        assert {status: count for status, count in message_log.totals(cursor).items() if count} == {"sent": 1}


def test_what_still_can_not_be_read_does_not_keep_the_event_before_it(store: PostgresEventStore) -> None:
    tell(store, "messages", *messages(1, 1, *STORY[1:]))
    states = {position: swap(store, position, "message.sung.v9", b"{}") for position in (1, 2)}
    projector = prepared(store, MESSAGE_LOG)
    drain(projector)
    swap(store, 1, stored_name(type(SCHEDULED)), states[1])
    assert [projector.retry(position) for position in (1, 2)] == [None, "unknown"]
    assert len(parked(store)) == 1


def test_an_event_that_fails_again_stays_where_it_was(store: PostgresEventStore) -> None:
    streams = messages(1, 2)
    streams[0] = (streams[0][0], [replace(SCHEDULED, message_type="BIRTH\x00DAY")])
    tell(store, "messages", *streams)
    projector = prepared(store, MESSAGE_LOG)
    drain(projector)
    assert projector.retry(1) == "UntranslatableCharacter:22P05"
    assert len(parked(store)) == 1
    with store.database.cursor() as cursor:
        assert message_log.totals(cursor)["scheduled"] == 1


def test_a_person_who_could_not_be_read_is_shown_after_all(store: PostgresEventStore) -> None:
    tell(store, "users", (UUID(int=1), [ADA, TimezoneChanged("Asia/Tokyo")]))
    with store.database.cursor() as cursor:
        cursor.execute("UPDATE users SET topic = 'user.sung.v9' WHERE notification_id = 1")
    projector = prepared(store, USERS_VIEW)
    drain(projector)
    with store.database.cursor() as cursor:
        cursor.execute("UPDATE users SET topic = %s WHERE notification_id = 1", [stored_name(type(ADA))])
    assert projector.retry(1) is None
    with store.database.cursor() as cursor:
        seen = users_view.one(cursor, UserSealer(store.keyring, cursor), UUID(int=1))
    assert seen
    assert (seen.user.first_name, seen.user.timezone) == (ADA.first_name, "Asia/Tokyo")


def failing_once(projection: Projection, error: Exception) -> Projection:
    """The projection, but for one failure after its first batch was written and before it is committed."""
    failures = [error]

    def project(cursor: Cursor, events: Sequence[Recorded[Any]], sealer: Sealer) -> None:
        projection.project(cursor, events, sealer)
        if failures:
            raise failures.pop()

    return replace(projection, project=project)


def test_a_failure_of_the_database_takes_rows_and_position_back_and_parks_nothing(store: PostgresEventStore) -> None:
    projector = prepared(store, failing_once(ANALYTICS_VIEW, psycopg.errors.DiskFull()))
    tell(store, "messages", *messages(1, 3))
    with pytest.raises(StoreUnavailable):
        projector.step()
    assert (counted(store), position_of(store, "analytics_view")) == ({}, 0)
    assert drain(projector) == 3
    assert (counted(store), parked(store)) == ({"scheduled": 3}, [])


def test_a_missing_table_is_nobodys_poison(store: PostgresEventStore) -> None:
    projector = prepared(store, ANALYTICS_VIEW)
    tell(store, "messages", *messages(1, 3))
    with store.database.cursor() as cursor:
        cursor.execute("DROP TABLE analytics_transitions")
    with pytest.raises(psycopg.errors.UndefinedTable):
        projector.step()
    assert parked(store) == []


@pytest.mark.parametrize("name", PROJECTIONS)
def test_an_earlier_version_is_left_to_those_who_feed_it(store: PostgresEventStore, name: str) -> None:
    tell(store, "users", (UUID(int=1), [ADA]), (UUID(int=2), [replace(ADA, external_id="crm-2")]))
    tell(store, "messages", *messages(1, 3, REQUESTED, SENT), *messages(4, 5))
    before = PROJECTIONS[name]
    feeding = prepared(store, before, batch=1)
    feeding.step()
    after = Projector(store, replace(before, version=before.version + 1))
    assert not after.prepare()
    assert drain(feeding) > 0
    with pytest.raises(NewerTables):
        after.step()


def rows(store: PostgresEventStore, projection: Projection) -> list[set[str]]:
    """Every table's rows. What is sealed is left out, as sealing twice gives different bytes, and so are counts down to 0."""
    with store.database.cursor() as cursor:
        found = [
            {text for (text,) in cursor.execute(f"SELECT (to_jsonb({table}) - 'sealed')::text FROM {table}".encode())}
            for table in projection.tables
        ]
    return [{text for text in table if '"messages": 0,' not in text} for table in found]


def test_each_month_that_comes_up_gets_a_partition_with_room_for_what_follows(store: PostgresEventStore) -> None:
    foreign = UUID(int=4711)
    for first in (OCCASION, date(2027, 6, 30), date(2027, 12, 1)):
        story = replace(SCHEDULED, occasion=first, due_at=NOW)
        tell(store, "messages", (message_id(UUID(int=1), "BIRTHDAY", first), [story]))
        drain(prepared(store, MESSAGE_LOG))
    tell(store, "messages", (foreign, [SCHEDULED]))
    drain(prepared(store, MESSAGE_LOG))
    with store.database.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text, count(*) FROM message_log GROUP BY 1 ORDER BY 1")
        assert cursor.fetchall() == [(f"message_log_{name}", 1) for name in ("2027_05", "2027_06", "2027_12", "default")]
        cursor.execute("SELECT DISTINCT reloptions FROM pg_class WHERE relname ~ '^message_log_2027_..$'")
        assert cursor.fetchall() == [([f"fillfactor={MESSAGE_LOG.fillfactor}"],)]


def test_months_get_partitions_before_their_first_message_comes(store: PostgresEventStore) -> None:
    prepared(store, MESSAGE_LOG).make_months(date(2027, 11, 30), date(2028, 1, 1))
    with store.database.cursor() as cursor:
        cursor.execute("SELECT relname, reloptions FROM pg_class WHERE relname ~ '^message_log_20.._..$' ORDER BY 1")
        assert cursor.fetchall() == [
            (f"message_log_{month}", [f"fillfactor={MESSAGE_LOG.fillfactor}"]) for month in ("2027_11", "2027_12", "2028_01")
        ]


@pytest.mark.parametrize("version", [MESSAGE_LOG.version - 1, MESSAGE_LOG.version + 1])
def test_tables_of_another_version_get_no_months(store: PostgresEventStore, version: int) -> None:
    projector = prepared(store, MESSAGE_LOG)
    with store.database.transaction() as cursor:
        cursor.execute("UPDATE positions SET version = %s WHERE follower = 'message_log'", (version,))
    projector.make_months(date(2027, 11, 30), date(2028, 1, 1))
    with store.database.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relname ~ '^message_log_20.._..$'")
        assert cursor.fetchall() == [(0,)]


def test_preparing_again_keeps_what_is_there(store: PostgresEventStore) -> None:
    tell(store, "messages", *messages(1, 2))
    drain(prepared(store, ANALYTICS_VIEW))
    assert drain(prepared(store, ANALYTICS_VIEW)) == 0
    assert counted(store) == {"scheduled": 2}


def test_many_processes_may_prepare_at_once(store: PostgresEventStore) -> None:
    def prepare(_: int) -> None:
        for projection in PROJECTIONS.values():
            prepared(store, projection)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(prepare, range(8)))
    assert {status.position for status in Followers(store).status(NOW)} == {0}


@contextmanager
def running(store: PostgresEventStore, *projectors: Projector) -> Iterator[None]:
    stop = Signal()
    with Wakeups(store.database) as wakeups:
        threads = [Thread(target=projector.run, args=(stop, wakeups.listener())) for projector in projectors]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            wakeups.poke(*CHANNEL)
            for thread in threads:
                thread.join()


def test_whoever_sends_a_position_back_reads_what_was_written(store: PostgresEventStore) -> None:
    followers = Followers(store)
    with running(store, prepared(store, USERS_VIEW), prepared(store, MESSAGE_LOG)):
        for number in range(1, 6):
            user = tell(store, "users", (UUID(int=number), [replace(ADA, external_id=f"crm-{number}")]))
            message = tell(store, "messages", *messages(number, number))
            assert followers.wait_for(USERS_VIEW, user)
            assert followers.wait_for(MESSAGE_LOG, message)
            with store.database.cursor() as cursor:
                assert users_view.one(cursor, UserSealer(store.keyring, cursor), UUID(int=number))
                assert message_log.totals(cursor)["scheduled"] == number


def test_one_that_is_behind_goes_on_without_a_rest(store: PostgresEventStore) -> None:
    last = tell(store, "messages", *messages(1, 60))
    projector, stop = prepared(store, MESSAGE_LOG, batch=2), Signal()
    with Wakeups(store.database) as wakeups:
        thread = Thread(target=projector.run, args=(stop, wakeups.listener()))
        thread.start()
        try:
            assert Followers(store).wait_for(MESSAGE_LOG, last, timeout_seconds=20), (
                "thirty batches, and nobody announces a thing"
            )
        finally:
            stop.set()
            thread.join()


def test_waiting_for_what_nobody_reads_ends_in_time(store: PostgresEventStore) -> None:
    prepared(store, USERS_VIEW)
    position = tell(store, "users", (UUID(int=1), [ADA]))
    assert not Followers(store).wait_for(USERS_VIEW, position, timeout_seconds=0.05)
    assert Followers(store).wait_for(USERS_VIEW, Position(), timeout_seconds=0.05)


def test_messages_asked_for_after_a_change_of_a_user_wait_for_the_planner_too(store: PostgresEventStore) -> None:
    followers = Followers(store)
    user = tell(store, "users", (UUID(int=1), [ADA]))
    with running(store, prepared(store, MESSAGE_LOG)):
        assert not followers.wait_for(MESSAGE_LOG, user, timeout_seconds=0.05)
        with begin_work(store, PostgresWork, "planner", None) as work:
            [(message, events)] = messages(1, 1)
            work.append([Group((NewEvents("messages", message, 0, tuple(events)),))], CLI, NOW)
            work.followed("users", work.follow("users", 10).position)
        assert followers.wait_for(MESSAGE_LOG, user)
        with store.database.cursor() as cursor:
            assert message_log.one(cursor, message)


def test_every_followers_lag_can_be_asked(store: PostgresEventStore) -> None:
    projector = prepared(store, MESSAGE_LOG)
    tell(store, "users", (UUID(int=1), [ADA]))
    tell(store, "messages", *messages(1, 3))
    drain(projector)
    with begin_work(store, PostgresWork, "planner", None) as work:
        work.followed("users", work.follow("users", 1).position)
        work.followed("messages", work.follow("messages", 1).position)
    statuses = {status.name: status for status in Followers(store).status(NOW + timedelta(seconds=90))}
    assert list(statuses) == [*PROJECTIONS, *PROCESS_MANAGERS]
    log, behind, planner = statuses["message_log"], statuses["analytics_view"], statuses["planner"]
    assert (log.kind, log.position, log.head, log.lag_events, log.lag_seconds) == ("projection", 3, 3, 0, 0.0)
    assert (behind.version, behind.position, behind.head, behind.lag_events, behind.lag_seconds) == (
        ANALYTICS_VIEW.version,
        0,
        3,
        3,
        90.0,
    )
    assert (planner.kind, planner.position, planner.head, planner.lag_events) == ("process manager", 2, 4, 2)
    idle = statuses["dispatcher"]
    assert (idle.kind, idle.version, idle.position, idle.head, idle.lag_events, idle.lag_seconds) == (
        "process manager",
        1,
        0,
        3,
        3,
        90.0,
    )


def losing_its_connection_once(projection: Projection) -> Projection:
    """The projection, but for the server's ending its session in the middle of the first batch."""
    losses = ["SELECT pg_terminate_backend(pg_backend_pid())"]

    def project(cursor: Cursor, events: Sequence[Recorded[Any]], sealer: Sealer) -> None:
        projection.project(cursor, events, sealer)
        if losses:
            cursor.execute(losses.pop().encode())

    return replace(projection, project=project)


def test_a_running_projector_outlives_the_loss_of_its_connection(store: PostgresEventStore) -> None:
    with running(store, prepared(store, losing_its_connection_once(ANALYTICS_VIEW))):
        assert Followers(store).wait_for(ANALYTICS_VIEW, tell(store, "messages", *messages(1, 4)))
    assert (counted(store), parked(store)) == ({"scheduled": 4}, [])
