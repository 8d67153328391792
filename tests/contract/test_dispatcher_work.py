"""Does the dispatcher's transaction keep what it promises, in memory and on PostgreSQL?"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from itertools import count
from typing import ClassVar, Protocol
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.channel_plan import ChannelPlan, ChannelTraits
from application.dispatch_messages import Dispatcher
from application.ports import (
    Appended,
    Deposed,
    DispatcherWork,
    DueMessage,
    Glance,
    Group,
    InFlight,
    NewEvents,
    Origin,
    Route,
)
from application.recover_deliveries import Recovery
from domain.dispatch import DispatchFinished, DispatchRequested, DispatchStarted
from domain.event import Event
from domain.message_type import MessageTypes
from domain.scheduled_message import (
    DeliveryInDoubt,
    MessageCancelled,
    MessageExpired,
    MessageFailed,
    SendRequested,
)
from infrastructure.database import Database
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import Keyring
from infrastructure.leader import Elector
from infrastructure.notifications import Announcer
from infrastructure.partitions import ensure_partitions
from infrastructure.schema import migrate
from infrastructure.work import begin_work
from tests.application.dispatch_stories import BEFORE, DUE, OCCASION, SECOND, SINK, TYPES, message, repeated, run, scheduled
from tests.fake_dispatcher_work import Memory

TEST = Origin("test")
WORKER = ("w", UUID(int=77))
OTHER_WORKER = ("v", UUID(int=78))
PRIORITIES = (5, 100)


class Desk(Protocol):
    """A place where a dispatcher can work, and where others write."""

    def begin(self) -> AbstractContextManager[DispatcherWork]: ...

    def write(self, log: str, stream_id: UUID, version: int, *events: Event) -> None: ...

    def bump(self, worker: tuple[str, UUID], counter: int) -> None: ...

    def in_between(self, act: Callable[[], None]) -> None:
        """Do this once, after the next transaction has read and before it appends."""

    def events(self, log: str, stream_id: UUID) -> list[Event]: ...


class MemoryDesk:
    def __init__(self) -> None:
        self.memory = Memory()
        self.begin = self.memory.begin()

    def write(self, log: str, stream_id: UUID, version: int, *events: Event) -> None:
        self.memory.append([Group((NewEvents(log, stream_id, version, events),))], TEST, BEFORE)  # type: ignore[arg-type]

    def bump(self, worker: tuple[str, UUID], counter: int) -> None:
        self.memory.counters[worker] = counter

    def in_between(self, act: Callable[[], None]) -> None:
        self.memory.before_append = act

    def events(self, log: str, stream_id: UUID) -> list[Event]:
        return [recorded.event for recorded in self.memory.logs[log] if recorded.stream_id == stream_id]  # type: ignore[index]


class Interrupted(PostgresDispatcherWork):
    """The real one, with room for a race before its first append."""

    acts: ClassVar[list[Callable[[], None]]] = []

    def append(self, groups: Sequence[Group], origin: Origin, now: datetime) -> Appended:
        while self.acts:
            self.acts.pop()()
        return super().append(groups, origin, now)


class PostgresDesk:
    def __init__(self, store: PostgresEventStore) -> None:
        self.store = store

    def begin(self) -> AbstractContextManager[DispatcherWork]:
        return begin_work(self.store, Interrupted, "dispatcher", None)

    def write(self, log: str, stream_id: UUID, version: int, *events: Event) -> None:
        new = NewEvents(log, stream_id, version, events)  # type: ignore[arg-type]
        assert not self.store.append([Group((new,))], TEST, BEFORE).lost

    def bump(self, worker: tuple[str, UUID], counter: int) -> None:
        with self.store.database.connect() as connection:
            connection.execute(
                "INSERT INTO workers (worker, incarnation, counter) VALUES (%s, %s, %s)"
                " ON CONFLICT (worker, incarnation) DO UPDATE SET counter = excluded.counter",
                (*worker, counter),
            )

    def in_between(self, act: Callable[[], None]) -> None:
        Interrupted.acts.append(act)

    def events(self, log: str, stream_id: UUID) -> list[Event]:
        return [recorded.event for recorded in self.store.history(log, stream_id)]  # type: ignore[arg-type]


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    migrate(database)
    with Database(database, application_name="test") as pool, Announcer(pool) as announcer:
        with pool.connect() as connection:
            ensure_partitions(connection, OCCASION, OCCASION)
        yield PostgresEventStore(pool, Keyring(bytes(32)), announcer=announcer)


@pytest.fixture(params=["memory", "postgres"])
def desk(request: pytest.FixtureRequest) -> Desk:
    return MemoryDesk() if request.param == "memory" else PostgresDesk(request.getfixturevalue("store"))


def due(number: int, **changes: object) -> DueMessage:
    row = DueMessage(
        message_id=message(number),
        version=1,
        message_type="BIRTHDAY",
        timezone="Europe/London",
        due_at=DUE,
        region="europe",
        channel="sink",
        priority=100,
        ready_at=DUE,
        send_before=DUE + timedelta(hours=16),
        attempt=1,
    )
    return replace(row, **changes)


def flight(number: int, **changes: object) -> InFlight:
    return replace(InFlight(UUID(int=number), "sink", "europe", 100, DUE), **changes)


def put(desk: Desk, *rows: DueMessage | InFlight) -> None:
    with desk.begin() as work:
        work.put_due([row for row in rows if isinstance(row, DueMessage)])
        work.put_in_flight([row for row in rows if isinstance(row, InFlight)])


def found(desk: Desk, now: datetime = DUE, channel: str = "sink", limit: int = 100) -> list[DueMessage]:
    with desk.begin() as work:
        return work.due(channel, PRIORITIES, now, limit)


def test_a_row_comes_back_as_it_was_put(desk: Desk) -> None:
    put(desk, due(1))
    assert found(desk) == [due(1)]


def test_a_newer_version_replaces_and_an_older_one_does_not(desk: Desk) -> None:
    put(desk, due(1, version=2, attempt=2))
    put(desk, due(1, version=3, attempt=3))
    put(desk, due(1, version=2))
    assert found(desk) == [due(1, version=3, attempt=3)]


def test_what_is_ready_comes_by_priority_then_instant_then_id(desk: Desk) -> None:
    rows = [due(number, ready_at=DUE - number % 2 * SECOND) for number in range(1, 6)] + [due(9, priority=5)]
    put(desk, *rows, due(20, ready_at=DUE + SECOND), due(21, channel="other"), due(22, priority=7))
    wanted = sorted(rows, key=lambda row: (row.priority, row.ready_at, row.message_id))
    assert found(desk) == wanted
    assert found(desk, limit=3) == wanted[:3]


def test_what_is_dropped_is_gone(desk: Desk) -> None:
    put(desk, due(1), due(2))
    with desk.begin() as work:
        work.drop_due([message(1), message(3)])
        assert work.due_count() == 1
    assert found(desk) == [due(2)]


def test_what_is_due_follows_the_settings(desk: Desk) -> None:
    put(
        desk,
        due(1, channel="gone"),
        due(2, priority=7),
        due(3, message_type="GONE", channel="gone", priority=3),
        due(4, channel="other"),
    )
    with desk.begin() as work:
        work.reroute([Route("BIRTHDAY", "sink", 5)], ["sink", "other"], Route("", "other", 100))
    assert {row.message_id for row in found(desk)} == {message(1), message(2)}
    assert {(row.message_id, row.priority) for row in found(desk, channel="other")} == {(message(3), 100), (message(4), 5)}


def glance(desk: Desk) -> Glance:
    with desk.begin() as work:
        return work.glance(["sink"], PRIORITIES)


def test_a_glance_tells_what_moved_and_when_the_next_message_is_ready(desk: Desk) -> None:
    assert glance(desk) == Glance(messages_moved=False, dispatches_moved=False, first_ready_at=None)
    put(desk, due(1, ready_at=DUE + SECOND), due(2), due(3, channel="other", ready_at=BEFORE))
    assert glance(desk).first_ready_at == DUE
    desk.write("messages", message(1), 0, scheduled(1))
    assert (glance(desk).messages_moved, glance(desk).dispatches_moved) == (True, False)
    desk.write("dispatches", UUID(int=1), 0, DispatchRequested(channel="sink", region="asia", message_ids=(message(1),)))
    with desk.begin() as work:
        for log in ("messages", "dispatches"):
            work.followed(log, work.follow(log, 10).position)
    assert (glance(desk).messages_moved, glance(desk).dispatches_moved) == (False, False)


def test_members_in_flight_are_counted_by_channel(desk: Desk) -> None:
    put(desk, flight(1), flight(2, members=7), flight(3, channel="other", members=5))
    put(desk, flight(1, members=1))  # known already
    with desk.begin() as work:
        work.withdrawn({UUID(int=1): 2, UUID(int=99): 1})
        assert work.members_in_flight() == {"sink": 105, "other": 5}
        work.finished([UUID(int=1), UUID(int=3)])
        assert work.members_in_flight() == {"sink": 7}


def unstarted(desk: Desk, now: datetime, limit: int = 10) -> list[int]:
    with desk.begin() as work:
        return [dispatch_id.int for dispatch_id in work.unstarted(now, limit)]


def test_the_next_publication_is_put_off_doubling_up_to_eight_minutes(desk: Desk) -> None:
    put(desk, flight(1))
    assert unstarted(desk, DUE + 29 * SECOND) == []
    assert unstarted(desk, DUE + 30 * SECOND) == [1]
    for wait in (30, 60, 120, 240, 480, 480, 480):
        with desk.begin() as work:
            work.published([UUID(int=1)], DUE)
        assert unstarted(desk, DUE + (wait - 1) * SECOND) == []
        assert unstarted(desk, DUE + wait * SECOND) == [1]


def test_the_unstarted_come_by_their_waiting(desk: Desk) -> None:
    put(desk, flight(1, requested_at=DUE + SECOND), flight(2), flight(3))
    with desk.begin() as work:
        work.started([(UUID(int=3), *WORKER)])
    assert unstarted(desk, DUE + timedelta(minutes=1)) == [2, 1]
    assert unstarted(desk, DUE + timedelta(minutes=1), limit=1) == [2]


def test_claims_are_known_by_worker_and_incarnation(desk: Desk) -> None:
    put(desk, flight(1), flight(2), flight(3), flight(4))
    reborn = (WORKER[0], UUID(int=79))
    with desk.begin() as work:
        work.started([(UUID(int=1), *WORKER), (UUID(int=2), *OTHER_WORKER), (UUID(int=3), *reborn)])
        assert work.claimants() == sorted([WORKER, OTHER_WORKER, reborn])
        assert work.claimed_by([WORKER, OTHER_WORKER]) == [UUID(int=1), UUID(int=2)]


def test_counters_are_those_of_the_workers(desk: Desk) -> None:
    desk.bump(WORKER, 1)
    desk.bump(OTHER_WORKER, 5)
    desk.bump(WORKER, 2)
    with desk.begin() as work:
        assert work.counters() == {WORKER: 2, OTHER_WORKER: 5}


def test_a_transaction_that_fails_leaves_nothing(desk: Desk) -> None:
    with pytest.raises(ZeroDivisionError), desk.begin() as work:
        work.put_due([due(1)])
        work.put_in_flight([flight(1)])
        work.append([Group((NewEvents("messages", message(1), 0, (scheduled(1),)),))], TEST, DUE)
        raise ZeroDivisionError
    with desk.begin() as work:
        assert (work.due_count(), work.members_in_flight(), work.load_messages([message(1)])[message(1)].version) == (0, {}, 0)


def working(desk: Desk, channel: ChannelTraits = SINK, types: MessageTypes = TYPES, first_id: int = 1) -> Dispatcher:
    ids = count(first_id)
    return Dispatcher(desk.begin, types, ChannelPlan((channel,)), lambda: UUID(int=next(ids)))


def schedule(desk: Desk, numbers: Sequence[int], timezone: str = "Europe/London") -> None:
    for number in numbers:
        desk.write("messages", message(number), 0, scheduled(number, timezone))


def test_due_messages_go_out_in_dispatches_of_a_region(desk: Desk) -> None:
    schedule(desk, range(1, 104))
    schedule(desk, range(104, 107), "Asia/Tokyo")
    run(working(desk), DUE)
    with desk.begin() as work:
        handed = [stream.state for stream in work.load_dispatches([UUID(int=1), UUID(int=2), UUID(int=3)]).values()]
        assert work.members_in_flight() == {"sink": 106}
    assert sorted((state.region, len(state.members)) for state in handed if state) == [
        ("asia", 3),
        ("europe", 3),
        ("europe", 100),
    ]
    [requested] = desk.events("messages", message(105))[1:]
    assert isinstance(requested, SendRequested)


def test_a_message_cancelled_in_the_race_is_struck(desk: Desk) -> None:
    schedule(desk, [1, 2])
    cancelled = MessageCancelled(**repeated(), reason="suppressed")
    desk.in_between(lambda: desk.write("messages", message(1), 1, cancelled))
    run(working(desk), DUE)
    assert desk.events("dispatches", UUID(int=1)) == [
        DispatchRequested(channel="sink", region="europe", message_ids=(message(2),))
    ]
    assert desk.events("messages", message(1))[-1] == cancelled
    with desk.begin() as work:
        assert work.due_count() == 0


def test_a_failed_message_is_tried_again_and_a_late_one_expires(desk: Desk) -> None:
    schedule(desk, [1])
    leader = working(desk)
    run(leader, DUE)
    retry_at = DUE + timedelta(minutes=5)
    failed = MessageFailed(**repeated(), error="not_accepted:500", retry_count=1, retry_at=retry_at, dispatch_id=UUID(int=1))
    desk.write("messages", message(1), 2, failed)
    run(leader, retry_at)
    again = SendRequested(**repeated(), attempt=2, channel="sink", dispatch_id=UUID(int=2))
    assert desk.events("messages", message(1))[-1] == again
    desk.write("messages", message(1), 4, replace(failed, dispatch_id=UUID(int=2), retry_at=DUE + timedelta(hours=20)))
    run(leader, DUE + timedelta(hours=20))
    assert desk.events("messages", message(1))[-1] == MessageExpired(**repeated(), reason="late_window")


def test_a_dead_workers_messages_are_doubted_and_requested_again(desk: Desk) -> None:
    schedule(desk, [1, 2])
    leader = working(desk)
    run(leader, DUE)
    desk.bump(WORKER, 1)
    claim = DispatchStarted(worker=WORKER[0], incarnation=WORKER[1], claim_token=UUID(int=5))
    desk.write("dispatches", UUID(int=1), 1, claim)
    run(leader, DUE)
    plan, ids = ChannelPlan((SINK,)), count(900)
    watching = Recovery(desk.begin, TYPES, plan, lambda: UUID(int=next(ids)), lease_seconds=15, call_timeout_seconds=10)
    for second in range(26):
        watching.step(DUE, second)
    doubted, again = desk.events("messages", message(1))[-2:]
    assert isinstance(doubted, DeliveryInDoubt)
    assert isinstance(again, SendRequested)
    assert (again.dispatch_id, again.repeat_of) == (UUID(int=900), UUID(int=1))
    assert desk.events("dispatches", UUID(int=1))[-1] == DispatchFinished(how="worker_dead")
    with desk.begin() as work:
        assert work.members_in_flight() == {"sink": 2}
        assert work.claimants() == []


def test_a_dispatcher_that_forgot_its_position_sends_nothing_twice(store: PostgresEventStore) -> None:
    desk = PostgresDesk(store)
    schedule(desk, [1, 2, 3])
    run(working(desk), DUE)
    with store.database.connect() as connection:
        connection.execute("DELETE FROM positions; DELETE FROM in_flight")
    run(working(desk, first_id=50), DUE + SECOND)
    assert [len(desk.events("messages", message(number))) for number in (1, 2, 3)] == [2, 2, 2]
    with desk.begin() as work:
        assert (work.due_count(), work.members_in_flight()) == (0, {"sink": 3})


def test_of_two_dispatchers_the_deposed_one_writes_nothing(store: PostgresEventStore) -> None:
    desk = PostgresDesk(store)
    schedule(desk, [1])
    electors = [Elector(store.database, "dispatcher", take_over_at_once=True) for _ in range(2)]
    leaderships = [elector.step(0.0) for elector in electors]
    old, new = (
        Dispatcher(
            lambda lead=lead: begin_work(store, PostgresDispatcherWork, "dispatcher", lead),  # type: ignore[misc]
            TYPES,
            ChannelPlan((SINK,)),
            lambda number=number: UUID(int=number),  # type: ignore[misc]
        )
        for number, lead in enumerate(leaderships, 1)
    )
    with pytest.raises(Deposed):
        old.step(DUE, steady=True)
    assert len(desk.events("messages", message(1))) == 1
    new.step(DUE, steady=True)
    [_, requested] = desk.events("messages", message(1))
    assert isinstance(requested, SendRequested)
    assert requested.dispatch_id == UUID(int=2)


def test_nobody_waits_for_a_row_that_another_works_on(store: PostgresEventStore) -> None:
    desk = PostgresDesk(store)
    put(desk, flight(1), flight(2))
    with desk.begin() as work:
        work.started([(UUID(int=1), *WORKER), (UUID(int=2), *WORKER)])
    with desk.begin() as dispatching:
        dispatching.withdrawn({UUID(int=1): 1})
        with desk.begin() as other:
            assert other.claimed_by([WORKER]) == [UUID(int=2)]
            other.published([UUID(int=1), UUID(int=2)], DUE)
