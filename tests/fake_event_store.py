"""What would the event store answer if it were nothing but memory?"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import reduce
from typing import Any, Literal
from uuid import UUID

from msgspec.structs import replace

from application.ports import (
    LOGS,
    Appended,
    Broken,
    BrokenStreams,
    Group,
    Log,
    NewEvents,
    Origin,
    Position,
    Recorded,
    Stream,
    origin_of,
)
from domain import dispatch, scheduled_message, user
from domain.dispatch import Dispatch
from domain.errors import UserErasedError
from domain.event import Event
from domain.scheduled_message import ScheduledMessage
from domain.user import PERSONAL, User, UserErased, UserRegistered


class FakeEventStore:
    """EventStore. Callers may be threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._counts: dict[Log, int] = dict.fromkeys(LOGS, 0)
        self._streams: defaultdict[tuple[Log, UUID], list[Recorded[Event]]] = defaultdict(list)
        self._external_ids: dict[str, UUID | Literal["erased"]] = {}
        self.broken: dict[tuple[Log, UUID], str] = {}  # streams that nobody can read, and why
        self.left_alone: dict[tuple[str, Log, UUID], str] = {}  # what a follower leaves alone, and why

    def append(self, groups: Sequence[Group], origin: Origin, now: datetime) -> Appended:
        with self._lock:
            lost = frozenset(
                index for index, group in enumerate(groups) if not self._appended(group, group.origin or origin, now)
            )
            return Appended(lost, self.head())

    def _appended(self, group: Group, origin: Origin, now: datetime) -> bool:
        if self._stands(group):
            return True
        if any(len(self._streams[new.log, new.stream_id]) != new.version for new in group.appends):
            return False
        registered = [event.external_id for new in group.appends for event in new.events if isinstance(event, UserRegistered)]
        owners = (self._external_ids.get(external_id) for external_id in registered if external_id is not None)
        if any(owner is not None and not (group.readmit and owner == "erased") for owner in owners):
            return False
        for new in group.appends:
            for event in new.events:
                self._write(new, event, origin, now)
        return True

    def _stands(self, group: Group) -> bool:
        """Whether these very events stand there already: an append whose acknowledgement was lost."""
        news = [new for new in group.appends if new.events]
        return bool(news) and all(self._written_as(new) == list(new.events) for new in news)

    def _written_as(self, new: NewEvents) -> list[Event]:
        stream = self._streams[new.log, new.stream_id]
        return [recorded.event for recorded in stream[new.version : new.version + len(new.events)]]

    def _write(self, new: NewEvents, event: Event, origin: Origin, now: datetime) -> None:
        stream = self._streams[new.log, new.stream_id]
        self._counts[new.log] += 1
        stream.append(Recorded(self._counts[new.log], new.stream_id, len(stream) + 1, now, event, origin_of(new, origin)))
        if isinstance(event, UserRegistered) and event.external_id is not None:
            self._external_ids[event.external_id] = new.stream_id
        if isinstance(event, UserErased):
            erased = {external_id for external_id, owner in self._external_ids.items() if owner == new.stream_id}
            self._external_ids |= dict.fromkeys(erased, "erased")

    def load_users(self, ids: Iterable[UUID]) -> dict[UUID, Stream[User]]:
        return self._load("users", user.evolve, ids)

    def load_messages(self, ids: Iterable[UUID]) -> dict[UUID, Stream[ScheduledMessage]]:
        return self._load("messages", scheduled_message.evolve, ids)

    def load_dispatches(self, ids: Iterable[UUID]) -> dict[UUID, Stream[Dispatch]]:
        return self._load("dispatches", dispatch.evolve, ids)

    def _load(self, log: Log, evolve: Callable[[Any, Any], Any], ids: Iterable[UUID]) -> dict[UUID, Stream[Any]]:
        ids = list(ids)
        if broken := [Broken(id_, 1, error) for id_ in ids if (error := self.broken.get((log, id_)))]:
            raise BrokenStreams(log, broken)
        with self._lock:
            return {id_: folded(evolve, self.history(log, id_)) for id_ in ids}

    def user_of(self, external_id: str) -> UUID | None:
        owner = self._external_ids.get(external_id)
        if owner == "erased":
            raise UserErasedError
        return owner

    def users_of(self, external_ids: Sequence[str]) -> dict[str, UUID | Literal["erased"]]:
        return {external_id: self._external_ids[external_id] for external_id in external_ids if external_id in self._external_ids}

    def history(self, log: Log, stream_id: UUID) -> list[Recorded[Event]]:
        with self._lock:
            recorded = list(self._streams.get((log, stream_id), ()))
        erased = any(isinstance(one.event, UserErased) for one in recorded)
        return [replace(one, event=_redacted(one.event)) for one in recorded] if erased else recorded

    def park(self, follower: str, log: Log, broken: Sequence[Broken]) -> None:
        for one in broken:
            self.left_alone.setdefault((follower, log, one.stream_id), one.error)

    def head(self) -> Position:
        with self._lock:
            return Position(**self._counts)


def folded(evolve: Callable[[Any, Any], Any], history: Sequence[Recorded[Event]]) -> Stream[Any]:
    """A stream as its history says."""
    state = reduce(evolve, (recorded.event for recorded in history), None)
    return Stream(state, len(history), history[-1].origin.correlation_id if history else "")


def _redacted(event: Event) -> Event:
    personal = {field: PERSONAL[field] for field in event.__struct_fields__ if field in PERSONAL}
    return replace(event, **personal)
