"""How does a worker take send commands from RabbitMQ, and give its answer, while connections come and go?"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Self

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustChannel
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelInvalidStateError, DeliveryError

from application.delivery_ports import SendCommand
from infrastructure import rabbitmq_connection
from infrastructure.bus_wire import UndecodableCommand, UnknownWireVersion, decode
from infrastructure.rabbitmq_connection import ClusterConnection
from infrastructure.rabbitmq_topology import declare_exchange, declare_queues

REOPEN_SECONDS: Final = 1.0
LEFT_TO_OTHERS_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class RabbitConsumer:
    """An iterator over deliveries that goes on through reconnections. A cancelled `anext` loses nothing; `aclose` gives back."""

    def __init__(
        self,
        connection: ClusterConnection,
        exchange: str,
        send_channel: str,
        share: int,
        closed: Callable[["RabbitConsumer"], None],
    ) -> None:
        """`share`: how many deliveries of one region may be unacknowledged; `closed` is told of the end."""
        self._connection = connection
        self._exchange = exchange
        self._send_channel = send_channel
        self._share = share
        self._tell_closed = closed
        self._channel: AbstractRobustChannel | None = None
        self._subscribing: asyncio.Task[None] | None = None
        self._arrived: asyncio.Queue[RabbitDelivery | None] = asyncio.Queue()
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> "RabbitDelivery":
        if self._subscribing is None:
            self._subscribing = asyncio.create_task(self._subscribe_at_last())
            self._subscribing.add_done_callback(lambda _: self._arrived.put_nowait(None))
        while not self._closed:
            delivery = await self._arrived.get()
            if delivery is None and not self._closed:
                self._subscribing.result()  # raises what ended it
            elif delivery is not None and not delivery.stale:
                return delivery
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """What is not acknowledged goes to others."""
        if self._closed:
            return
        self._closed = True
        self._tell_closed(self)
        if self._subscribing is not None:
            self._subscribing.cancel()
            await asyncio.wait([self._subscribing])
        await self._close_channel()
        self._arrived.put_nowait(None)

    async def _subscribe_at_last(self) -> None:
        while True:
            await self._connection.ready()
            try:
                self._channel = self._connection.channel()
                async with asyncio.timeout(rabbitmq_connection.RESTORE_SECONDS):
                    return await self._subscribe(self._channel)
            except TimeoutError:
                log.warning("no answer about %s, trying again at another node", self._send_channel)
                await self._connection.give_up()
            except CONNECTION_EXCEPTIONS as error:
                log.warning("could not subscribe to %s, trying again: %s", self._send_channel, type(error).__name__)
            await self._close_channel()
            await asyncio.sleep(REOPEN_SECONDS)

    async def _close_channel(self) -> None:
        if self._channel is not None and self._channel.is_initialized:
            with suppress(*CONNECTION_EXCEPTIONS):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._channel.close()

    async def _subscribe(self, channel: AbstractRobustChannel) -> None:
        await channel.initialize()
        await channel.set_qos(self._share)  # of each consumer: quorum queues know no limit for the channel as a whole
        exchange = await declare_exchange(channel, self._exchange)
        for queue in await declare_queues(channel, exchange, self._send_channel):
            await queue.consume(self._receive)

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        try:
            self._arrived.put_nowait(RabbitDelivery(decode(message.body), message))
        except UndecodableCommand:
            log.error("a send command in %s can't be read and is dead", message.routing_key)
            await settle(message.reject(requeue=False))
        except UnknownWireVersion as error:
            log.warning("%s in %s is left to a newer worker", error, message.routing_key)
            await asyncio.sleep(LEFT_TO_OTHERS_SECONDS)  # else it would come back at once, and again
            await settle(self._to_the_end(message))

    async def _to_the_end(self, message: AbstractIncomingMessage) -> None:
        """Published anew behind what waits: put back, it would be dead after a number of deliveries."""
        key, properties = message.routing_key or "", Message(b"", delivery_mode=DeliveryMode.PERSISTENT).properties
        try:
            await message.channel.basic_publish(
                message.body, exchange=self._exchange, routing_key=key, properties=properties, mandatory=True
            )
        except DeliveryError:  # its queue is full, or gone
            await message.reject(requeue=True)
        else:
            await message.ack()


class RabbitDelivery:
    """A Delivery. Once its connection has gone, settling it does nothing: the command comes again, and the claim stands."""

    def __init__(self, command: SendCommand, message: AbstractIncomingMessage) -> None:
        self.command = command
        self._message = message

    @property
    def stale(self) -> bool:
        """The broker no longer waits for an answer to this one."""
        try:
            return self._message.channel.is_closed
        except ChannelInvalidStateError:
            return True

    async def acknowledge(self) -> None:
        await settle(self._message.ack())

    async def put_back(self) -> None:
        await settle(self._message.reject(requeue=True))


async def settle(answer: Awaitable[None]) -> None:
    """Say it if the broker is still there to hear."""
    # in a task of its own: a closing connection cancels whoever waits for it, and that must not look like our cancellation
    saying = asyncio.ensure_future(answer)
    await asyncio.wait([saying])
    if saying.cancelled() or isinstance(saying.exception(), CONNECTION_EXCEPTIONS):
        log.info("an answer was not heard by the broker; the command comes again")
    else:
        saying.result()
