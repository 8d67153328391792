"""Which row of the dispatcher's own says that a message is to be sent, and when?"""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final
from uuid import UUID

from application.channel_plan import USUAL_PRIORITY, ChannelPlan
from application.dispatcher_ports import DispatcherWork, DueMessage, Route
from application.ports import Stream
from application.readable import kind_of, readable, storable
from domain.delivery_policy import send_before
from domain.event import Event
from domain.message_type import MessageTypes
from domain.region import region_of
from domain.scheduled_message import (
    DeliveryInDoubt,
    DoubtResolved,
    FailedOver,
    MessageAbandoned,
    MessageCancelled,
    MessageExpired,
    MessageFailed,
    MessageRedriven,
    MessageReinstated,
    MessageReleased,
    MessageRescheduled,
    MessageScheduled,
    ScheduledMessage,
)

ENDED: Final = (MessageCancelled, MessageExpired, MessageAbandoned, DeliveryInDoubt)
"""After these nothing is due, whatever came before."""

WHATEVER_VERSION: Final = 2**62

STEERING: Final[frozenset[type[Event]]] = frozenset(
    {
        *ENDED,
        MessageScheduled,
        MessageRescheduled,
        MessageReinstated,
        MessageRedriven,
        MessageFailed,
        MessageReleased,
        DoubtResolved,
        FailedOver,
    }
)
"""What the dispatcher reads of the messages log: not its own SendRequested, nor what a late result writes, as MessageSent, the
most frequent. A message that waited for a retry is then newer than its row: so its request loses, and its stream is asked."""


class DueMessages:
    """Makes the rows, by the types' settings and the channels there are."""

    def __init__(self, types: MessageTypes, channels: ChannelPlan) -> None:
        self._types = types
        self._channels = channels
        self._priorities = types.priorities
        self.priorities = tuple(sorted({*self._priorities.values(), USUAL_PRIORITY}))
        self.types = tuple(types)

    def routes(self) -> list[Route]:
        return [Route(name, self._channels.channel_of(name), priority) for name, priority in self._priorities.items()]

    def usual_route(self) -> Route:
        return Route("", self._channels.channel_of(""), USUAL_PRIORITY)

    def of_scheduled(self, message_id: UUID, version: int, event: MessageScheduled, story: str) -> DueMessage:
        """The event says everything, so that a million of them need no stream. What it raises concerns this message alone."""
        storable(event.message_type, event.timezone)
        return DueMessage(
            message_id=message_id,
            version=version,
            message_type=event.message_type,
            timezone=event.timezone,
            due_at=event.due_at,
            region=region_of(event.timezone),
            channel=self._channels.channel_of(event.message_type),
            priority=self._priorities.get(event.message_type, USUAL_PRIORITY),
            ready_at=event.due_at,
            send_before=self._send_before(event.message_type, event.occasion, event.timezone, event.due_at),
            attempt=1,
            story=_of_others(story, message_id),
        )

    def of_stream(self, message_id: UUID, stream: Stream[ScheduledMessage]) -> DueMessage | None:
        """None when it is not waiting to be sent, or must wait for a person to clear a doubt.

        What was given back untried keeps its place: it is ready from its due instant on, before all that fell due after it.
        What it raises concerns this message alone.
        """
        message = stream.state
        if message is None or message.status not in ("scheduled", "retrying"):
            return None
        storable(message.message_type, message.timezone)
        channel = self._channels.channel_of(message.message_type, message.channel)
        if message.waits_for_a_person and not self._channels.clears_doubt(channel, message.message_type, self._types):
            return None
        ready_at = message.due_at if message.status == "scheduled" else message.retry_at or message.due_at
        usual = self._send_before(message.message_type, message.occasion, message.timezone, message.due_at)
        return DueMessage(
            message_id=message_id,
            version=stream.version,
            message_type=message.message_type,
            timezone=message.timezone,
            due_at=message.due_at,
            region=region_of(message.timezone),
            channel=channel,
            priority=self._priorities.get(message.message_type, USUAL_PRIORITY),
            ready_at=ready_at,
            send_before=message.send_before or usual,
            attempt=message.retry_count + 1,
            story=_of_others(stream.story, message_id),
        )

    def look_up(self, work: DispatcherWork, message_ids: Collection[UUID]) -> list[DueMessage]:
        """Bring the rows in line with the streams themselves, where an event alone does not tell; those that are due.

        What can't be read or reckoned is parked, and not due.
        """
        if not message_ids:
            return []
        streams = readable(work.load_messages, message_ids)
        due = []
        for message_id, stream in streams.items():
            try:
                row = self.of_stream(message_id, stream)
            except Exception as error:  # noqa: BLE001  pure code on one message
                work.park("messages", message_id, kind_of(error))
                continue
            due += [row] if row else []
        others = set(message_ids) - {row.message_id for row in due}
        work.drop_due({each: streams[each].version if each in streams else WHATEVER_VERSION for each in others})
        work.put_due(due)
        return due

    def too_late(self, work: DispatcherWork, late: Sequence[DueMessage], now: datetime) -> list[DueMessage]:
        """Of those whose rows say so, the ones that are by today's settings, too; the others' rows say so no more.

        For a type that is gone there are no settings, and its rows stay what they are.
        """
        found = self.look_up(work, [row.message_id for row in late if row.message_type in self._types])
        return [row for row in found if row.send_before <= now] + [row for row in late if row.message_type not in self._types]

    def _send_before(self, message_type: str, occasion: date, timezone: str, due_at: datetime) -> datetime:
        kind = self._types.get(message_type)
        return _too_late_from(occasion, timezone, due_at, kind.late_window if kind else None)


def _of_others(story: str, message_id: UUID) -> str:
    """Most messages begin a story of their own, for which a herd's rows have no room to spare."""
    return "" if story == str(message_id) else story


@lru_cache(maxsize=65_536)
def _too_late_from(occasion: date, timezone: str, due_at: datetime, late_window: timedelta | None) -> datetime:
    # a herd shares its date, zone and instant
    return send_before(occasion, timezone, due_at, late_window)
