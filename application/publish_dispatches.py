"""Which dispatches are handed to the broker, and which once more? The log is the outbox."""

import asyncio
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from application.delivery_ports import Bus, BusUnavailable, SendCommand
from application.dispatcher_ports import DispatcherWork
from application.pacing import MOST_IN_ALL
from application.ports import Begin
from application.readable import readable
from domain.dispatch import DispatchRequested
from domain.region import REGIONS

PAGE: Final = 500  # events, or dispatches published again, at a time
FIRST_BACK_OFF_SECONDS: Final = 0.1
LONGEST_BACK_OFF_SECONDS: Final = 5.0
END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)


class Publisher:
    """A follower of the dispatches log that publishes each request; nothing of the store is held while the broker is awaited.

    Whatever fails, a dispatch is published again: at-least-once, made harmless by the claim.
    """

    def __init__(self, begin: Begin[DispatcherWork], bus: Bus, *, bus_starts_empty: bool) -> None:
        """`bus_starts_empty`: a bus within this process forgot everything, so at first all that is unstarted is published."""
        self._begin = begin
        self._bus = bus
        self._all_again = bus_starts_empty
        self._failures = 0
        self._position = 0

    @property
    def back_off_seconds(self) -> float:
        """How long to leave the bus alone after a step that failed; 0 after one that did not."""
        doubled = FIRST_BACK_OFF_SECONDS * 2 ** min(self._failures - 1, 10)
        return min(LONGEST_BACK_OFF_SECONDS, doubled) if self._failures else 0.0

    async def step(self, now: datetime) -> bool:
        """Publish a stretch of the log, and what has waited too long; whether there may be more at once. Raises Deposed."""
        stretch = await asyncio.to_thread(self._read, now)
        if stretch.commands:
            try:
                await self._bus.publish(stretch.commands)
            except BusUnavailable:
                self._failures += 1
                return False
        self._failures = 0
        if stretch.commands or stretch.position != self._position:
            await asyncio.to_thread(self._record, stretch, now)
        return stretch.more

    def _read(self, now: datetime) -> "_Stretch":
        with self._begin() as work:
            followed = work.follow("dispatches", PAGE, frozenset({DispatchRequested}))
            found = {
                recorded.stream_id: SendCommand(recorded.stream_id, event.channel, event.region, event.message_ids)
                for recorded in followed.events
                if isinstance(event := recorded.event, DispatchRequested)
            }
            waiting = work.unstarted(END_OF_TIME, MOST_IN_ALL) if self._all_again else work.unstarted(now, PAGE)
            again = readable(work.load_dispatches, [dispatch_id for dispatch_id in waiting if dispatch_id not in found])
            # Parked, until an operator asks: no more in flight, where it would fill room, or pass for a trial, for good.
            work.finished([dispatch_id for dispatch_id in waiting if dispatch_id not in found and dispatch_id not in again])
            for dispatch_id, stream in again.items():
                if stream.state and stream.state.status == "requested":
                    state = stream.state
                    found[dispatch_id] = SendCommand(dispatch_id, state.channel, state.region, state.members)
            commands = [command for command in found.values() if _has_a_queue(command, work)]
        return _Stretch(tuple(commands), followed.position, followed.more)

    def _record(self, stretch: "_Stretch", now: datetime) -> None:
        with self._begin() as work:
            work.published([command.dispatch_id for command in stretch.commands], now)
            work.followed("dispatches", stretch.position)
        self._position = stretch.position
        self._all_again = False


class _Stretch(Struct, frozen=True):
    """What to publish, and how far the log is published with it."""

    commands: tuple[SendCommand, ...]
    position: int
    more: bool


def _has_a_queue(command: SendCommand, work: DispatcherWork) -> bool:
    """To a region that is none, nothing is ever delivered, and one such command would fail the whole stretch."""
    if command.region in REGIONS:
        return True
    work.park("dispatches", command.dispatch_id, "region")
    work.finished([command.dispatch_id])
    return False
