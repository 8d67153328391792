"""How will the streams stand that a batch of decisions reads, once what was decided so far has landed?"""

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from application.ports import NewEvents, Stream
from domain import dispatch as dispatches
from domain.dispatch import Dispatch
from domain.errors import BeingSent
from domain.scheduled_message import ScheduledMessage, ScheduledMessageEvent, evolve

NOTHING: Final = Stream[ScheduledMessage](None, 0)


class Streams:
    """`broken` are those of the messages that could not be read."""

    def __init__(
        self,
        messages: Mapping[UUID, Stream[ScheduledMessage]],
        dispatches: Mapping[UUID, Stream[Dispatch]],
        broken: Iterable[UUID] = (),
    ) -> None:
        self._messages, self._dispatches, self.broken = dict(messages), dict(dispatches), frozenset(broken)

    def stream(self, message_id: UUID) -> Stream[ScheduledMessage]:
        return self._messages.get(message_id) or NOTHING

    def message(self, message_id: UUID) -> ScheduledMessage | None:
        return self.stream(message_id).state

    def can_tell(self, message_ids: Iterable[UUID]) -> bool:
        """Whether every one of these could be read."""
        return self.broken.isdisjoint(message_ids)

    def version(self, message_id: UUID) -> int:
        return self.stream(message_id).version

    def add(self, message_id: UUID, events: list[ScheduledMessageEvent]) -> None:
        before = self.stream(message_id)
        state = before.state
        for event in events:
            state = evolve(state, event)
        self._messages[message_id] = Stream(state, before.version + len(events), before.story)

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
