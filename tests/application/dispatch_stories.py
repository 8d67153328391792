"""Birthday messages by the hundred, and a dispatcher that hands them to the workers."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any, Final
from uuid import UUID

from application.channel_plan import ChannelPlan, ChannelTraits
from application.dispatch_messages import Dispatcher
from application.ports import Recorded
from domain.dispatch import DispatchRequested
from domain.event import Event
from domain.message_id import message_id
from domain.message_type import MessageTypes
from domain.message_types.birthday import BIRTHDAY
from domain.scheduled_message import MessageScheduled
from tests.fake_dispatcher_work import Memory

OCCASION: Final = date(2027, 5, 15)
DUE: Final = datetime(2027, 5, 15, 8, tzinfo=UTC)
BEFORE: Final = DUE - timedelta(hours=1)
SECOND: Final = timedelta(seconds=1)
TYPES: Final = MessageTypes(BIRTHDAY)
SINK: Final = ChannelTraits(name="sink", idempotent=True, askable=False, concurrency=50)
BLIND: Final = ChannelTraits(name="blind", idempotent=False, askable=False, concurrency=7)  # can't clear a doubt
ASKED: Final = ChannelTraits(name="asked", idempotent=False, askable=True, concurrency=7)


def message(number: int) -> UUID:
    return message_id(UUID(int=number), "BIRTHDAY", OCCASION)


def repeated(timezone: str = "Europe/London", due_at: datetime = DUE) -> dict[str, Any]:
    return {"message_type": "BIRTHDAY", "timezone": timezone, "due_at": due_at}


def scheduled(number: int, timezone: str = "Europe/London", due_at: datetime = DUE) -> MessageScheduled:
    return MessageScheduled(
        **repeated(timezone, due_at),
        user_id=UUID(int=number),
        occasion=OCCASION,
        rule="plain",
        tzdata="2026f",
        type_version=1,
    )


def dispatcher(
    memory: Memory,
    *channels: ChannelTraits,
    types: MessageTypes = TYPES,
    by_type: dict[str, tuple[str, ...]] | None = None,
    epoch: int = 1,
    first_id: int = 1,
) -> Dispatcher:
    ids = count(first_id)
    return Dispatcher(memory.begin(epoch=epoch), types, ChannelPlan(channels or (SINK,), by_type), lambda: UUID(int=next(ids)))


def schedule(memory: Memory, numbers: Sequence[int], timezone: str = "Europe/London", due_at: datetime = DUE) -> None:
    for number in numbers:
        memory.write("messages", message(number), scheduled(number, timezone, due_at), now=BEFORE)


def run(dispatcher: Dispatcher, now: datetime) -> None:
    """Step until there is nothing more to do at once."""
    while dispatcher.step(now, steady=True):
        pass


def events_of(memory: Memory, message_id: UUID) -> list[Event]:
    return [recorded.event for recorded in memory.logs["messages"] if recorded.stream_id == message_id]


def dispatches(memory: Memory) -> list[DispatchRequested]:
    return [event.event for event in requested(memory) if isinstance(event.event, DispatchRequested)]


def requested(memory: Memory) -> list[Recorded[Event]]:
    return [recorded for recorded in memory.logs["dispatches"] if isinstance(recorded.event, DispatchRequested)]
