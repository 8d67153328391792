"""May the publisher and the workers of one process live on different threads?"""

import asyncio
import threading
from contextlib import aclosing
from uuid import UUID

from application.delivery_ports import SendCommand
from infrastructure.in_process_bus import InProcessBus

SENT = [SendCommand(UUID(int=number), "mail", "africa", (UUID(int=number),)) for number in range(1, 501)]


def test_commands_published_on_one_thread_wake_a_consumer_on_another() -> None:
    bus = InProcessBus()
    got: list[SendCommand] = []

    async def consume() -> None:
        async with aclosing(bus.consume("mail", 10)) as consumer, asyncio.timeout(20):
            while len(got) < len(SENT):
                delivery = await anext(consumer)
                got.append(delivery.command)
                await delivery.acknowledge()

    consuming = threading.Thread(target=lambda: asyncio.run(consume()))
    consuming.start()
    for command in SENT:
        asyncio.run(bus.publish([command]))
    consuming.join()
    assert got == SENT
