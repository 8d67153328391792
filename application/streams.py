"""How will the streams stand that a batch of decisions reads, once what was decided so far has landed?"""

from collections.abc import Iterable, Mapping
from uuid import UUID

from application.ports import NewEvents, Stream
from domain import dispatch as dispatches
from domain.dispatch import Dispatch
from domain.errors import BeingSent
from domain.scheduled_message import ScheduledMessage, ScheduledMessageEvent, evolve


class Streams:
    """`broken` are those of the messages that could not be read."""

    def __init__(
        self,
        messages: Mapping[UUID, Stream[ScheduledMessage]],
        dispatches: Mapping[UUID, Stream[Dispatch]],
        broken: Iterable[UUID] = (),
    ) -> None:
        self._messages, self._dispatches, self._broken = dict(messages), dict(dispatches), frozenset(broken)

    def message(self, message_id: UUID) -> ScheduledMessage | None:
        stream = self._messages.get(message_id)
        return stream.state if stream else None

    def can_tell(self, message_ids: Iterable[UUID]) -> bool:
        """Whether every one of these could be read."""
        return self._broken.isdisjoint(message_ids)

    def version(self, message_id: UUID) -> int:
        stream = self._messages.get(message_id)
        return stream.version if stream else 0

    def story(self, message_id: UUID) -> str:
        """The correlation ID of its last event."""
        stream = self._messages.get(message_id)
        return stream.story if stream else ""

    def add(self, message_id: UUID, events: list[ScheduledMessageEvent]) -> None:
        state = self.message(message_id)
        for event in events:
            state = evolve(state, event)
        self._messages[message_id] = Stream(state, self.version(message_id) + len(events), self.story(message_id))

    def withdraw(self, dispatch_id: UUID, message_id: UUID) -> NewEvents:
        """Take a member back. Raises BeingSent, also where nobody can tell."""
        stream = self._dispatches.get(dispatch_id)
        if stream is None:
            raise BeingSent
        events = dispatches.withdraw(stream.state, message_id)
        state = stream.state
        for event in events:
            state = dispatches.evolve(state, event)
        self._dispatches[dispatch_id] = Stream(state, stream.version + len(events))
        return NewEvents("dispatches", dispatch_id, stream.version, tuple(events))
