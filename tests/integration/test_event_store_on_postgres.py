"""Does the event store keep its promises over lost connections, threads, erasures and old readers?"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from uuid import uuid4

import psycopg
import pytest
from psycopg import Cursor, sql

from application.ports import BrokenStreams, Group, Log, NewEvents, Position, StoreUnavailable
from domain.event import Event
from domain.scheduled_message import MessageCancelled
from domain.user import EmailChanged, TimezoneChanged, UserErased
from infrastructure.database import Database, Row
from infrastructure.event_log import TABLES, NewRow, append_to_two
from infrastructure.event_reader import LOAD, Stretch
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import KeyGone
from tests.store_stage import (
    CLI,
    NOW,
    abandoned,
    birthday_of,
    cancelled,
    of_message,
    of_user,
    open_store,
    registered,
    scheduled,
)


@pytest.fixture
def store(migrated_database: str) -> Iterator[PostgresEventStore]:
    with open_store(migrated_database) as store:
        yield store


class LosesAcknowledgements(Database):
    """Cuts the connection right after commits, as many times as told."""

    to_lose = 0

    @contextmanager
    def transaction(self) -> Iterator[Cursor[Row]]:
        with super().transaction() as cursor:
            yield cursor
        self._lose()

    @contextmanager
    def cursor(self) -> Iterator[Cursor[Row]]:
        with super().cursor() as cursor:
            yield cursor
        self._lose()

    def _lose(self) -> None:
        if self.to_lose:
            self.to_lose -= 1
            raise StoreUnavailable("cut after the commit")


def test_a_lost_acknowledgement_stores_nothing_twice(migrated_database: str) -> None:
    database = LosesAcknowledgements(migrated_database, application_name="test")
    with open_store(migrated_database, database) as store:
        ada = uuid4()
        database.to_lose = 2
        answer = store.append([of_user(ada, 0, registered("ada")), of_message(birthday_of(ada), 0, scheduled())], CLI, NOW)
        assert answer.lost == frozenset()
        assert answer.position == store.head()
        assert (store.load_users([ada])[ada].version, store.user_of("ada")) == (1, ada)


def test_a_lost_acknowledgement_of_one_statement_stores_nothing_twice(migrated_database: str) -> None:
    database = LosesAcknowledgements(migrated_database, application_name="test")
    with open_store(migrated_database, database) as store:
        birthday = birthday_of(uuid4())
        database.to_lose = 2
        answer = store.append([of_message(birthday, 0, scheduled(), cancelled())], CLI, NOW)
        assert answer.lost == frozenset()
        assert answer.position == store.head()
        assert store.load_messages([birthday])[birthday].version == 2


def test_one_statement_writes_all_or_nothing(store: PostgresEventStore) -> None:
    old, new, other = uuid4(), uuid4(), uuid4()
    table, row = TABLES["messages"], NewRow(old, 1, "message.cancelled.v1", b"{}", NOW)
    with store.database.cursor() as cursor:
        assert table.append(cursor, [row]) == [1]
        assert table.append(cursor, [row._replace(stream_id=new), row]) is None, "taken"
        assert table.append(cursor, [row._replace(stream_id=new), row._replace(version=3)]) is None, "with a gap"
        assert table.append(cursor, [row, row._replace(stream_id=new, version=2)]) is None, "one taken and one with a gap"
        assert store.head().messages == 1
        both = [row._replace(version=2), row._replace(version=3), row._replace(stream_id=new), row._replace(stream_id=other)]
        positions = table.append(cursor, both) or []
        assert positions == sorted(set(positions))
        stored = cursor.execute("SELECT notification_id, originator_id, originator_version FROM messages ORDER BY 1").fetchall()
    assert stored[1:] == [(position, *one[:2]) for position, one in zip(positions, both, strict=True)]


def test_one_statement_that_writes_nothing_keeps_the_log(store: PostgresEventStore) -> None:
    row = NewRow(uuid4(), 1, "message.cancelled.v1", b"{}", NOW)
    other = row._replace(stream_id=uuid4(), version=2)
    with store.database.cursor() as cursor:
        assert TABLES["messages"].append(cursor, [row])
    with store.database.transaction() as cursor:
        assert TABLES["messages"].append(cursor, [row, other]) is None, "of which only the primary key can tell"
        locks = cursor.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        assert locks.rowcount == 1


def test_one_statement_writes_to_two_logs_or_to_none(store: PostgresEventStore) -> None:
    message, dispatch = birthday_of(uuid4()), uuid4()
    sent = NewRow(message, 1, "message.cancelled.v1", b"{}", NOW)
    finished = NewRow(dispatch, 1, "dispatch.finished.v1", b"{}", NOW)
    with store.database.cursor() as cursor:
        assert append_to_two(cursor, [sent], [finished._replace(version=2)]) is None, "with a gap in dispatches"
        assert append_to_two(cursor, [sent._replace(version=2)], [finished]) is None, "with a gap in messages"
        assert store.head() == Position()
        assert append_to_two(cursor, [sent, sent._replace(version=2)], [finished]) == ([1, 2], [1])
        assert append_to_two(cursor, [sent._replace(version=3)], [finished]) is None, "taken"
    assert store.head() == Position(messages=2, dispatches=1)


def test_what_loses_in_one_statement_is_told_apart(store: PostgresEventStore) -> None:
    stale, fresh = birthday_of(uuid4()), birthday_of(uuid4())
    store.append([of_message(stale, 0, scheduled())], CLI, NOW)
    answer = store.append([of_message(stale, 0, cancelled()), of_message(fresh, 0, scheduled())], CLI, NOW)
    assert answer.lost == {0}
    assert store.load_messages([fresh])[fresh].version == 1


def test_an_append_survives_the_loss_of_every_connection(store: PostgresEventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
    with store.database.direct() as killer:
        killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test' AND pid <> pg_backend_pid()"
        )
    assert store.append([of_user(ada, 1, TimezoneChanged(timezone="Asia/Tokyo"))], CLI, NOW).lost == frozenset()


def test_a_store_that_stays_away_is_reported(migrated_database: str) -> None:
    database = LosesAcknowledgements(migrated_database, application_name="test")
    with open_store(migrated_database, database, keep_trying_seconds=0.2) as store:
        database.to_lose = 1_000_000
        with pytest.raises(StoreUnavailable):
            store.append([of_user(uuid4(), 0, registered("ada"))], CLI, NOW)


def test_callers_that_come_together_share_commits(migrated_database: str) -> None:
    database = LosesAcknowledgements(migrated_database, application_name="test")
    callers, appends = 16, 20
    with open_store(migrated_database, database) as store, ThreadPoolExecutor(callers) as threads:
        ready = Barrier(callers)

        def append_often(_: int) -> list[bool]:
            ready.wait()
            return [bool(store.append([of_message(uuid4(), 0, scheduled())], CLI, NOW).lost) for _ in range(appends)]

        lost = [one for caller in threads.map(append_often, range(callers)) for one in caller]
        assert lost == [False] * callers * appends
        assert store.head().messages == callers * appends
        with database.cursor() as cursor:  # each commit leaves its number on the rows it wrote
            assert cursor.execute("SELECT count(DISTINCT xmin::text) FROM messages").fetchall()[0][0] < callers * appends


def test_one_callers_unwritable_event_does_not_hurt_those_who_share_its_commit(store: PostgresEventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("key lost"))], CLI, NOW)
    with store.database.cursor() as cursor:
        cursor.execute("DELETE FROM user_keys")
    callers = 8
    ready = Barrier(callers)

    def append(number: int) -> bool:
        ready.wait()
        if number:
            return not store.append([of_message(uuid4(), 0, scheduled())], CLI, NOW).lost
        with pytest.raises(KeyGone):
            store.append([of_user(ada, 1, EmailChanged(email="new@example.com"))], CLI, NOW)
        return True

    with ThreadPoolExecutor(callers) as threads:
        assert all(threads.map(append, range(callers)))


def test_an_erasure_destroys_the_key_in_its_own_transaction(store: PostgresEventStore) -> None:
    ada, bob = uuid4(), uuid4()
    store.append([of_user(ada, 0, registered("ada")), of_user(bob, 0, registered("bob"))], CLI, NOW)
    store.append([of_user(ada, 1, UserErased()), of_user(bob, 0)], CLI, NOW)
    with store.database.cursor() as cursor:
        assert cursor.execute("SELECT user_id FROM user_keys").fetchall() == [(bob,)]
        assert cursor.execute("SELECT user_id FROM external_ids WHERE erased").fetchall() == [(None,)]
    store.append([of_user(bob, 7, UserErased())], CLI, NOW)
    with store.database.cursor() as cursor:
        assert cursor.execute("SELECT user_id FROM user_keys").fetchall() == [(bob,)], (
            "the erasure was lost, so the key must stay"
        )


def test_the_database_holds_no_personal_data_in_the_clear(store: PostgresEventStore) -> None:
    ada = uuid4()
    secret = registered("crm-4711", first_name="Zuleika", email="zuleika@example.org")
    store.append([of_user(ada, 0, secret, EmailChanged(email="zuleika@example.net"))], CLI, NOW)
    with store.database.cursor() as cursor:
        tables = cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'ninebell'").fetchall()
        dump = b""
        for (table,) in tables:
            with cursor.copy(sql.SQL("COPY (TABLE {}) TO STDOUT (FORMAT binary)").format(sql.Identifier(table))) as rows:
                dump += b"".join(rows)
    assert b"user.registered.v1" in dump
    for personal in (b"Zuleika", b"zuleika@", b"Lovelace", b"crm-4711", b"1990-12-10"):
        assert personal not in dump


def test_a_big_append_neither_hangs_nor_holds_up_the_others(store: PostgresEventStore) -> None:
    big = [of_message(uuid4(), 0, abandoned("x" * 1000)) for _ in range(10_000)]
    with ThreadPoolExecutor(2) as threads, open_store(store_dsn(store)) as other:
        appending = threads.submit(store.append, big, CLI, NOW)
        while not appending.done():
            small = threads.submit(other.append, [of_message(uuid4(), 0, scheduled())], CLI, NOW)
            assert small.result(timeout=5).lost == frozenset()
        assert appending.result().lost == frozenset()
    assert store.head().messages >= 10_000


def test_a_reader_goes_past_what_it_cannot_read_and_says_so(store: PostgresEventStore) -> None:
    ada = uuid4()
    store.append([of_user(ada, 0, registered("ada"))], CLI, NOW)
    with store.database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO users (originator_id, originator_version, topic, state, recorded_at)"
            " VALUES (%s, 2, 'user.levitated.v1', '{}', %s)",
            (ada, NOW),
        )
    store.append([of_user(ada, 2, TimezoneChanged(timezone="Asia/Tokyo"))], CLI, NOW)
    stretch = store.read("users", 0, 10, frozenset({TimezoneChanged}))
    assert [recorded.event for recorded in stretch.events] == [TimezoneChanged(timezone="Asia/Tokyo")]
    assert [(parked.position, parked.topic, parked.error) for parked in stretch.unreadable] == [
        (2, "user.levitated.v1", "unknown")
    ]
    assert (stretch.position, stretch.more) == (3, False)
    for read in (lambda: store.load_users([ada, uuid4()]), lambda: store.history("users", ada)):
        with pytest.raises(BrokenStreams) as broken:
            read()
        assert [(one.stream_id, one.version, one.error) for one in broken.value.broken] == [(ada, 2, "unknown")]


def test_a_log_is_read_in_stretches(store: PostgresEventStore) -> None:
    messages = [birthday_of(uuid4()) for _ in range(5)]
    store.append([of_message(message, 0, scheduled(), cancelled()) for message in messages], CLI, NOW)
    first = store.read("messages", 0, 4)
    assert ([recorded.position for recorded in first.events], first.position, first.more) == ([1, 2, 3, 4], 4, True)
    second = store.read("messages", first.position, 100, frozenset({MessageCancelled}))
    assert ([recorded.position for recorded in second.events], second.position, second.more) == ([6, 8, 10], 10, False)
    assert [recorded.stream_id for recorded in second.events] == messages[2:]
    assert store.read("messages", 10, 100) == Stretch([], 10, more=False)


@pytest.mark.parametrize(
    ("after", "limit", "until", "found", "end", "more"),
    [
        (0, 5, None, [2, 4], 5, True),
        (4, 100, None, [6, 8, 10], 10, False),
        (4, 1, None, [], 5, True),
        (0, 100, 5, [2, 4], 5, False),
        (0, 100, 1, [], 1, False),
        (10, 100, None, [], 10, False),
    ],
)
def test_a_process_manager_gets_the_kinds_it_follows_and_where_the_stretch_ends(
    store: PostgresEventStore, after: int, limit: int, until: int | None, found: list[int], end: int, more: bool
) -> None:
    store.append([of_message(birthday_of(uuid4()), 0, scheduled(), cancelled()) for _ in range(5)], CLI, NOW)
    kinds = frozenset[type[Event]]({MessageCancelled})
    with store.database.cursor() as cursor:
        stretch = store.reading.stretch(cursor, "messages", after, limit, kinds, until=until, sealed=True)
    assert ([recorded.position for recorded in stretch.events], stretch.position, stretch.more) == (found, end, more)


@pytest.mark.parametrize("log", ["users", "messages"])
def test_a_stretch_goes_on_after_positions_that_a_failed_transaction_took(store: PostgresEventStore, log: Log) -> None:
    def say() -> None:
        ada = uuid4()
        store.append(
            [of_user(ada, 0, registered(str(ada))) if log == "users" else of_message(birthday_of(ada), 0, scheduled())], CLI, NOW
        )

    def read(after: int, limit: int, until: int | None = None) -> tuple[list[int], int, bool]:
        with store.database.cursor() as cursor:
            stretch = store.reading.stretch(cursor, log, after, limit, until=until, sealed=True)
        return [recorded.position for recorded in stretch.events], stretch.position, stretch.more

    say()
    take_positions(store, log, 10)
    say()
    assert read(0, 5) == ([1], 1, True)
    assert read(1, 5) == ([12], 12, False)
    assert read(1, 5, until=11) == ([], 1, False)
    take_positions(store, log, 10)
    assert read(1, 20) == ([12], 12, True)
    assert read(12, 5) == ([], 12, False)


def take_positions(store: PostgresEventStore, log: Log, number: int) -> None:
    with store.database.direct() as connection:
        connection.execute(f"SELECT nextval('{log}_position') FROM generate_series(1, {number})")


def test_many_ids_of_a_month_are_looked_for_in_that_month_only(store: PostgresEventStore) -> None:
    ids = sorted(birthday_of(uuid4()) for _ in range(20))
    with store.database.direct() as connection:
        connection.execute("SET plan_cache_mode = force_generic_plan")
        prepared = LOAD["messages"].replace("%b", "{}").format("$1", "$2", "$3")
        connection.execute(f"PREPARE load(uuid[], uuid, uuid) AS {prepared}")
        call = sql.SQL("EXPLAIN EXECUTE load({}, {}, {})").format(sql.Literal(ids), sql.Literal(ids[0]), sql.Literal(ids[-1]))
        plan = "\n".join(line for (line,) in connection.execute(call))
    assert "messages_2027_03" in plan
    assert "messages_default" not in plan


def test_a_registration_and_its_pair_in_another_log_are_one(store: PostgresEventStore) -> None:
    ada, eve = uuid4(), uuid4()
    store.append([of_user(ada, 0, registered("x"))], CLI, NOW)
    pair = Group((NewEvents("users", eve, 0, (registered("x"),)), NewEvents("messages", birthday_of(eve), 0, (scheduled(),))))
    assert store.append([pair], CLI, NOW).lost == {0}
    assert store.head().messages == 0


def store_dsn(store: PostgresEventStore) -> str:
    """Of the database that the store is on."""
    with store.database.direct() as connection:
        info: psycopg.ConnectionInfo = connection.info
        return f"postgresql://{info.user}@/{info.dbname}?host={info.host}&port={info.port}"
