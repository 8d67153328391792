"""A bus on a real broker that leaves nothing behind, and what may be asked of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Protocol
from uuid import UUID, uuid4

import aio_pika

from application.delivery_ports import SendCommand
from domain.region import REGIONS
from infrastructure.rabbitmq import RabbitBus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from application.delivery_ports import Delivery

NUMBERS = count(1)
PATIENCE_SECONDS = 60.0


class Consumer(Protocol):
    """What every bus's consumer is."""

    def __aiter__(self) -> AsyncIterator[Delivery]: ...

    async def __anext__(self) -> Delivery: ...

    async def aclose(self) -> None: ...


@asynccontextmanager
async def rabbit_bus(url: str, *, admin_url: str = "", confirm_seconds: float = 10.0) -> AsyncIterator[RabbitBus]:
    """With an exchange and queues of its own, deleted afterwards through `admin_url`, or `url`."""
    bus = RabbitBus(url, exchange=f"test.{uuid4().hex}", confirm_seconds=confirm_seconds)
    await bus.connect(PATIENCE_SECONDS)
    try:
        yield bus
    finally:
        await bus.close()
        async with await aio_pika.connect(admin_url or url) as connection, connection.channel() as channel:
            for name in (bus.exchange, dead_queue(bus)):
                await channel.exchange_delete(name)
            for name in (dead_queue(bus), *(queue_name(bus, region, at) for at in ("mail", "sms") for region in REGIONS)):
                await channel.queue_delete(name)


def dead_queue(bus: RabbitBus) -> str:
    return f"{bus.exchange}.dead"


def queue_name(bus: RabbitBus, region: str, channel: str = "mail") -> str:
    return f"{bus.exchange}.{channel}.{region}"


def command(region: str = "asia", channel: str = "mail", members: int = 2) -> SendCommand:
    """One that there was not before."""
    numbers = [next(NUMBERS) for _ in range(members)]
    return SendCommand(UUID(int=numbers[0]), channel, region, tuple(UUID(int=number) for number in numbers))


async def taken(consumer: Consumer, number: int, *, acknowledge: bool = True) -> list[SendCommand]:
    """So many commands as they come."""
    commands = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(number):
            delivery = await anext(consumer)
            commands.append(delivery.command)
            if acknowledge:
                await delivery.acknowledge()
    return commands
