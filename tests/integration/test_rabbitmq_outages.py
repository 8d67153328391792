"""Do commands keep flowing when the broker restarts, is wiped, is cut off, or falls silent?"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack, aclosing, closing
from typing import TYPE_CHECKING
from uuid import uuid4

import aio_pika
import pytest
from yarl import URL

from application.delivery_ports import BusUnavailable
from domain.region import REGIONS
from infrastructure import rabbitmq_connection, rabbitmq_consumer
from infrastructure.rabbitmq import RabbitBus
from infrastructure.rabbitmq_topology import DELIVERY_LIMIT
from tests.conftest import broker_or_fail
from tests.cuttable import wire_to
from tests.rabbit_bus import PATIENCE_SECONDS, Consumer, command, dead_queue, queue_name, rabbit_bus, taken
from tests.servers import free_port

if TYPE_CHECKING:
    from application.delivery_ports import SendCommand
    from tests.servers import Broker


async def publish_at_last(bus: RabbitBus, commands: list[SendCommand]) -> None:
    """As the dispatcher does: again until it is confirmed."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            await bus.connect(PATIENCE_SECONDS)
            try:
                return await bus.publish(commands)
            except BusUnavailable:
                continue


async def test_a_restart_loses_nothing_and_nobody_has_to_be_restarted(rabbit_node: Broker) -> None:
    async with rabbit_bus(rabbit_node.url) as bus, aclosing(bus.consume("mail", 5)) as consumer:
        before = [command(region) for region in REGIONS]
        await bus.publish(before)
        held = await anext(consumer)
        await asyncio.to_thread(rabbit_node.stop)
        await held.acknowledge()  # to nobody
        with pytest.raises(BusUnavailable):
            await bus.publish([command()])
        assert not bus.connected
        await asyncio.to_thread(rabbit_node.start)
        after = [command(region) for region in REGIONS]
        await publish_at_last(bus, after)
        got = await taken(consumer, 10)
    assert {each.dispatch_id for each in got} == {each.dispatch_id for each in before + after}


async def test_a_wiped_broker_is_soon_as_it_was_for_publisher_and_consumer(rabbit_node: Broker) -> None:
    async with rabbit_bus(rabbit_node.url) as bus, aclosing(bus.consume("mail", 5)) as consumer:
        lost = [command(region) for region in REGIONS]
        await bus.publish(lost)
        await taken(consumer, 5, acknowledge=False)
        await asyncio.to_thread(rabbit_node.kill)
        await asyncio.to_thread(rabbit_node.wipe)
        await asyncio.to_thread(rabbit_node.start)
        sent = [command(region) for region in REGIONS]
        await publish_at_last(bus, sent)
        got = await taken(consumer, 5)
        assert {each.dispatch_id for each in got} == {each.dispatch_id for each in sent}
        assert await bus.depth("mail") == 0


@pytest.mark.parametrize(
    ("otherwise", "why"),
    [
        ({"password": "nobodys-word"}, "ProbableAuthenticationError: ACCESS_REFUSED - Login was refused"),
        ({"path": "/nowhere"}, "refused: is there such a virtual host, and may this user use it?"),
        (
            {"scheme": "amqps", "query_string": "cafile=/nowhere.pem"},
            "FileNotFoundError: [Errno 2] No such file or directory",
        ),
    ],
)
async def test_why_a_broker_can_not_be_used_is_said(amqp_url: str, otherwise: dict[str, str], why: str) -> None:
    url = URL(amqp_url)
    parts = {name: getattr(url, name) for name in ("scheme", "user", "password", "host", "port", "path", "query_string")}
    bus = RabbitBus(str(URL.build(**parts | {"user": url.user or "guest", "password": url.password or "guest"} | otherwise)))
    with pytest.raises(BusUnavailable) as refused:
        await bus.connect(2)
    assert why in str(refused.value)
    assert "nobodys-word" not in str(refused.value)


async def test_why_a_broker_refuses_what_is_declared_is_said(amqp_url: str) -> None:
    """Another program's exchange of that name, say, or a user who may not configure any."""
    name = f"another-{uuid4()}"
    async with await aio_pika.connect(amqp_url) as connection:
        await (await connection.channel()).declare_exchange(name, aio_pika.ExchangeType.FANOUT, auto_delete=True)
        bus = RabbitBus(amqp_url, exchange=name)
        with pytest.raises(BusUnavailable, match=r"ChannelPreconditionFailed: PRECONDITION_FAILED - inequivalent arg"):
            await bus.connect(10)
        await bus.close()


async def test_a_broker_that_comes_late_is_waited_for() -> None:
    with closing(broker_or_fail()) as broker:
        bus = RabbitBus(broker.url)
        with pytest.raises(BusUnavailable, match=r"^RabbitMQ at 127\.0\.0\.1:[0-9]+ can't be used: AMQPConnectionError: .+"):
            await bus.connect(0.3)
        assert not bus.connected
        connecting = asyncio.create_task(bus.connect(PATIENCE_SECONDS))
        await asyncio.to_thread(broker.start)
        await connecting
        assert bus.connected
        await bus.publish([sent := command()])
        async with aclosing(bus.consume("mail", 5)) as consumer:
            assert await taken(consumer, 1) == [sent]
        await bus.close()


async def test_a_wrong_password_is_told_from_no_broker_and_kept_quiet(amqp_url: str) -> None:
    bus = RabbitBus(re.sub("//([^@/]*@)?", "//nobody:secret@", amqp_url, count=1))
    with pytest.raises(BusUnavailable, match="Authentication") as caught:
        await bus.connect(1)
    assert "secret" not in str(caught.value)
    await bus.close()


async def test_a_bus_that_never_connected_says_so() -> None:
    bus = RabbitBus(f"amqp://guest:secret@127.0.0.1:{free_port()}/")
    for refused in (bus.publish([command()]), bus.depth("mail")):
        with pytest.raises(BusUnavailable, match="no connection") as caught:
            await refused
        assert "secret" not in str(caught.value)
    await bus.close()


async def test_a_cut_connection_brings_unacknowledged_commands_again(amqp_url: str) -> None:
    async with (
        wire_to(amqp_url) as wire,
        rabbit_bus(wire.url, admin_url=amqp_url) as bus,
        aclosing(bus.consume("mail", 10)) as consumer,
    ):
        await bus.publish([first := command(), not_yet_taken := command()])
        held = await anext(consumer)
        assert await bus.depth("mail") == 0
        wire.cut()
        await publish_at_last(bus, [last := command()])
        await held.acknowledge()  # too late: that connection is gone
        got = [each.dispatch_id for each in await taken(consumer, 3)]
    assert sorted(got) == [first.dispatch_id, not_yet_taken.dispatch_id, last.dispatch_id]


async def test_a_silent_broker_is_given_up_in_time_and_taken_up_again(amqp_url: str) -> None:
    async with wire_to(amqp_url) as wire, rabbit_bus(wire.url, admin_url=amqp_url, confirm_seconds=0.3) as bus:
        await bus.publish([command()])
        wire.silence()
        with pytest.raises(BusUnavailable, match="in time"):
            await bus.publish([command()])
        wire.resume()
        await publish_at_last(bus, [last := command()])
        async with aclosing(bus.consume("mail", 5)) as consumer:
            got = await taken(consumer, 3)
    assert got[-1] == last


async def test_who_knows_several_nodes_goes_on_at_another(amqp_url: str) -> None:
    later = free_port()
    async with AsyncExitStack() as first_node:
        wire = await first_node.enter_async_context(wire_to(amqp_url))
        both = f"{wire.address(later)},{wire.url}"
        async with rabbit_bus(both, admin_url=amqp_url) as bus, aclosing(bus.consume("mail", 5)) as consumer:
            await bus.publish([command()])
            await taken(consumer, 1)
            async with wire_to(amqp_url, later):
                await first_node.aclose()
                await publish_at_last(bus, [after := command()])
                while await taken(consumer, 1) != [after]:  # what was cut off may come twice
                    pass


async def test_a_node_that_answers_nothing_but_heartbeats_is_given_up(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq_connection, "RESTORE_SECONDS", 0.5)
    async with (
        wire_to(amqp_url) as wire,
        rabbit_bus(wire.url, admin_url=amqp_url) as bus,
        aclosing(bus.consume("mail", 5)) as consumer,
    ):
        await bus.publish([command()])
        await taken(consumer, 1)
        wire.deafen()
        wire.cut()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await wire.deafened.acquire()
            await wire.deafened.acquire()  # both connections stand again
        wire.deafen(deaf=False)
        await publish_at_last(bus, [after := command()])
        while await taken(consumer, 1) != [after]:  # what was cut off may come twice
            pass


async def test_a_queue_deleted_under_us_costs_one_refusal(amqp_url: str) -> None:
    async with rabbit_bus(amqp_url) as bus, aclosing(bus.consume("mail", 5)) as consumer:
        await bus.publish([command()])
        await taken(consumer, 1)
        async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
            await channel.queue_delete(queue_name(bus, "asia"))
        await publish_at_last(bus, [sent := command()])
        assert await taken(consumer, 1) == [sent]


async def test_what_is_no_command_goes_to_the_dead_queue_and_stops_nobody(amqp_url: str) -> None:
    async with rabbit_bus(amqp_url) as bus, aclosing(bus.consume("mail", 5)) as consumer:
        await bus.publish([first := command()])
        assert await taken(consumer, 1) == [first]
        async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
            exchange = await channel.get_exchange(bus.exchange)
            await exchange.publish(aio_pika.Message(b"Dear Ada"), "mail.asia")
            await bus.publish([second := command()])
            assert await taken(consumer, 1) == [second]
            dead = await first_of(channel, dead_queue(bus))
    assert dead.body == b"Dear Ada"


async def test_a_command_of_a_newer_version_is_left_to_a_newer_worker(amqp_url: str) -> None:
    async with (
        rabbit_bus(amqp_url) as bus,
        await aio_pika.connect(amqp_url) as connection,
        connection.channel() as channel,
        aclosing(bus.consume("mail", 10)) as older,
    ):
        await bus.publish([before := command("europe")])
        assert await taken(older, 1) == [before]
        exchange = await channel.get_exchange(bus.exchange)
        await exchange.publish(aio_pika.Message(b'{"v":2}'), "mail.europe")
        await bus.publish([after := command("europe")])
        assert await taken(older, 1) == [after]
        newer = await first_of(channel, queue_name(bus, "europe"))
    assert newer.body == b'{"v":2}'


async def test_a_command_of_a_newer_version_outlasts_an_upgrade_of_any_length(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rabbitmq_consumer, "LEFT_TO_OTHERS_SECONDS", 0.0)
    async with (
        rabbit_bus(amqp_url) as bus,
        await aio_pika.connect(amqp_url) as connection,
        connection.channel() as channel,
    ):
        async with aclosing(bus.consume("mail", 10)) as older:
            await bus.publish([before := command("europe")])
            assert await taken(older, 1) == [before]
            exchange = await channel.get_exchange(bus.exchange)
            await exchange.publish(aio_pika.Message(b'{"v":2}'), "mail.europe")
            async with asyncio.timeout(PATIENCE_SECONDS):
                while caplog.text.count("left to a newer worker") <= 3 * DELIVERY_LIMIT:  # noqa: ASYNC110 -- a log's line
                    await asyncio.sleep(0.01)
        newer = await first_of(channel, queue_name(bus, "europe"))
        assert (await (await channel.get_queue(dead_queue(bus))).declare()).message_count == 0
    assert newer.body == b'{"v":2}'


async def test_a_command_that_everybody_puts_back_ends_in_the_dead_queue(amqp_url: str) -> None:
    async with rabbit_bus(amqp_url) as bus, aclosing(bus.consume("mail", 5)) as consumer:
        await bus.publish([sent := command()])
        putting_back = asyncio.create_task(put_back_for_ever(consumer))
        async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
            dead = await first_of(channel, dead_queue(bus))
        putting_back.cancel()
        await asyncio.wait([putting_back])
    assert str(sent.dispatch_id).encode() in dead.body


async def put_back_for_ever(consumer: Consumer) -> None:
    async for delivery in consumer:
        await delivery.put_back()


async def first_of(channel: aio_pika.abc.AbstractChannel, name: str) -> aio_pika.abc.AbstractIncomingMessage:
    """What next comes out of a queue."""
    queue = await channel.get_queue(name)
    async with asyncio.timeout(PATIENCE_SECONDS), queue.iterator(no_ack=True) as letters:
        return await anext(letters)
