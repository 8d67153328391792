"""Does every bus bring each send command to somebody, and again to another if it was not acknowledged?"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from application.delivery_ports import BusUnavailable, SendCommand
from domain.region import REGIONS
from infrastructure.in_process_bus import InProcessBus
from tests.rabbit_bus import Consumer, command, rabbit_bus, taken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from infrastructure.rabbitmq import RabbitBus

    AnyBus = InProcessBus | RabbitBus


@pytest.fixture(params=["in process", "RabbitMQ"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[AnyBus]:
    if request.param == "in process":
        in_process = InProcessBus()
        yield in_process
        await in_process.close()
        return
    async with rabbit_bus(request.getfixturevalue("amqp_url")) as rabbit:
        yield rabbit


def consuming(bus: AnyBus, prefetch: int = 10, channel: str = "mail") -> aclosing[Consumer]:
    """A consumer, closed at the end of the block."""
    consumer: Consumer = bus.consume(channel, prefetch)
    return aclosing(consumer)


def by_id(commands: list[SendCommand]) -> list[SendCommand]:
    return sorted(commands, key=lambda each: each.dispatch_id)


async def test_a_published_command_arrives_as_it_was(bus: AnyBus) -> None:
    sent = command(members=100)
    await bus.publish([sent])
    async with consuming(bus) as consumer:
        assert await taken(consumer, 1) == [sent]


async def test_a_consumer_that_came_first_is_woken(bus: AnyBus) -> None:
    async with consuming(bus) as consumer:
        waiting = asyncio.create_task(taken(consumer, 1))
        await asyncio.sleep(0)
        await bus.publish([sent := command()])
        assert await waiting == [sent]


async def test_an_acknowledged_command_never_comes_again(bus: AnyBus) -> None:
    await bus.publish([command()])
    async with consuming(bus) as consumer:
        await taken(consumer, 1)
    await bus.publish([after := command()])
    async with consuming(bus) as consumer:
        assert await taken(consumer, 1) == [after]
    assert await bus.depth("mail") == 0


async def test_what_a_consumer_left_unacknowledged_goes_to_the_next(bus: AnyBus) -> None:
    sent = [command(region) for region in REGIONS]
    await bus.publish(sent)
    async with consuming(bus) as leaving:
        await taken(leaving, 3, acknowledge=False)
        await taken(leaving, 1)
    async with consuming(bus) as staying:
        again = await taken(staying, 4)
    assert len({each.dispatch_id for each in again}) == 4
    assert await bus.depth("mail") == 0


async def test_a_command_put_back_comes_again(bus: AnyBus) -> None:
    await bus.publish([sent := command()])
    async with consuming(bus) as unwilling:
        delivery = await anext(unwilling)
        await delivery.put_back()
    async with consuming(bus) as willing:
        assert await taken(willing, 1) == [sent]


async def test_settling_twice_or_after_the_end_changes_nothing(bus: AnyBus) -> None:
    await bus.publish([first := command(), second := command()])
    async with consuming(bus) as consumer:
        done, late = await anext(consumer), await anext(consumer)
        assert (done.command, late.command) == (first, second)
        await done.acknowledge()
        await done.put_back()
    await late.acknowledge()
    async with consuming(bus) as consumer:
        assert await taken(consumer, 1) == [second]
    assert await bus.depth("mail") == 0


async def test_cancelling_a_wait_loses_nothing(bus: AnyBus) -> None:
    async with consuming(bus) as consumer:
        await bus.publish([first := command()])
        assert await taken(consumer, 1) == [first]
        waiting = asyncio.ensure_future(anext(consumer))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await bus.publish([second := command()])
        assert await taken(consumer, 1) == [second]


async def test_no_region_starves_behind_another(bus: AnyBus) -> None:
    await bus.publish([command("americas") for _ in range(100)])
    await bus.publish([late := command("oceania")])
    async with consuming(bus) as consumer:
        assert late in await taken(consumer, 20)


async def test_within_a_region_the_order_is_kept(bus: AnyBus) -> None:
    sent = [command() for _ in range(50)]
    await bus.publish(sent)
    async with consuming(bus) as consumer:
        assert await taken(consumer, 50) == sent


async def test_each_region_hands_out_no_more_than_its_share(bus: AnyBus) -> None:
    await bus.publish([command(region) for region in REGIONS for _ in range(3)])
    async with consuming(bus, 2 * len(REGIONS)) as first, consuming(bus, 100) as second:
        mine = await taken(first, 2 * len(REGIONS), acknowledge=False)
        theirs = await taken(second, len(REGIONS))
        more = asyncio.ensure_future(anext(first))
        await bus.publish([command() for _ in range(10)])
        await taken(second, 10)
        assert not more.done()
        more.cancel()
        await asyncio.wait([more])
    assert sorted(each.region for each in mine) == sorted([*REGIONS, *REGIONS])
    assert sorted(each.region for each in theirs) == sorted(REGIONS)


async def test_channels_are_kept_apart(bus: AnyBus) -> None:
    await bus.publish([mail := command(channel="mail"), text := command(channel="sms")])
    async with consuming(bus, channel="sms") as texts, consuming(bus) as mails:
        assert await taken(texts, 1) == [text]
        assert await taken(mails, 1) == [mail]


async def test_depth_counts_what_waits_in_all_regions(bus: AnyBus) -> None:
    assert await bus.depth("mail") == 0
    await bus.publish([command(region) for region in REGIONS] + [command(channel="sms")])
    assert await bus.depth("mail") == 5


async def test_thousands_are_published_at_once_and_shared_by_two(bus: AnyBus) -> None:
    sent = [command(REGIONS[number % 5]) for number in range(2_000)]
    await bus.publish(sent)
    got: dict[str, list[SendCommand]] = {"first": [], "second": []}
    all_there = asyncio.Event()

    async def take(name: str, consumer: Consumer) -> None:
        async for delivery in consumer:
            got[name].append(delivery.command)
            await delivery.acknowledge()
            if sum(map(len, got.values())) == len(sent):
                all_there.set()

    async with consuming(bus, 50) as first, consuming(bus, 50) as second:
        takers = [asyncio.create_task(take("first", first)), asyncio.create_task(take("second", second))]
        async with asyncio.timeout(60):
            await all_there.wait()
    await asyncio.gather(*takers)
    assert by_id(got["first"] + got["second"]) == by_id(sent)
    assert all(got.values())


async def test_a_closed_bus_takes_nothing_and_ends_its_consumers(bus: AnyBus) -> None:
    consumer = bus.consume("mail", 10)
    waiting = asyncio.create_task(taken(consumer, 1))
    await asyncio.sleep(0)
    await bus.close()
    with pytest.raises(StopAsyncIteration):
        await anext(consumer)
    assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], Exception)
    with pytest.raises(BusUnavailable):
        await bus.publish([command()])
    assert not bus.connected
