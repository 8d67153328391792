"""A town, its planner, and everybody else who writes to the logs: in memory and on PostgreSQL."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

from application.plan_messages import Planner
from application.planner_ports import PlannerWork
from application.ports import Appended, Begin, EventReader, Group, Log, NewEvents, Origin, Recorded
from domain.dispatch import DispatchRequested, DispatchStarted
from domain.event import Event
from domain.message_id import message_id
from domain.message_type import MessageTypes, registry
from domain.scheduled_message import (
    DeliveryInDoubt,
    MessageAbandoned,
    MessageCancelled,
    MessageExpired,
    MessageFailed,
    MessageRedriven,
    MessageSent,
    ScheduledMessage,
    SendRequested,
)
from domain.user import Details, UserRegistered
from infrastructure.database import Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import Keyring
from infrastructure.notifications import Announcer
from infrastructure.partitions import ensure_partitions
from infrastructure.planner_tables import PostgresPlannerWork
from infrastructure.work import begin_work
from tests.broken_streams import break_stream, left_alone, mend_stream
from tests.fakes import PlannerMemory

TYPES: Final = registry()


class Scene(Protocol):
    """Where the planner works and others write."""

    begin: Begin[PlannerWork]

    def reader(self) -> EventReader: ...

    def tell(self, log: Log, stream_id: UUID, *events: Event, at: datetime, who: str = "test") -> None: ...

    def history(self, log: Log, stream_id: UUID) -> list[Recorded[Event]]: ...

    def breaks(self, log: Log, stream_id: UUID, at: datetime) -> None:
        """A newer program records something there that this one can't read."""

    def mends(self, log: Log, stream_id: UUID) -> None:
        """This program can read it after all."""

    def left_alone(self) -> set[tuple[Log, UUID]]:
        """The streams that the planner parked."""

    def asks_again(self, at: datetime) -> None:
        """An operator wants all that tried again that the planner has parked."""


class MemoryScene:
    def __init__(self, memory: PlannerMemory) -> None:
        self.memory = memory
        self.begin = memory.begin_planning()

    def reader(self) -> EventReader:
        with self.begin() as work:
            return work

    def tell(self, log: Log, stream_id: UUID, *events: Event, at: datetime, who: str = "test") -> None:
        self.memory.write(log, stream_id, *events, now=at, who=who)

    def history(self, log: Log, stream_id: UUID) -> list[Recorded[Event]]:
        return [recorded for recorded in self.memory.logs[log] if recorded.stream_id == stream_id]

    def breaks(self, log: Log, stream_id: UUID, at: datetime) -> None:
        self.memory.broken[log, stream_id] = "unknown"

    def mends(self, log: Log, stream_id: UUID) -> None:
        del self.memory.broken[log, stream_id]

    def left_alone(self) -> set[tuple[Log, UUID]]:
        return {(log, stream_id) for _, log, stream_id in self.memory.left_alone}

    def asks_again(self, at: datetime) -> None:
        for log, stream_id in self.left_alone():
            self.memory.again[stream_id if log == "users" else self.memory.planned[stream_id].user_id] = at
        self.memory.again |= {row.user_id: at for row in self.memory.parked}
        self.memory.left_alone.clear()


class PostgresScene:
    def __init__(self, store: PostgresEventStore, follower: str = "planner") -> None:
        self.store = store
        self.begin: Begin[PlannerWork] = partial(begin_work, store, PostgresPlannerWork, follower, None)

    def reader(self) -> EventReader:
        return self.store

    def tell(self, log: Log, stream_id: UUID, *events: Event, at: datetime, who: str = "test") -> None:
        load: dict[Log, Callable[[list[UUID]], dict[UUID, Any]]] = {
            "users": self.store.load_users,
            "messages": self.store.load_messages,
            "dispatches": self.store.load_dispatches,
        }
        version = load[log]([stream_id])[stream_id].version
        assert not self.store.append([Group((NewEvents(log, stream_id, version, events),))], Origin(who), at).lost

    def history(self, log: Log, stream_id: UUID) -> list[Recorded[Event]]:
        return self.store.history(log, stream_id)

    def breaks(self, log: Log, stream_id: UUID, at: datetime) -> None:
        break_stream(self.store.database, log, stream_id, at)

    def mends(self, log: Log, stream_id: UUID) -> None:
        mend_stream(self.store.database, log, stream_id)

    def left_alone(self) -> set[tuple[Log, UUID]]:
        return {(log, stream_id) for _, log, stream_id in left_alone(self.store.database)}

    def asks_again(self, at: datetime) -> None:
        with self.store.database.connect() as connection:
            connection.execute("UPDATE parked_events SET again = true")
            connection.execute("UPDATE parked_types SET again = true")


@contextmanager
def postgres_scene(dsn: str, *, patient: bool = False) -> Iterator[PostgresScene]:
    """On a migrated database with the months around the stories; a `patient` one ends no transaction that stands still."""
    with Database(dsn, application_name="planner", size=6, shared=not patient) as database, Announcer(database) as announcer:
        with database.connect() as connection:
            ensure_partitions(connection, date(2026, 12, 1), date(2028, 6, 1))
        yield PostgresScene(PostgresEventStore(database, Keyring(bytes(32)), announcer=announcer))


class Life:
    """One person in a scene, and what becomes of their messages."""

    def __init__(self, scene: Scene, registered_at: datetime, types: MessageTypes = TYPES, **facts: Any) -> None:
        self.scene, self.types, self.user_id = scene, types, uuid4()
        told: dict[str, Any] = {"first_name": "Ada", "email": "ada@example.org", "timezone": "Europe/London"} | facts
        first_occasion = told.pop("first_occasion", date(2020, 1, 1))
        details = Details(**told)
        fields = {field: getattr(details, field) for field in Details.__struct_fields__}
        self.say(UserRegistered(**fields, first_occasion=first_occasion), at=registered_at)

    def say(self, *facts: Event, at: datetime) -> None:
        """The person, or the client, changes something."""
        self.scene.tell("users", self.user_id, *facts, at=at)

    def plan(self, now: datetime, begin: Begin[PlannerWork] | None = None) -> None:
        """The planner goes on until there is nothing left to do."""
        planner = Planner(begin or self.scene.begin, self.types)
        while planner.step(now):
            pass

    def id_of(self, occasion: date, message_type: str = "BIRTHDAY") -> UUID:
        return message_id(self.user_id, message_type, occasion)

    def message(self, occasion: date, message_type: str = "BIRTHDAY") -> ScheduledMessage | None:
        wanted = self.id_of(occasion, message_type)
        return self.scene.reader().load_messages([wanted])[wanted].state

    def seen(self, occasion: date, message_type: str = "BIRTHDAY") -> str:
        """A message's status and reason, "nothing" if there is none."""
        message = self.message(occasion, message_type)
        return f"{message.status} {message.reason}".strip() if message else "nothing"

    def story(self, occasion: date, message_type: str = "BIRTHDAY") -> list[str]:
        """The names of everything that happened to a message, with reasons."""
        events = (recorded.event for recorded in self.scene.history("messages", self.id_of(occasion, message_type)))
        return [" ".join((type(event).__name__, getattr(event, "reason", ""))).strip() for event in events]

    def becomes(self, state: str, occasion: date, at: datetime, message_type: str = "BIRTHDAY") -> UUID:
        """Others lead a scheduled message into a state; gives its dispatch."""
        wanted, repeated, dispatch_id = self.id_of(occasion, message_type), self._repeated(occasion, message_type), uuid4()
        ends: dict[str, Event] = {
            "cancelled": MessageCancelled(**repeated, reason="suppressed"),
            "cancelled by operator": MessageCancelled(**repeated, reason="operator"),
            "expired": MessageExpired(**repeated, reason="zone_moved"),
            "too late": MessageExpired(**repeated, reason="late_window"),
        }
        if state in ends:
            self.scene.tell("messages", wanted, ends[state], at=at, who="worker")
        elif state != "scheduled":
            self._requested(wanted, SendRequested(**repeated, attempt=1, channel="sink", dispatch_id=dispatch_id), at)
            if state != "requested":
                self.claim(dispatch_id, at)
            if state not in ("requested", "claimed"):
                outcome = "in_doubt" if state == "repeated" else state
                self.comes_out(outcome, occasion, dispatch_id, at, message_type)
            if state == "repeated":
                again = SendRequested(**repeated, attempt=1, channel="sink", dispatch_id=uuid4(), repeat_of=dispatch_id)
                self._requested(wanted, again, at)
        return dispatch_id

    def claim(self, dispatch_id: UUID, at: datetime) -> None:
        self.scene.tell("dispatches", dispatch_id, DispatchStarted("worker-1", uuid4(), uuid4()), at=at, who="worker")

    def comes_out(self, outcome: str, occasion: date, dispatch_id: UUID, at: datetime, message_type: str = "BIRTHDAY") -> None:
        """The worker records what became of a claimed message."""
        event = self.outcome(outcome, self._repeated(occasion, message_type), dispatch_id, at)
        self.scene.tell("messages", self.id_of(occasion, message_type), event, at=at, who="worker")

    def redriven(self, occasion: date, at: datetime, send_before: datetime, message_type: str = "BIRTHDAY") -> None:
        """An operator has it tried again."""
        words = self._repeated(occasion, message_type) | {"due_at": at}
        again = MessageRedriven(**words, by="operator", send_before=send_before)
        self.scene.tell("messages", self.id_of(occasion, message_type), again, at=at, who="cli")

    def _requested(self, wanted: UUID, asked: SendRequested, at: datetime) -> None:
        self.scene.tell("messages", wanted, asked, at=at, who="dispatcher")
        offered = DispatchRequested("sink", "europe", (wanted, uuid4()))
        self.scene.tell("dispatches", asked.dispatch_id, offered, at=at, who="dispatcher")

    def _repeated(self, occasion: date, message_type: str) -> dict[str, Any]:
        known = self.message(occasion, message_type)
        assert known is not None
        return {"message_type": known.message_type, "timezone": known.timezone, "due_at": known.due_at}

    @staticmethod
    def outcome(state: str, repeated: dict[str, Any], dispatch_id: UUID, at: datetime) -> Event:
        outcomes: dict[str, Event] = {
            "sent": MessageSent(
                **repeated, sent_at=at, response_code=200, provider_id="", template_version=1, dispatch_id=dispatch_id
            ),
            "retrying": MessageFailed(**repeated, error="not_accepted:500", retry_count=1, retry_at=at, dispatch_id=dispatch_id),
            "in_doubt": DeliveryInDoubt(**repeated, reason="timeout", channel="sink", dispatch_id=dispatch_id),
            "abandoned": MessageAbandoned(**repeated, reason="rejected", error="rejected:400", dispatch_id=None),
        }
        return outcomes[state]


def interrupted(begin: Begin[PlannerWork], meanwhile: Callable[[], object]) -> Begin[PlannerWork]:
    """Somebody else commits something, once, after the planner's reading and before its writing."""
    todo = [meanwhile]

    @contextmanager
    def opened() -> Iterator[PlannerWork]:
        with begin() as work:
            append = work.append

            def later(groups: Sequence[Group], origin: Origin, now: datetime) -> Appended:
                while todo:
                    todo.pop()()
                return append(groups, origin, now)

            work.append = later  # type: ignore[method-assign]
            yield work

    return opened


def ada(scene: Scene, registered_at: datetime | None = None, **facts: Any) -> Life:
    """Born on May 15, and registered on the eve of her birthday of 2027."""
    return Life(scene, registered_at or EVE, **{"birthday": "1990-05-15", **facts})


def utc(text: str) -> datetime:
    """An instant written as "2027-05-14 12:00"."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


EVE: Final = utc("2027-05-14 12:00")
LATER: Final = utc("2027-05-14 12:01")
BIRTHDAY: Final = date(2027, 5, 15)
NEXT_DAY: Final = date(2027, 5, 16)
