"""Where are the dispatcher's stories told: in memory, and on PostgreSQL?"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import ClassVar, Final, Protocol
from uuid import UUID

from msgspec.structs import replace

from application.channel_states import SharedChannels
from application.dispatcher_ports import DispatcherWork, DueMessage, InFlight
from application.pause_sending import Pause
from application.ports import Appended, Group, Log, NewEvents, Origin
from domain.event import Event
from infrastructure.channel_states import PostgresChannels
from infrastructure.database import Database
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import Keyring
from infrastructure.notifications import Announcer
from infrastructure.partitions import ensure_partitions
from infrastructure.pauses import PostgresPauses
from infrastructure.work import begin_work
from tests.application.dispatch_stories import BEFORE, DUE, OCCASION, message
from tests.fake_dispatcher_work import Memory

TEST: Final = Origin("test")
WORKER: Final = ("w", UUID(int=77))
OTHER_WORKER: Final = ("v", UUID(int=78))


class Desk(Protocol):
    """A place where a dispatcher can work, and where others write."""

    channels: SharedChannels

    def begin(self) -> AbstractContextManager[DispatcherWork]: ...

    def write(self, log: Log, stream_id: UUID, version: int, *events: Event) -> None: ...

    def bump(self, worker: tuple[str, UUID], counter: int) -> None: ...

    def pause(self, name: str) -> None: ...

    def in_between(self, act: Callable[[], None]) -> None:
        """Do this once, after the next transaction has read and before it appends."""

    def events(self, log: Log, stream_id: UUID) -> list[Event]: ...


class MemoryDesk:
    def __init__(self) -> None:
        self.memory = Memory()
        self.channels: SharedChannels = self.memory.channels
        self.begin = self.memory.begin()

    def write(self, log: Log, stream_id: UUID, version: int, *events: Event) -> None:
        self.memory.append([Group((NewEvents(log, stream_id, version, events),))], TEST, BEFORE)

    def bump(self, worker: tuple[str, UUID], counter: int) -> None:
        self.memory.counters[worker] = counter

    def pause(self, name: str) -> None:
        self.memory.paused.add(name)

    def in_between(self, act: Callable[[], None]) -> None:
        self.memory.before_append = act

    def events(self, log: Log, stream_id: UUID) -> list[Event]:
        return [recorded.event for recorded in self.memory.logs[log] if recorded.stream_id == stream_id]


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
        self.channels: SharedChannels = PostgresChannels(store.database)

    def begin(self) -> AbstractContextManager[DispatcherWork]:
        return begin_work(self.store, Interrupted, "dispatcher", None)

    def write(self, log: Log, stream_id: UUID, version: int, *events: Event) -> None:
        new = NewEvents(log, stream_id, version, events)
        assert not self.store.append([Group((new,))], TEST, BEFORE).lost

    def bump(self, worker: tuple[str, UUID], counter: int) -> None:
        with self.store.database.connect() as connection:
            connection.execute(
                "INSERT INTO workers (worker, incarnation, counter) VALUES (%s, %s, %s)"
                " ON CONFLICT (worker, incarnation) DO UPDATE SET counter = excluded.counter",
                (*worker, counter),
            )

    def pause(self, name: str) -> None:
        assert PostgresPauses(self.store.database).begin(Pause(name, "test", "a test", DUE))

    def in_between(self, act: Callable[[], None]) -> None:
        Interrupted.acts.append(act)

    def events(self, log: Log, stream_id: UUID) -> list[Event]:
        return [recorded.event for recorded in self.store.history(log, stream_id)]


@contextmanager
def open_desk(dsn: str, *, shared: bool = True) -> Iterator[PostgresDesk]:
    """On a migrated database; with nobody to share it, a large transaction has all the time it needs."""
    with Database(dsn, application_name="test", shared=shared) as pool, Announcer(pool) as announcer:
        with pool.connect() as connection:
            ensure_partitions(connection, OCCASION, OCCASION)
        yield PostgresDesk(PostgresEventStore(pool, Keyring(bytes(32)), announcer=announcer))


def flight(number: int, **changes: object) -> InFlight:
    """A dispatch of a hundred."""
    return replace(InFlight(UUID(int=number), "sink", "europe", 100, DUE), **changes)


def due(number: int, **changes: object) -> DueMessage:
    """Someone's birthday message, waiting since DUE."""
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


def put(desk: Desk, *rows: DueMessage | InFlight) -> None:
    with desk.begin() as work:
        work.put_due([row for row in rows if isinstance(row, DueMessage)])
        work.put_in_flight([row for row in rows if isinstance(row, InFlight)])
