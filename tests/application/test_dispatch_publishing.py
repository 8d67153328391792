"""Does every dispatch reach the broker, whatever happens to it?"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from application.delivery_ports import BusUnavailable, SendCommand
from application.ports import Deposed
from application.publish_dispatches import Publisher
from domain.dispatch import DispatchMemberWithdrawn, DispatchStarted
from infrastructure.in_process_bus import InProcessBus
from tests.application.dispatch_stories import DUE, SECOND, dispatcher, message, run, schedule
from tests.fake_dispatcher_work import Memory


class PaperBus(InProcessBus):
    """Writes down what is published; refuses while it is out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[SendCommand] = []
        self.out_of_order = False

    async def publish(self, commands: Sequence[SendCommand]) -> None:
        if self.out_of_order:
            raise BusUnavailable
        await super().publish(commands)
        self.published += commands


def publisher(memory: Memory, bus: PaperBus, *, bus_starts_empty: bool = False, epoch: int = 1) -> Publisher:
    return Publisher(memory.begin("publisher", epoch), bus, bus_starts_empty=bus_starts_empty)


def dispatched(*numbers: int) -> Memory:
    memory = Memory()
    schedule(memory, numbers)
    run(dispatcher(memory), DUE)
    return memory


async def test_a_dispatch_is_published_once_with_its_members() -> None:
    memory, bus = dispatched(1, 2), PaperBus()
    publishing = publisher(memory, bus)
    for _ in range(3):
        await publishing.step(DUE)
    members = tuple(sorted((message(1), message(2))))
    assert bus.published == [SendCommand(UUID(int=1), "sink", "europe", members)]


async def test_a_restarted_publisher_goes_on_where_it_was() -> None:
    memory, bus = dispatched(1), PaperBus()
    await publisher(memory, bus).step(DUE)
    await publisher(memory, bus).step(DUE)
    assert len(bus.published) == 1


async def test_a_broker_that_is_away_loses_nothing() -> None:
    memory, bus = dispatched(1), PaperBus()
    publishing = publisher(memory, bus)
    bus.out_of_order = True
    waits = []
    for _ in range(9):
        await publishing.step(DUE)
        waits.append(publishing.back_off_seconds)
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    bus.out_of_order = False
    await publishing.step(DUE)
    assert [command.dispatch_id for command in bus.published] == [UUID(int=1)]
    assert publishing.back_off_seconds == 0


async def test_what_nobody_starts_is_published_again_after_thirty_seconds_then_ever_more_rarely() -> None:
    memory, bus = dispatched(1), PaperBus()
    publishing = publisher(memory, bus)
    published_at = []
    for second in range(1500):
        before = len(bus.published)
        await publishing.step(DUE + second * SECOND)
        published_at += [second] * (len(bus.published) - before)
    assert published_at == [0, 30, 90, 210, 450, 930, 1410]


async def test_a_publication_that_failed_is_not_counted() -> None:
    memory, bus = dispatched(1), PaperBus()
    publishing = publisher(memory, bus)
    await publishing.step(DUE)
    bus.out_of_order = True
    await publishing.step(DUE + 30 * SECOND)
    bus.out_of_order = False
    await publishing.step(DUE + 31 * SECOND)
    assert len(bus.published) == 2


async def test_a_started_dispatch_is_not_published_again() -> None:
    memory, bus = dispatched(1), PaperBus()
    publishing = publisher(memory, bus)
    await publishing.step(DUE)
    started = DispatchStarted(worker="w", incarnation=UUID(int=7), claim_token=UUID(int=8))
    memory.write("dispatches", UUID(int=1), started, now=DUE)
    await publishing.step(DUE + timedelta(minutes=5))  # before the dispatcher has seen the claim
    run(dispatcher(memory), DUE + timedelta(minutes=5))
    await publishing.step(DUE + timedelta(minutes=10))
    assert len(bus.published) == 1


async def test_what_is_published_again_leaves_out_the_withdrawn() -> None:
    memory, bus = dispatched(1, 2), PaperBus()
    publishing = publisher(memory, bus)
    await publishing.step(DUE)
    memory.write("dispatches", UUID(int=1), DispatchMemberWithdrawn(message_id=message(1)), now=DUE)
    await publishing.step(DUE + 30 * SECOND)
    assert bus.published[-1].message_ids == (message(2),)


async def test_a_bus_that_starts_empty_gets_everything_unstarted_at_first() -> None:
    memory = dispatched(1)
    await publisher(memory, PaperBus()).step(DUE)
    bus = PaperBus()
    publishing = publisher(memory, bus, bus_starts_empty=True)
    await publishing.step(DUE + SECOND)
    await publishing.step(DUE + SECOND)
    assert len(bus.published) == 1


async def test_a_deposed_publisher_is_refused() -> None:
    memory, bus = dispatched(1), PaperBus()
    memory.epoch = 2
    with pytest.raises(Deposed):
        await publisher(memory, bus).step(DUE)
    assert not bus.published
