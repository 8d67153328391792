"""How do send commands reach the workers when everything runs in one process?"""

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Self

from application.delivery_ports import BusUnavailable, SendCommand
from domain.region import REGIONS


class InProcessBus:
    """A Bus in memory: what it holds goes with the process, and the dispatcher publishes it again at the next start.

    Publishers and consumers may live on different threads, each on an event loop of its own: the queues are guarded by a
    lock, and a consumer is woken on the loop it waits on. Memory is bounded by the dispatcher's pacing, not here.
    """

    def __init__(self) -> None:
        self._queues: Final = Queues()

    async def connect(self, wait_seconds: float) -> None:
        """There is nothing to wait for."""

    @property
    def connected(self) -> bool:
        return not self._queues.closed

    async def publish(self, commands: Sequence[SendCommand]) -> None:
        """Raises BusUnavailable once closed."""
        if self._queues.closed:
            raise BusUnavailable("the bus is closed")
        self._queues.put(commands)

    def consume(self, channel: str, prefetch: int) -> "InProcessConsumer":
        """Deliveries of every region in turn; `prefetch` is split evenly over the regions, at least one each."""
        return InProcessConsumer(self._queues, channel, max(1, prefetch // len(REGIONS)))

    async def depth(self, channel: str) -> int:
        return self._queues.depth(channel)

    async def dead(self) -> int:
        return 0  # nothing is written out, so nothing is unreadable

    async def close(self) -> None:
        """Ends every consumer."""
        self._queues.close()


class InProcessConsumer:
    """An iterator over deliveries. A cancelled `anext` loses nothing; `aclose` gives back what is not acknowledged."""

    def __init__(self, queues: "Queues", channel: str, share: int) -> None:
        self._queues = queues
        self._channel = channel
        self._share = share
        self._unsettled: dict[str, dict[InProcessDelivery, None]] = {region: {} for region in REGIONS}  # in order taken
        self._turn = deque(REGIONS)
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> "InProcessDelivery":
        self._loop = asyncio.get_running_loop()
        self._queues.listen(self)
        await asyncio.sleep(0)  # with something always waiting, nobody else on this loop would get a turn
        while not (self._closed or self._queues.closed):
            self._news.clear()
            if delivery := self._next():
                return delivery
            await self._news.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._closed = True
        self._queues.leave(self)
        left = [delivery.command for deliveries in self._unsettled.values() for delivery in deliveries]
        self._unsettled = {region: {} for region in REGIONS}
        self._queues.put_first(left)
        self._news.set()

    def settle(self, delivery: "InProcessDelivery") -> bool:
        """False if it was settled before, or given back by `aclose`: then it is no longer ours to settle."""
        mine = delivery in self._unsettled[delivery.command.region]
        self._unsettled[delivery.command.region].pop(delivery, None)
        self._news.set()
        return mine

    def put_back(self, delivery: "InProcessDelivery") -> None:
        if self.settle(delivery):
            self._queues.put([delivery.command])

    def wake(self) -> None:
        """From any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # its loop has ended, and it with it
                self._loop.call_soon_threadsafe(self._news.set)

    def _next(self) -> "InProcessDelivery | None":
        for region in tuple(self._turn):
            taken = self._unsettled[region]
            if len(taken) < self._share and (command := self._queues.take(self._channel, region)):
                delivery = InProcessDelivery(command, self)
                taken[delivery] = None
                self._turn.remove(region)
                self._turn.append(region)  # whoever was served goes to the end of the line
                return delivery
        return None


class InProcessDelivery:
    """A Delivery; settling it twice does nothing."""

    def __init__(self, command: SendCommand, consumer: InProcessConsumer) -> None:
        self.command = command
        self._consumer = consumer

    async def acknowledge(self) -> None:
        self._consumer.settle(self)

    async def put_back(self) -> None:
        self._consumer.put_back(self)


class Queues:
    """One queue per channel and region, safe from any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: defaultdict[tuple[str, str], deque[SendCommand]] = defaultdict(deque)
        self._listeners: set[InProcessConsumer] = set()
        self.closed = False

    def listen(self, consumer: InProcessConsumer) -> None:
        with self._guard:
            self._listeners.add(consumer)

    def leave(self, consumer: InProcessConsumer) -> None:
        with self._guard:
            self._listeners.discard(consumer)

    def put(self, commands: Sequence[SendCommand]) -> None:
        with self._guard:
            for command in commands:
                self._waiting[command.channel, command.region].append(command)
        self._wake()

    def put_first(self, commands: Sequence[SendCommand]) -> None:
        """Ahead of all others, in this order."""
        with self._guard:
            for command in reversed(commands):
                self._waiting[command.channel, command.region].appendleft(command)
        self._wake()

    def take(self, channel: str, region: str) -> SendCommand | None:
        with self._guard:
            waiting = self._waiting[channel, region]
            return waiting.popleft() if waiting else None

    def depth(self, channel: str) -> int:
        with self._guard:
            return sum(len(self._waiting[channel, region]) for region in REGIONS)

    def close(self) -> None:
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        with self._guard:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener.wake()
