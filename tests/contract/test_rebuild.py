"""Does a read model built anew beside the live one come out the same, wherever it is interrupted, and take its place whole?"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import date
from threading import Event as Signal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from application.ports import Group, Log, NewEvents
from domain.event import Event
from domain.message_id import message_id
from domain.user import EmailChanged, TimezoneChanged, UserErased
from infrastructure import read_model_build, read_model_rebuild
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
from infrastructure.read_model_verification import open_verification
from infrastructure.schema import migrate
from infrastructure.user_sealer import UserSealer
from projections.analytics_view import ANALYTICS_VIEW
from projections.message_log import MESSAGE_LOG
from projections.projection import Projection
from projections.registry import PROJECTIONS
from projections.users_view import USERS_VIEW
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


def test_what_is_told_while_it_catches_up_is_live_at_once(
    store: PostgresEventStore, rebuild: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_model_rebuild, "CATCH_UP_BATCH", 1)  # so that some is left when it is where the log ended
    history(store)
    live = prepared(store, MESSAGE_LOG)
    drain(live)
    late = messages(101, 110)

    def tell_more(told: Told) -> None:
        if told.stage == "catching up" and late:
            tell(store, "messages", *late)
            late.clear()
            drain(live)

    work = rebuild(MESSAGE_LOG, tell_more)
    work.build(NOW)
    tell(store, "messages", *messages(121, 122))
    work.swap()
    assert not late
    assert len(rows(store, MESSAGE_LOG)[0]) == 81 + 12, "nothing that was live is missing, not even for a moment"
    assert position_of(store, "message_log") == store.head().messages


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


def test_whoever_is_overtaken_does_no_part_of_the_build_that_took_its_place(store: PostgresEventStore, rebuild: Make) -> None:
    history(store)
    prepared(store, MESSAGE_LOG)
    stop, begun = Signal(), list[Told]()

    def begin_anew(told: Told) -> None:
        if told.events and not begun:
            begun.append(told)
            with pytest.raises(Stopped):
                rebuild(MESSAGE_LOG, lambda told: stop.set() if told.events else None, stop=stop).build(NOW, anew=True)

    with pytest.raises(Overtaken):
        rebuild(MESSAGE_LOG, begin_anew).build(NOW)
    with store.database.cursor() as cursor:
        [(done, left)] = cursor.execute("SELECT count(*) FILTER (WHERE done), count(*) FROM build_tasks").fetchall()
    assert (done, left > 2) == (1, True)


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


@pytest.mark.parametrize("after", ["reading", "indexing", None])
def test_what_was_begun_can_be_thrown_away(store: PostgresEventStore, rebuild: Make, after: str | None) -> None:
    history(store)
    drain(prepared(store, MESSAGE_LOG))
    before, stop = rows(store, MESSAGE_LOG), Signal()

    def stop_soon(told: Told) -> None:
        if told.stage == after:
            stop.set()

    work = rebuild(MESSAGE_LOG, stop_soon, stop=stop)
    with pytest.raises(Stopped) if after else nullcontext():
        work.build(NOW)
    if after:
        rebuild(MESSAGE_LOG).build(NOW, anew=True)
    assert work.drop(NEXT)
    assert rows(store, MESSAGE_LOG) == before
    with store.database.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'ninebell_next'::regnamespace")
        assert cursor.fetchall() == [(0,)]
        assert cursor.execute("SELECT count(*) FROM build_tasks").fetchall() == [(0,)]
    assert not work.drop(NEXT)


def folded_wrongly(histories: Any, sealer: Any) -> dict[str, Any]:
    """The fold, but for what it makes of some messages: one is missing, one has another status, one is made up."""
    rows: Any = MESSAGE_LOG.fold(histories, sealer)
    log = {row.id: row for row in rows["message_log"]}
    for number, change in ((1, None), (2, {"status": "expired", "reason": "suppressed"})):
        found = log.pop(message_of(number), None)
        if found and change:
            log[found.id] = replace(found, **change)
    if message_of(41) in log:
        log[message_of(999)] = replace(log[message_of(41)], id=message_of(999))
    return {**rows, "message_log": list(log.values())}


def message_of(number: int) -> UUID:
    return message_id(UUID(int=number), "BIRTHDAY", SCHEDULED.occasion)


def test_the_report_names_exactly_the_rows_that_were_wrong(store: PostgresEventStore, rebuild: Make) -> None:
    history(store)
    live = prepared(store, MESSAGE_LOG)
    drain(live)
    wrong = rebuild(replace(MESSAGE_LOG, fold=folded_wrongly))
    wrong.build(NOW)
    wrong.swap()
    tell(store, "messages", *messages(101, 110))
    drain(live)
    work = rebuild(MESSAGE_LOG)
    work.build(NOW, no_further_than_live=True)
    log, totals = work.compare(examples=10)
    assert (log.added, log.removed, log.changed, log.columns) == (1, 1, 1, {"status": 1, "reason": 1})
    assert {(one.kind, one.key["id"]) for one in log.examples} == {
        ("added", str(message_of(1))),
        ("removed", str(message_of(999))),
        ("changed", str(message_of(2))),
    }
    [changed] = [one.columns for one in log.examples if one.kind == "changed"]
    assert changed == {"status": ("expired", "sent"), "reason": ("suppressed", "late")}
    assert totals.rows == 0
    work.swap()
    again = rebuild(MESSAGE_LOG)
    again.build(NOW, no_further_than_live=True)
    assert [one.rows for one in again.compare(examples=10)] == [0, 0]


def test_what_is_sealed_is_compared_opened_and_told_without_its_words(store: PostgresEventStore, rebuild: Make) -> None:
    history(store)
    drain(prepared(store, USERS_VIEW))
    work = rebuild(USERS_VIEW)
    work.build(NOW, no_further_than_live=True)
    assert [one.rows for one in work.compare(examples=10)] == [0], "sealed twice, it has other bytes"
    with store.database.transaction() as cursor:
        sealer = UserSealer(store.keyring, cursor)
        other = {"first_name": "Ada", "email": "wrong@example.org"}
        [sealed] = sealer.seal({UUID(int=7): msgspec.json.encode(asdict_of(store, sealer) | other)}).values()
        cursor.execute("UPDATE users_view SET sealed = %s WHERE user_id = %s", (sealed, UUID(int=7)))
        cursor.execute("UPDATE users_view SET timezone = 'Asia/Tokyo' WHERE user_id = %s", (UUID(int=8),))
    [found] = work.compare(examples=10)
    assert (found.added, found.removed, found.changed, found.columns) == (0, 0, 2, {"email": 1, "timezone": 1})
    assert [one.columns for one in found.examples] == [{"email": None}, {"timezone": ("Asia/Tokyo", ADA.timezone)}]
    assert "example.org" not in repr(found)


def asdict_of(store: PostgresEventStore, sealer: UserSealer) -> dict[str, Any]:
    with store.database.cursor() as cursor:
        cursor.execute("SELECT user_id, sealed FROM users_view WHERE user_id = %s", (UUID(int=7),))
        [clear] = sealer.open(dict(cursor.fetchall())).values()
    found: dict[str, Any] = msgspec.json.decode(clear)
    return found


def test_a_table_of_another_shape_is_compared_by_what_both_have(store: PostgresEventStore, rebuild: Make) -> None:
    history(store)
    drain(prepared(store, MESSAGE_LOG))
    wider = replace(
        MESSAGE_LOG, version=99, create=MESSAGE_LOG.create + "ALTER TABLE message_log ADD COLUMN IF NOT EXISTS note text;"
    )
    work = rebuild(wider)
    work.build(NOW, no_further_than_live=True)
    log, totals = work.compare(examples=10)
    assert (log.rows, log.columns_added, totals.rows) == (0, ["note"], 0)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_live_rows_are_what_the_events_come_to(store: PostgresEventStore, name: str) -> None:
    projection = PROJECTIONS[name]
    history(store)
    drain(prepared(store, projection))
    tell(store, "messages", *messages(101, 103))
    tell(store, "users", (UUID(int=99), [replace(ADA, external_id="crm-99")]))
    assert verified(store, projection) == {}
    if set(projection.tables) - set(projection.sums):
        assert verified(store, projection, sample=1_000) == {}


@pytest.mark.parametrize("sample", [None, 1_000])
def test_rows_that_no_event_accounts_for_are_found(store: PostgresEventStore, sample: int | None) -> None:
    history(store)
    drain(prepared(store, MESSAGE_LOG))
    with store.database.cursor() as cursor:
        cursor.execute("UPDATE message_log SET status = 'expired' WHERE id = %s", (message_of(1),))
        cursor.execute("DELETE FROM message_log WHERE id = %s", (message_of(2),))
        cursor.execute("UPDATE message_log SET id = %s WHERE id = %s", (message_of(900), message_of(3)))
        cursor.execute("UPDATE message_totals SET messages = messages + 1 WHERE status = 'sent'")
    found = verified(store, MESSAGE_LOG, sample)
    assert found.pop("message_log") == (2, 1, 1)
    assert found == ({} if sample else {"message_totals": (0, 0, 1)})


def test_what_was_parked_is_no_difference(store: PostgresEventStore) -> None:
    streams = messages(1, 9, REQUESTED)
    streams[3] = (streams[3][0], [replace(SCHEDULED, message_type="BIRTH\x00DAY"), REQUESTED])
    tell(store, "messages", *streams)
    swap(store, 4, "message.sung.v9", b"{}")
    drain(prepared(store, MESSAGE_LOG))
    assert verified(store, MESSAGE_LOG) == {}


def verified(store: PostgresEventStore, projection: Projection, sample: int | None = None) -> dict[str, tuple[int, int, int]]:
    """Rows added, removed and changed, of the tables where any are."""
    with open_verification(store, projection, examples=3) as verification:
        found = verification.sample(sample, lambda *_: None) if sample else verification.all(lambda *_: None)
    return {one.table: (one.added, one.removed, one.changed) for one in found if one.rows}
