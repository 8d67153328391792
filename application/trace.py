"""Trace: what is the whole story behind an ID, in the order of time, over the three logs?"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol
from uuid import UUID

from msgspec import Struct

from application.plan_messages import FACTS
from application.ports import BrokenStreams, EventStore, Log, Recorded
from domain.errors import MonthArchived, UserErasedError
from domain.event import Event
from domain.scheduled_message import MessageScheduled

Kind = Literal["user", "message", "dispatch", "request", "nothing"]
MOST_STREAMS: Final = 200
"""Of each log; more are counted, not told."""
BEFORE: Final = timedelta(minutes=1)
AFTER: Final = timedelta(minutes=10)
"""An ID made by another machine's clock, and a request that took its time."""
NO_TIME_MS: Final = 1 << 47
"""In the year 6429: whatever an ID tells from there on, nobody made it then."""


class Told(Struct, frozen=True):
    """An event, and in which log it stands."""

    log: Log
    fact: Recorded[Event]


class Searched(Struct, frozen=True, kw_only=True):
    """What was found in a stretch of a log, and from when to when that reached."""

    log: Log
    stream_ids: Sequence[UUID]
    events: int
    since: datetime | None
    until: datetime | None


class Story(Struct, frozen=True, kw_only=True):
    """`searched` is what was looked through for a request's ID; `unreadable` what is out of reach, and what helps."""

    id: str
    kind: Kind
    events: list[Told]
    unreadable: list[str]
    left_out: int
    searched: list[Searched]


class Stories(Protocol):
    """What finds the streams that a story is told in."""

    def called_at(self, correlation_id: str) -> list[datetime]:
        """When callers brought this ID of their own."""

    def begun_by(
        self, correlation_id: str, log: Log, since: datetime | None, at: datetime | None, until: datetime | None
    ) -> Searched:
        """Streams with an event of this ID recorded in between, so many events around `at` at most; without it the last ones."""

    def messages_of(self, user_id: UUID, most: int) -> list[UUID]:
        """The latest messages of a user."""


def trace(wanted: str, store: EventStore, stories: Stories, since: datetime | None = None) -> Story:
    """The story of a user (by UUID or external ID), a message, a dispatch, or a request (by its correlation ID)."""
    telling = _Telling(store, stories)
    kind, searched = telling.told_of(wanted), []
    if kind == "nothing":
        searched = list(_found(wanted, stories, since))
        kind = "request" if telling.begun_by(wanted, searched) else "nothing"
    return Story(
        id=wanted,
        kind=kind,
        events=telling.in_order(),
        unreadable=telling.unreadable,
        left_out=telling.left_out,
        searched=searched,
    )


def made_at(correlation_id: str) -> datetime | None:
    """When an ID was made, if it tells (UUIDv7, RFC 9562, 5.7)."""
    known = _uuid(correlation_id)
    if known is None or known.version != 7 or (milliseconds := known.int >> 80) >= NO_TIME_MS:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _found(correlation_id: str, stories: Stories, since: datetime | None) -> Iterable[Searched]:
    """Commands are about users and messages: what comes of them is found from there."""
    called: Sequence[datetime | None] = [since] if since else stories.called_at(correlation_id) or [made_at(correlation_id)]
    for at in called:
        for log in ("users", "messages"):
            yield stories.begun_by(correlation_id, log, at and at - BEFORE, at, None if since else at and at + AFTER)


class _Telling:
    """Gathers streams, each read once and told as far as it belongs to the story."""

    def __init__(self, store: EventStore, stories: Stories) -> None:
        self._store, self._stories = store, stories
        self._events: dict[tuple[Log, int], Told] = {}
        self.unreadable: list[str] = []
        self.left_out = 0

    def in_order(self) -> list[Told]:
        order: Mapping[Log, int] = {"users": 0, "messages": 1, "dispatches": 2}
        return sorted(self._events.values(), key=lambda told: (told.fact.at, order[told.log], told.fact.position))

    def told_of(self, wanted: str) -> Kind:
        """Whose ID it is, and their story told; "nothing" for one that is a request's, or nobody's."""
        known = _uuid(wanted)
        owner = known or self._owner(wanted)
        if owner and (person := self._read("users", owner)):
            self._tell("users", person)
            self._tell_messages(self._messages_of(owner))
            return "user"
        if known and (message := self._read("messages", known)):
            self._tell_messages([message])
            self._tell_causes(message)
            return "message"
        if known and (batch := self._read("dispatches", known)):
            self._tell("dispatches", batch)
            self._tell_members(known, batch)
            return "dispatch"
        return "nothing"

    def begun_by(self, correlation_id: str, searched: Iterable[Searched]) -> bool:
        """Tell what a request brought about; whether it did anything."""
        ids: dict[Log, list[UUID]] = {"users": [], "messages": []}
        for found in searched:
            ids[found.log] = list(dict.fromkeys([*ids[found.log], *found.stream_ids]))
        messages = {each: self._read("messages", each) for each in self._some(ids["messages"])}
        for user_id in self._some(ids["users"]):
            person = self._read("users", user_id)
            self._tell("users", [fact for fact in person if fact.origin.correlation_id == correlation_id])
            for message in self._messages_of(user_id):
                if _belongs(message, person, correlation_id):
                    messages[message[0].stream_id] = message
        self._tell_messages([message for message in messages.values() if message])
        return bool(self._events)

    def _owner(self, external_id: str) -> UUID | None:
        try:
            return self._store.user_of(external_id)
        except UserErasedError:
            return None  # nothing says any more who it was

    def _messages_of(self, user_id: UUID) -> list[list[Recorded[Event]]]:
        found = self._some(self._stories.messages_of(user_id, MOST_STREAMS + 1))
        return [message for each in found if (message := self._read("messages", each))]

    def _tell_messages(self, messages: Iterable[list[Recorded[Event]]]) -> None:
        """Each with what its dispatches say of it."""
        members: dict[UUID, set[UUID]] = {}
        for message in messages:
            self._tell("messages", message)
            for fact in message:
                if (dispatch_id := getattr(fact.event, "dispatch_id", None)) is not None:
                    members.setdefault(dispatch_id, set()).add(fact.stream_id)
        for dispatch_id in self._some(list(members)):
            batch = self._read("dispatches", dispatch_id)
            self._tell(
                "dispatches", [fact for fact in batch if getattr(fact.event, "message_id", None) in {None, *members[dispatch_id]}]
            )

    def _tell_causes(self, message: list[Recorded[Event]]) -> None:
        """What was said of the person that had the message planned, moved or called off."""
        first = message[0].event
        if isinstance(first, MessageScheduled):
            person = self._read("users", first.user_id)
            asked = {fact.origin.causation_id for fact in message}
            planned_from = _planned_from(message, person)
            self._tell("users", [fact for fact in person if f"users:{fact.position}" in asked or fact is planned_from])

    def _tell_members(self, dispatch_id: UUID, batch: list[Recorded[Event]]) -> None:
        for member in self._some(getattr(batch[0].event, "message_ids", ())):
            about = [fact for fact in self._read("messages", member) if getattr(fact.event, "dispatch_id", None) == dispatch_id]
            self._tell("messages", about)

    def _tell(self, log: Log, facts: Iterable[Recorded[Event]]) -> None:
        self._events.update({(log, fact.position): Told(log, fact) for fact in facts})

    def _some(self, ids: Sequence[UUID]) -> Sequence[UUID]:
        self.left_out += max(0, len(ids) - MOST_STREAMS)
        return ids[:MOST_STREAMS]

    def _read(self, log: Log, stream_id: UUID) -> list[Recorded[Event]]:
        try:
            return self._store.history(log, stream_id)
        except BrokenStreams as broken:
            self.unreadable.append(f"{broken} can't be read: ninebell parked list says what was left alone, and why")
        except MonthArchived as archived:
            self.unreadable.append(str(archived))
        return []


def _belongs(message: Sequence[Recorded[Event]], person: Sequence[Recorded[Event]], correlation_id: str) -> bool:
    """Also what the sweep planned, maybe months later, from what the request had left the person's facts at."""
    planned_from = _planned_from(message, person)
    begun = planned_from is not None and planned_from.origin.correlation_id == correlation_id
    return begun or any(fact.origin.correlation_id == correlation_id for fact in message)


def _planned_from(message: Sequence[Recorded[Event]], person: Sequence[Recorded[Event]]) -> Recorded[Event] | None:
    """The last fact about the person that the planner heeds, before it planned the message."""
    known = [fact for fact in person if fact.at <= message[0].at and type(fact.event) in FACTS]
    return known[-1] if known else None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
