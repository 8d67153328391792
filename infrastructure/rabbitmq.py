"""How do send commands get to RabbitMQ and safely stay there, whatever becomes of the broker meanwhile?"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractRobustChannel, AbstractRobustConnection, AbstractRobustExchange
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, PublishError

from application.delivery_ports import BusUnavailable, SendCommand
from domain.region import REGIONS
from infrastructure.broker_urls import address, urls_of
from infrastructure.bus_wire import encode
from infrastructure.rabbitmq_connection import ClusterConnection, why_not
from infrastructure.rabbitmq_consumer import RabbitConsumer
from infrastructure.rabbitmq_topology import declare_dead, declare_exchange, declare_queues, routing_key

CONFIRMS_AT_ONCE: Final = 500
ATTEMPT_SECONDS: Final = 10.0
DELETION_SECONDS: Final = 1.0
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 2.0

log = logging.getLogger(__name__)


class RabbitBus:
    """A Bus on RabbitMQ 3.10 or later, one node or a cluster. Belongs to the event loop that `connect` ran on.

    Two connections, because a broker short of memory or disk stops reading from those that publish, and acknowledgements
    must still arrive. Both come back by themselves and declare everything again, so that a wiped broker is soon as before.
    """

    def __init__(self, url: str, *, exchange: str = "ninebell.send", confirm_seconds: float = 10.0) -> None:
        """`url`: one, or those of a cluster with commas between.

        `confirm_seconds`: after how long without a confirmation publishing is given up.
        """
        self._url = url
        self._confirm_seconds: Final = confirm_seconds
        self.exchange: Final = exchange
        self._publishing: ClusterConnection | None = None
        self._consuming: ClusterConnection | None = None
        self._outlet: Outlet | None = None
        self._consumers: set[RabbitConsumer] = set()
        self._trouble = "no answer"

    async def connect(self, wait_seconds: float) -> None:
        """Returns once the broker answers, at first or again, asked for at most `wait_seconds`. Raises BusUnavailable."""
        try:
            async with asyncio.timeout(wait_seconds):
                self._consuming = self._consuming or await self._dial("ninebell consumer")
                self._publishing = self._publishing or await self._dial("ninebell publisher")
                self._outlet = self._outlet or await Outlet.open(self._publishing, self.exchange, self._confirm_seconds)
                await self._consuming.ready()
                await self._outlet.ready()
        except CONNECTION_EXCEPTIONS as error:
            why = self._trouble if isinstance(error, TimeoutError) else why_not(error)
            raise BusUnavailable(f"RabbitMQ at {address(self._url)} can't be used: {why}") from None

    @property
    def connected(self) -> bool:
        """The broker is there to publish to and to consume from."""
        links = (self._publishing, self._consuming)
        return self._outlet is not None and all(link is not None and link.connected.is_set() for link in links)

    async def publish(self, commands: Sequence[SendCommand]) -> None:
        """Returns once every command is in its queue, on disk with a majority. Raises BusUnavailable, at once when cut off."""
        if self._outlet is None or not self.connected:
            raise BusUnavailable(f"no connection to {address(self._url)}")
        await self._outlet.publish(commands)

    def consume(self, channel: str, prefetch: int) -> RabbitConsumer:
        """Deliveries of every region; `prefetch` is split evenly over the regions, at least one each, so that none starves.

        Raises BusUnavailable if never connected; afterwards it waits for the broker by itself.
        """
        share = max(1, prefetch // len(REGIONS))
        consumer = RabbitConsumer(self._inlet(), self.exchange, channel, share, self._consumers.discard)
        self._consumers.add(consumer)
        return consumer

    async def depth(self, channel: str) -> int:
        """Raises BusUnavailable."""
        try:
            async with asyncio.timeout(self._confirm_seconds), self._inlet().channel(publisher_confirms=False) as asking:
                queues = await declare_queues(asking, await declare_exchange(asking, self.exchange), channel)
                return sum(queue.declaration_result.message_count or 0 for queue in queues)
        except CONNECTION_EXCEPTIONS as error:
            raise BusUnavailable(f"{address(self._url)} did not say: {type(error).__name__}") from error

    async def dead(self) -> int:
        """Raises BusUnavailable."""
        try:
            async with asyncio.timeout(self._confirm_seconds), self._inlet().channel(publisher_confirms=False) as asking:
                queue = await declare_dead(asking, self.exchange)
                return queue.declaration_result.message_count or 0
        except CONNECTION_EXCEPTIONS as error:
            raise BusUnavailable(f"{address(self._url)} did not say: {type(error).__name__}") from error

    async def close(self) -> None:
        """Ends every consumer; what is not acknowledged goes to others."""
        for consumer in tuple(self._consumers):
            await consumer.aclose()
        for link in (self._publishing, self._consuming):
            if link is not None:
                await link.close()
        self._publishing = self._consuming = self._outlet = None

    def _inlet(self) -> ClusterConnection:
        if self._consuming is None:
            raise BusUnavailable(f"no connection to {address(self._url)}")
        return self._consuming

    async def _dial(self, name: str) -> ClusterConnection:
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            connection = ClusterConnection(urls_of(self._url), client_properties={"connection_name": name})
            try:
                await connection.connect(ATTEMPT_SECONDS)
            except CONNECTION_EXCEPTIONS as error:
                self._trouble = why_not(error)
                log.warning("RabbitMQ at %s: %s, trying again", address(self._url), self._trouble)
            else:
                return connection
            finally:
                if not connection.connected.is_set():
                    await connection.close()  # else it would go on trying behind our back
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)


class Outlet:
    """The channel that publishes, and the queues it has seen to."""

    def __init__(self, channel: AbstractRobustChannel, exchange: AbstractRobustExchange, confirm_seconds: float) -> None:
        self._confirm_seconds = confirm_seconds
        self._channel = channel
        self._exchange = exchange
        self._declared: set[str] = set()
        self._declaring = asyncio.Lock()

    @classmethod
    async def open(cls, connection: AbstractRobustConnection, exchange: str, confirm_seconds: float) -> "Outlet":
        channel = connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.initialize()
        return cls(channel, await declare_exchange(channel, exchange), confirm_seconds)

    async def ready(self) -> None:
        """Returns once what was lost with the connection is declared again."""
        await self._channel.ready()

    async def publish(self, commands: Sequence[SendCommand]) -> None:
        """Raises BusUnavailable."""
        try:
            async with asyncio.timeout(self._confirm_seconds):
                await self._declare({command.channel for command in commands})
        except CONNECTION_EXCEPTIONS as error:
            raise BusUnavailable(f"queues not declared: {type(error).__name__}") from error
        for start in range(0, len(commands), CONFIRMS_AT_ONCE):
            await self._publish_some(commands[start : start + CONFIRMS_AT_ONCE])

    async def _publish_some(self, commands: Sequence[SendCommand]) -> None:
        try:
            async with asyncio.timeout(self._confirm_seconds):
                confirms = await asyncio.gather(*map(self._publish_one, commands), return_exceptions=True)
        except TimeoutError as error:
            raise BusUnavailable("no confirmation in time") from error
        failures = [confirm for confirm in confirms if isinstance(confirm, BaseException)]
        if any(isinstance(failure, PublishError) for failure in failures):
            self._declared.clear()  # a queue was deleted under a connection that stands
            # declared again at once, RabbitMQ 3.10 never tells its consumers that they have lost it, and they wait for ever
            await asyncio.sleep(DELETION_SECONDS)
        if failures:
            raise BusUnavailable(f"{len(failures)} of {len(commands)} not confirmed: {type(failures[0]).__name__}")

    async def _publish_one(self, command: SendCommand) -> None:
        message = Message(encode(command), content_type="application/json", delivery_mode=DeliveryMode.PERSISTENT)
        await self._exchange.publish(message, routing_key(command.channel, command.region), mandatory=True)

    async def _declare(self, send_channels: set[str]) -> None:
        async with self._declaring:
            for send_channel in send_channels - self._declared:
                await declare_queues(self._channel, self._exchange, send_channel)
                self._declared.add(send_channel)
