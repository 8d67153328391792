"""A long past that nobody lived through: the events that months of messages leave, copied into the log in their order."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from itertools import chain, islice
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

from msgspec import Struct

from application.ports import Origin
from domain.event import Event
from domain.message_id import message_id
from domain.scheduled_message import (
    DeliveryInDoubt,
    MessageAbandoned,
    MessageCancelled,
    MessageExpired,
    MessageFailed,
    MessageScheduled,
    MessageSent,
    SendRequested,
)
from domain.send_time import due_instant
from domain.timezones import TZDATA_VERSION
from domain.user import Details
from infrastructure.event_mapper import EventMapper
from infrastructure.partitions import ensure_partitions
from ops.wiring import Parts

# Roughly how people are spread: the zones and their weights.
ZONES: Final = {
    "Asia/Shanghai": 18,
    "Asia/Kolkata": 17,
    "America/New_York": 8,
    "Europe/Berlin": 7,
    "Asia/Jakarta": 6,
    "Africa/Lagos": 6,
    "America/Sao_Paulo": 6,
    "Europe/London": 5,
    "Asia/Tokyo": 5,
    "America/Los_Angeles": 4,
    "America/Mexico_City": 4,
    "Europe/Istanbul": 3,
    "Africa/Cairo": 3,
    "Asia/Karachi": 3,
    "Asia/Kathmandu": 2,
    "Australia/Sydney": 1,
    "Pacific/Auckland": 1,
    "Pacific/Honolulu": 1,
}
TYPES: Final = ("BIRTHDAY", "ANNIVERSARY", "HOLIDAY")
AHEAD_DAYS: Final = 2  # a message is planned so long before its date
NINE: Final = time(9)
A_SECOND: Final = timedelta(seconds=1)
A_MINUTE: Final = timedelta(minutes=1)
BATCH: Final = 100
A_COMMIT: Final = 10_000

Progress = Callable[[int], None]


class Person(NamedTuple):
    """Whom the messages are for."""

    user_id: UUID
    timezone: str


class Past(Struct, frozen=True, kw_only=True):
    """What is to have been: the same past from the same figures."""

    people: int
    messages: int
    first: date
    days: int
    seed: int = 1

    @property
    def last(self) -> date:
        return self.first + timedelta(days=self.days - 1)


class _Told(NamedTuple):
    """An event, when and by whom, of which stream."""

    at: datetime
    stream_id: UUID
    version: int
    event: Event
    origin: Origin


# How a message's life goes, and how often in a thousand.
FATES: Final = {"sent": 930, "retried": 40, "cancelled": 15, "expired": 8, "abandoned": 5, "in_doubt": 2}
PLANNER: Final = Origin("planner", causation_id="sweep")


def people_of(past: Past) -> Iterator[Details]:
    """The people as they register, each with the facts that their messages take."""
    chance = Random(past.seed)
    for index, timezone in enumerate(chance.choices(list(ZONES), list(ZONES.values()), k=past.people)):
        yield Details(
            external_id=f"person-{index}",
            first_name=f"Given{index}",
            last_name=f"Family{index}",
            email=f"person{index}@example.org",
            timezone=timezone,
            birthday=f"{1940 + index % 70}-{1 + index % 12:02}-{1 + index % 28:02}",
            message_types=TYPES[:1],
        )


def live_through(parts: Parts, past: Past, people: Sequence[Person], done: Progress) -> int:
    """Write the past of these people's messages; returns how many events that were. The log of dispatches stays empty."""
    mapper = EventMapper()
    with parts.database.connect() as connection:
        ensure_partitions(connection, past.first, past.last)
    copied = 0
    with parts.database.direct() as connection, connection.cursor() as cursor:
        connection.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        told = _in_order(past, people)
        while rows := [_row(mapper, one) for one in islice(told, A_COMMIT)]:
            with cursor.copy("COPY messages (originator_id, originator_version, topic, state, recorded_at) FROM STDIN") as copy:
                copy.write("".join(rows))
            copied += len(rows)
            done(copied)
        connection.execute("ANALYZE messages")
    return copied


def _in_order(past: Past, people: Sequence[Person]) -> Iterator[_Told]:
    """Day by day: what is planned for the day after tomorrow, then what becomes of what is due."""
    chance = Random(past.seed)
    waiting: deque[list[list[_Told]]] = deque()
    for number in range(past.days + AHEAD_DAYS):
        a_day = _shares(past, number) if number < past.days else 0
        lives = _lives(chance, people, past.first + timedelta(days=number), a_day)
        yield from (life[0] for life in lives)
        waiting.append([life[1:] for life in lives])
        if len(waiting) > AHEAD_DAYS:
            yield from sorted(chain.from_iterable(waiting.popleft()))


def _shares(past: Past, number: int) -> int:
    """The messages are spread evenly over the days."""
    return past.messages * (number + 1) // past.days - past.messages * number // past.days


def _lives(chance: Random, people: Sequence[Person], day: date, number: int) -> list[list[_Told]]:
    """So many people's messages of this day; each person and type once at most."""
    chosen = chance.sample(range(len(people) * len(TYPES)), number)
    fates = chance.choices(list(FATES), list(FATES.values()), k=number)
    dispatch_id, lives = UUID(int=0), []
    for index, (place, fate) in enumerate(zip(chosen, fates, strict=True)):
        if index % BATCH == 0:
            dispatch_id = UUID(int=chance.getrandbits(128), version=4)
        person = people[place % len(people)]
        lives.append(_life(person, TYPES[place // len(people)], day, fate, dispatch_id))
    return lives


def _life(person: Person, message_type: str, day: date, fate: str, dispatch_id: UUID) -> list[_Told]:
    due_at = due_instant(day, NINE, person.timezone).due_at
    said: dict[str, Any] = {"message_type": message_type, "timezone": person.timezone, "due_at": due_at}
    stream_id = message_id(person.user_id, message_type, day)
    scheduled = MessageScheduled(
        **said, user_id=person.user_id, occasion=day, rule="plain", tzdata=TZDATA_VERSION, type_version=1
    )
    planned_at = due_at - timedelta(days=AHEAD_DAYS)
    story = [(planned_at, scheduled, PLANNER), *_fate(fate, said, due_at, dispatch_id)]
    return [_Told(at, stream_id, version, event, by) for version, (at, event, by) in enumerate(story, start=1)]


def _fate(fate: str, said: dict[str, Any], due_at: datetime, dispatch_id: UUID) -> list[tuple[datetime, Event, Origin]]:
    by_worker = Origin("worker", correlation_id=str(dispatch_id), causation_id=f"dispatch:{dispatch_id}")
    by_dispatcher = Origin("dispatcher")
    asked = (due_at, SendRequested(**said, attempt=1, channel="sink", dispatch_id=dispatch_id), by_dispatcher)
    sent_at = due_at + A_SECOND
    match fate:
        case "cancelled":
            return [(due_at, MessageCancelled(**said, reason="suppressed"), PLANNER)]
        case "expired":
            return [(due_at, MessageExpired(**said, reason="late_window"), PLANNER)]
        case "abandoned":
            refused = MessageAbandoned(**said, reason="rejected", error="rejected:400", dispatch_id=dispatch_id)
            return [asked, (sent_at, refused, by_worker)]
        case "in_doubt":
            doubt = DeliveryInDoubt(**said, reason="timeout", channel="sink", dispatch_id=dispatch_id)
            return [asked, (sent_at, doubt, by_worker)]
        case "retried":
            again_at = sent_at + A_MINUTE
            failed = MessageFailed(**said, error="not_accepted:500", retry_count=1, retry_at=again_at, dispatch_id=dispatch_id)
            again = SendRequested(**said, attempt=2, channel="sink", dispatch_id=dispatch_id)
            sent = _sent(said, again_at + A_SECOND, dispatch_id)
            return [asked, (sent_at, failed, by_worker), (again_at, again, by_dispatcher), (sent.sent_at, sent, by_worker)]
    return [asked, (sent_at, _sent(said, sent_at, dispatch_id), by_worker)]


def _sent(said: dict[str, Any], at: datetime, dispatch_id: UUID) -> MessageSent:
    return MessageSent(**said, sent_at=at, response_code=200, provider_id="p", template_version=0, dispatch_id=dispatch_id)


def _row(mapper: EventMapper, told: _Told) -> str:
    """A line of COPY's text format: a bytea's backslash is escaped there once more."""
    topic, state = mapper.encode(told.event, told.origin, None)
    return f"{told.stream_id}\t{told.version}\t{topic}\t\\\\x{state.hex()}\t{told.at.isoformat()}\n"
