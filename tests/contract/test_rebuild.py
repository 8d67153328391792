"""Does a read model built anew beside the live one come out the same, wherever it is interrupted, and take its place whole?"""

from collections.abc import Callable, Iterator
from datetime import date
from threading import Event as Signal
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.ports import Group, Log, NewEvents
from domain.event import Event
from domain.message_id import message_id
from domain.user import EmailChanged, TimezoneChanged, UserErased
from infrastructure import read_model_build
from infrastructure.database import Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.filling import Filling, Stopped, Told
from infrastructure.followers import Followers
from infrastructure.keyring import Keyring
from infrastructure.notifications import Announcer
from infrastructure.partitions import ensure_partitions
from infrastructure.projector import NewerTables, Projector
from infrastructure.read_model_build import Overtaken
from infrastructure.read_model_rebuild import AlreadyBuilt, NotThere, Rebuild
from infrastructure.read_model_sides import NEXT, PREVIOUS
from infrastructure.schema import migrate
from projections.analytics_view import ANALYTICS_VIEW
from projections.message_log import MESSAGE_LOG
from projections.projection import Projection
from projections.registry import PROJECTIONS
from tests.contract.test_projector import CLI, NOW, drain, messages, parked, position_of, prepared, rows, swap, tell
from tests.domain.message_stories import FAILED, IN_DOUBT, REQUESTED, SCHEDULED, SENT
from tests.projections.test_users_view import ADA

MASTER_KEY = bytes(range(32))
JULY = date(2027, 7, 1)


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    migrate(database)
    with Database(database, application_name="tests") as pool, Announcer(pool) as announcer:
        with pool.connect() as connection:
            ensure_partitions(connection, date(2027, 5, 1), JULY)
        yield PostgresEventStore(pool, Keyring(MASTER_KEY), announcer=announcer)


def unheard(_: Told) -> None:
    pass


Make = Callable[..., Rebuild]


@pytest.fixture
def rebuild(store: PostgresEventStore, database: str) -> Make:
    def make(
        projection: Projection, watch: Callable[[Told], None] = unheard, processes: int = 1, stop: Signal | None = None
    ) -> Rebuild:
        return Rebuild(store, Filling(database, MASTER_KEY, processes), projection, stop or Signal(), watch)

    return make


def add(store: PostgresEventStore, log: Log, stream_id: UUID, version: int, *events: Event) -> None:
    assert not store.append([Group((NewEvents(log, stream_id, version, tuple(events)),))], CLI, NOW).lost


def history(store: PostgresEventStore) -> None:
    """People, some changed or erased, and messages of two months in several states, one under a foreign ID."""
    tell(store, "users", *((UUID(int=number), [replace(ADA, external_id=f"crm-{number}")]) for number in range(1, 30)))
    add(store, "users", UUID(int=3), 1, TimezoneChanged("Asia/Tokyo"), EmailChanged("ada@example.org"))
    add(store, "users", UUID(int=4), 1, UserErased())
    tell(store, "messages", *messages(1, 40, REQUESTED, SENT), *messages(41, 60), *messages(61, 70, REQUESTED))
    july = replace(SCHEDULED, occasion=JULY)
    tell(store, "messages", *((message_id(UUID(int=number), "BIRTHDAY", JULY), [july, REQUESTED]) for number in range(1, 9)))
    for message, events in messages(71, 72):
        tell(store, "messages", (message, events))
        add(store, "messages", message, 1, REQUESTED, IN_DOUBT, FAILED)
    tell(store, "messages", (UUID(int=4711), [SCHEDULED, REQUESTED]))


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("name", PROJECTIONS)
def test_what_is_built_anew_is_the_same(store: PostgresEventStore, rebuild: Make, name: str, processes: int) -> None:
    projection = PROJECTIONS[name]
    history(store)
    drain(prepared(store, projection))
    before, shape = rows(store, projection), shape_of(store, projection)
    work = rebuild(projection, processes=processes)
    work.build(NOW)
    assert rows(store, projection) == before
    work.swap()
    assert rows(store, projection) == before
    assert any(before)
    assert shape_of(store, projection) == shape
    assert drain(Projector(store, projection)) == 0


def shape_of(store: PostgresEventStore, projection: Projection) -> list[tuple[Any, ...]]:
    """Columns, indexes, constraints and partitions of what is live."""
    with store.database.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.relname, c.relkind, c.relispartition, pg_get_expr(c.relpartbound, c.oid), c.reloptions,
                (SELECT array_agg(attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull ORDER BY attnum)
                    FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0),
                (SELECT array_agg(said ORDER BY said) FROM pg_index, pg_get_indexdef(indexrelid) AS said WHERE indrelid = c.oid),
                (SELECT array_agg(said ORDER BY said) FROM pg_constraint AS k, pg_get_constraintdef(k.oid) AS said
                    WHERE conrelid = c.oid)
            FROM pg_class AS c WHERE relnamespace = 'ninebell'::regnamespace AND relkind IN ('r', 'p')
                AND (relname = ANY(%s) OR relname LIKE ANY (SELECT name || '\\_%%' FROM unnest(%s::text[]) AS name))
            ORDER BY 1
            """,
            (list(projection.tables), list(projection.monthly)),
        )
        return cursor.fetchall()


def test_what_is_told_meanwhile_is_in_it(store: PostgresEventStore, rebuild: Make) -> None:
    history(store)
    live = prepared(store, MESSAGE_LOG)
    drain(live)
    work = rebuild(MESSAGE_LOG)
    work.build(NOW)
    tell(store, "messages", *messages(101, 120, REQUESTED))
    drain(live)
    before = rows(store, MESSAGE_LOG)
    work.swap()
    assert rows(store, MESSAGE_LOG) == before
    tell(store, "messages", *messages(121, 130))
    assert drain(live) == 10, "the projector that ran all the time goes on with the new tables"


def test_a_build_that_is_interrupted_goes_on_where_it_was(store: PostgresEventStore, rebuild: Make) -> None:
    history(store)
    drain(prepared(store, MESSAGE_LOG))
    before, stop, told = rows(store, MESSAGE_LOG), Signal(), list[Told]()

    def stop_soon(one: Told) -> None:
        told.append(one)
        if one.events:
            stop.set()

    with pytest.raises(Stopped):
        rebuild(MESSAGE_LOG, stop_soon, stop=stop).build(NOW)
    assert rows(store, MESSAGE_LOG) == before
    began = told[-1].events
    again = rebuild(MESSAGE_LOG, told.append)
    again.build(NOW)
    assert max(one.events for one in told if one.stage == "reading") < store.head().messages, "it read the rest alone"
    assert began > 0
    again.swap()
    assert rows(store, MESSAGE_LOG) == before


def test_what_other_code_began_is_thrown_away(store: PostgresEventStore, rebuild: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    history(store)
    drain(prepared(store, MESSAGE_LOG))
    before = rows(store, MESSAGE_LOG)
    with monkeypatch.context() as patched:
        patched.setattr(read_model_build, "code", lambda: "another")
        rebuild(replace(MESSAGE_LOG, fold=nothing_at_all)).build(NOW)
    work = rebuild(MESSAGE_LOG)
    work.build(NOW)
    work.swap()
    assert rows(store, MESSAGE_LOG) == before


def nothing_at_all(*_: Any) -> dict[str, Any]:
    return {}


def test_whoever_is_overtaken_commits_nothing_more(store: PostgresEventStore, rebuild: Make) -> None:
    history(store)
    prepared(store, MESSAGE_LOG)

    def overtake(told: Told) -> None:
        if told.events and not overtaken:
            overtaken.append(told)
            other.build(NOW)

    overtaken: list[Told] = []
    other = rebuild(MESSAGE_LOG)
    with pytest.raises(Overtaken):
        rebuild(MESSAGE_LOG, overtake).build(NOW)
    other.swap()
    assert position_of(store, "message_log") == store.head().messages


def test_one_works_at_a_read_model_at_a_time(rebuild: Make) -> None:
    with rebuild(MESSAGE_LOG).alone():
        with rebuild(ANALYTICS_VIEW).alone():
            pass
        with pytest.raises(AlreadyBuilt), rebuild(MESSAGE_LOG).alone():
            pass
    with rebuild(MESSAGE_LOG).alone():
        pass


@pytest.mark.parametrize("name", ["message_log", "messages_by_timezone", "analytics_view"])
def test_what_can_not_be_read_or_applied_is_parked_as_ever(store: PostgresEventStore, rebuild: Make, name: str) -> None:
    projection = PROJECTIONS[name]
    streams = messages(1, 9, REQUESTED)
    streams[3] = (streams[3][0], [replace(SCHEDULED, message_type="BIRTH\x00DAY"), REQUESTED])
    tell(store, "messages", *streams)
    swap(store, 4, "message.sung.v9", b"{}")
    drain(prepared(store, projection))
    before, left = rows(store, projection), parked(store)
    assert left
    work = rebuild(projection)
    work.build(NOW)
    work.swap()
    assert rows(store, projection) == before
    with store.database.cursor() as cursor:
        cursor.execute("SELECT follower, log, topic, error FROM parked_events WHERE follower = %s ORDER BY position", (name,))
        assert cursor.fetchall() == left


def test_what_was_live_is_kept_and_comes_back_with_all_that_was_told_since(store: PostgresEventStore, rebuild: Make) -> None:
    history(store)
    live = prepared(store, MESSAGE_LOG)
    drain(live)
    work = rebuild(MESSAGE_LOG)
    work.build(NOW)
    work.swap()
    tell(store, "messages", *messages(101, 120, REQUESTED))
    drain(live)
    with store.database.cursor() as cursor:
        cursor.execute("UPDATE message_log SET reason = 'wrong'")
    work.roll_back()
    after = rows(store, MESSAGE_LOG)
    assert not any('"wrong"' in row for row in after[0])
    assert len(after[0]) == 101
    assert position_of(store, "message_log") == store.head().messages
    work.roll_back()
    assert any('"wrong"' in row for row in rows(store, MESSAGE_LOG)[0]), "and back again"
    assert work.drop(PREVIOUS)
    assert not work.drop(PREVIOUS)
    with pytest.raises(NotThere):
        work.roll_back()


def test_a_new_version_takes_the_place_of_the_earlier_one_whose_projector_ends(store: PostgresEventStore, rebuild: Make) -> None:
    history(store)
    old = prepared(store, MESSAGE_LOG)
    drain(old)
    wider = replace(
        MESSAGE_LOG,
        version=MESSAGE_LOG.version + 1,
        create=MESSAGE_LOG.create + "ALTER TABLE message_log ADD COLUMN IF NOT EXISTS note text;",
    )
    work = rebuild(wider)
    work.build(NOW)
    tell(store, "messages", *messages(101, 110))
    assert drain(old) == 10, "until then it goes on"
    work.swap()
    assert {status.name: status.version for status in Followers(store).status(NOW)}["message_log"] == wider.version
    tell(store, "messages", *messages(111, 112))
    with pytest.raises(NewerTables):
        old.step() or old.step()
    assert drain(Projector(store, wider)) == 2
    with pytest.raises(NotThere, match=f"is {MESSAGE_LOG.version}, made by Ninebell"):
        work.roll_back()
    rebuild(MESSAGE_LOG).roll_back()
    with store.database.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM message_log").fetchall() == [(93,)]
    assert {(one.side, one.version) for one in Followers(store).beside()} == {("previous", wider.version)}


def test_a_projector_of_tables_swapped_away_before_their_first_event_adds_nothing_to_the_new_ones(
    store: PostgresEventStore, rebuild: Make
) -> None:
    old = prepared(store, ANALYTICS_VIEW)
    assert old.step() == 0
    work = rebuild(replace(ANALYTICS_VIEW, version=ANALYTICS_VIEW.version + 1))
    work.build(NOW)
    work.swap()
    tell(store, "messages", *messages(1, 3))
    with pytest.raises(NewerTables):
        old.step() or old.step()
    with store.database.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM analytics_transitions").fetchall() == [(0,)]


def test_what_was_begun_can_be_thrown_away(store: PostgresEventStore, rebuild: Make) -> None:
    history(store)
    drain(prepared(store, MESSAGE_LOG))
    before = rows(store, MESSAGE_LOG)
    work = rebuild(MESSAGE_LOG)
    work.build(NOW)
    assert work.drop(NEXT)
    assert rows(store, MESSAGE_LOG) == before
    with store.database.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'ninebell_next'::regnamespace")
        assert cursor.fetchall() == [(0,)]
        assert cursor.execute("SELECT count(*) FROM build_tasks").fetchall() == [(0,)]
    assert not work.drop(NEXT)
