"""What nobody could take lies in the dead queue: can a person see it, put it back, or drop it?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import aio_pika
import pytest

from application.delivery_ports import BusUnavailable
from infrastructure.bus_wire import encode
from infrastructure.rabbitmq import RabbitBus
from infrastructure.rabbitmq_dead import DeadCommands
from tests.cuttable import wire_to
from tests.rabbit_bus import PATIENCE_SECONDS, command, rabbit_bus, taken

GARBAGE = b"Dear Ada"


@pytest.fixture
async def bus(amqp_url: str) -> AsyncIterator[RabbitBus]:
    async with rabbit_bus(amqp_url) as bus:
        yield bus


async def dies(url: str, bus: RabbitBus, *bodies: bytes) -> None:
    """As RabbitMQ lets commands die: rejected by whoever had them."""
    before = await bus.dead()
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        exchange = await channel.get_exchange(bus.exchange)
        await bus.depth("mail")  # the queues are there
        queue = await channel.get_queue(f"{bus.exchange}.mail.asia")
        for body in bodies:
            await exchange.publish(aio_pika.Message(body), "mail.asia")
            message = await queue.get()
            assert message
            await message.reject(requeue=False)
    await counted(bus, before + len(bodies))


async def counted(bus: RabbitBus, number: int) -> None:
    """RabbitMQ counts a little later."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await bus.dead() != number:
            pass


async def test_dead_commands_are_counted_and_looked_at_and_stay(amqp_url: str, bus: RabbitBus) -> None:
    sound = command()
    await dies(amqp_url, bus, GARBAGE, encode(sound), b'{"v":7}')
    async with DeadCommands.open(amqp_url, bus.exchange) as dead:
        for _ in range(3):
            found = await dead.look(10)
            assert [(one.dispatch_id, one.error) for one in found] == [
                (None, "undecodable"),
                (sound.dispatch_id, ""),
                (None, "unknown_version"),
            ]
        assert [one.digest for one in await dead.look(2)] == [one.digest for one in found[:2]]
    assert {(one.queue, one.reason, one.routing_key) for one in found} == {(f"{bus.exchange}.mail.asia", "rejected", "mail.asia")}
    assert all(one.died_at and one.died_at.tzinfo for one in found)
    assert "Ada" not in repr(found)
    await counted(bus, 3)


async def test_looking_never_uses_them_up(amqp_url: str, bus: RabbitBus) -> None:
    await dies(amqp_url, bus, GARBAGE)
    for _ in range(25):
        async with DeadCommands.open(amqp_url, bus.exchange) as dead:
            assert len(await dead.look(10)) == 1


async def test_what_is_a_command_goes_back_and_what_is_none_stays(amqp_url: str, bus: RabbitBus) -> None:
    sound = command()
    await dies(amqp_url, bus, GARBAGE, encode(sound), b'{"v":7}')
    async with DeadCommands.open(amqp_url, bus.exchange) as dead:
        assert await dead.retry(None, 10) == (2, 1)
        assert [one.error for one in await dead.look(10)] == ["undecodable"]
    async with aclosing(bus.consume("mail", 5)) as consumer:
        assert await taken(consumer, 1) == [sound]


async def test_only_those_named_are_put_back_or_dropped(amqp_url: str, bus: RabbitBus) -> None:
    first, second = command(), command()
    await dies(amqp_url, bus, GARBAGE, encode(first), encode(second))
    async with DeadCommands.open(amqp_url, bus.exchange) as dead:
        garbage, one, other = await dead.look(10)
        assert await dead.retry([one.digest], 10) == (1, 0)
        assert await dead.discard([garbage.digest], 10) == 1
        assert [left.digest for left in await dead.look(10)] == [other.digest]
        assert await dead.discard(None, 10) == 1
        assert await dead.look(10) == []
    await counted(bus, 0)


async def test_a_node_that_says_nothing_leaves_time_for_the_others(amqp_url: str, bus: RabbitBus) -> None:
    async with wire_to(amqp_url) as wire:
        wire.silence()
        async with DeadCommands.open(f"{wire.url},{amqp_url}", bus.exchange) as dead:
            assert await dead.look(10) == []
        wire.resume()


async def test_a_broker_that_is_not_there_is_named() -> None:
    with pytest.raises(BusUnavailable, match=r"127\.0\.0\.1:1 "):
        async with DeadCommands.open("amqp://guest:secret@127.0.0.1:1/"):
            pass
