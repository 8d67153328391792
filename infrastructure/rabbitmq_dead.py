"""Which send commands has nobody been able to take, and how do they come back, or go?"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, Self
from uuid import UUID

import aio_pika
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractConnection, AbstractExchange, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, PublishError
from msgspec import Struct

from application.delivery_ports import BusUnavailable
from infrastructure.broker_urls import address, urls_of
from infrastructure.bus_wire import UndecodableCommand, UnknownWireVersion, decode
from infrastructure.rabbitmq_connection import why_not
from infrastructure.rabbitmq_topology import declare_dead

ATTEMPT_SECONDS: Final = 10.0
DIGEST_LETTERS: Final = 12
NAMED: Final[dict[str, Any]] = {"connection_name": "ninebell parked"}
UNDECODABLE: Final = "undecodable"


class DeadCommand(Struct, frozen=True):
    """What lies in the dead queue, known by a digest of its bytes, which may be anything and are never shown."""

    digest: str
    queue: str  # where it died
    reason: str  # as RabbitMQ says: rejected, delivery_limit
    died_at: datetime | None
    dispatch_id: UUID | None  # if this program can read it
    error: str  # why it can't; empty if it can
    routing_key: str


class DeadCommands:
    """The dead queue, looked at message by message; what is not settled goes back to its place."""

    def __init__(self, queue: AbstractQueue, exchange: AbstractExchange) -> None:
        self._queue, self._exchange = queue, exchange

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, exchange: str = "ninebell.send") -> AsyncIterator[Self]:
        """On a connection of its own. Raises BusUnavailable, also in the middle."""
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                connection = await _to_any_of(urls_of(url))
            async with connection, connection.channel(on_return_raises=True) as channel:
                topic = await channel.declare_exchange(exchange, ExchangeType.TOPIC, durable=True)
                yield cls(await declare_dead(channel, exchange), topic)
        except CONNECTION_EXCEPTIONS as error:
            raise BusUnavailable(f"RabbitMQ at {address(url)} can't be used: {why_not(error)}") from None

    async def look(self, limit: int) -> list[DeadCommand]:
        """Up to so many, oldest first; they stay."""
        found: list[DeadCommand] = []

        async def keep(dead: DeadCommand, _: AbstractIncomingMessage) -> bool:
            found.append(dead)
            return False

        await self._walk(limit, keep)
        return found

    async def retry(self, digests: Collection[str] | None, limit: int) -> tuple[int, int]:
        """Put those that are commands, of whichever version, back into their queues (all, if None).

        How many were put back, and how many are none and stay.
        """
        stay = 0

        async def back(dead: DeadCommand, message: AbstractIncomingMessage) -> bool:
            nonlocal stay
            if digests is not None and dead.digest not in digests:
                return False
            if not await self._published(dead, message):
                stay += 1
                return False
            return True

        return await self._walk(limit, back), stay

    async def discard(self, digests: Collection[str] | None, limit: int) -> int:
        """Drop them (all, if None); how many there were."""

        async def drop(dead: DeadCommand, _: AbstractIncomingMessage) -> bool:
            return digests is None or dead.digest in digests

        return await self._walk(limit, drop)

    async def _published(self, dead: DeadCommand, message: AbstractIncomingMessage) -> bool:
        if dead.error == UNDECODABLE or not dead.routing_key:
            return False
        again = Message(message.body, content_type=message.content_type, delivery_mode=DeliveryMode.PERSISTENT)
        try:
            await self._exchange.publish(again, dead.routing_key, mandatory=True)
        except PublishError:
            return False  # nobody has declared that queue
        return True

    async def _walk(self, limit: int, settled: Callable[[DeadCommand, AbstractIncomingMessage], Awaitable[bool]]) -> int:
        """How many were settled; the others are held until the end, or they would come again at once."""
        number = 0
        held: list[AbstractIncomingMessage] = []
        while len(held) + number < limit and (message := await self._queue.get(no_ack=False, fail=False)):
            if await settled(_dead(message), message):
                await message.ack()
                number += 1
            else:
                held.append(message)
        for message in held:  # in their order, which RabbitMQ keeps
            await message.reject(requeue=True)
        return number


async def _to_any_of(urls: Sequence[str]) -> AbstractConnection:
    """One whose machine is gone does not even refuse: each has its share of the time."""
    for url in urls[:-1]:
        with suppress(*CONNECTION_EXCEPTIONS):
            return await aio_pika.connect(url, client_properties=NAMED, timeout=ATTEMPT_SECONDS / len(urls))
    return await aio_pika.connect(urls[-1], client_properties=NAMED)


def _dead(message: AbstractIncomingMessage) -> DeadCommand:
    dispatch_id, error = _read(message.body)
    deaths: Any = message.headers.get("x-death")  # the latest one first
    died: dict[str, Any] = deaths[0] if deaths else {}
    at = died.get("time")
    return DeadCommand(
        digest=sha256(message.body).hexdigest()[:DIGEST_LETTERS],
        queue=str(died.get("queue", "")),
        reason=str(died.get("reason", "")),
        died_at=at.replace(tzinfo=UTC) if isinstance(at, datetime) and at.tzinfo is None else at,
        dispatch_id=dispatch_id,
        error=error,
        routing_key=str(next(iter(died.get("routing-keys") or []), "")),
    )


def _read(body: bytes) -> tuple[UUID | None, str]:
    try:
        return decode(body).dispatch_id, ""
    except UndecodableCommand:
        return None, UNDECODABLE
    except UnknownWireVersion:
        return None, "unknown_version"
