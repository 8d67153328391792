"""Does a worker keep several dispatches going, acknowledge only what is stored, and stop without losing anything?"""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from application.channel_gate import OpenGate
from application.delivery_ports import Answer
from application.pause_sending import NeverPaused, PausedNames
from application.ports import StoreUnavailable
from tests.delivery_scene import Handed, Lease, Provider, Scene, handed
from tests.fake_event_store import FakeEventStore

NEVER = asyncio.Event
LONG_SECONDS = 20


@pytest.fixture
def scene() -> Scene:
    return Scene(FakeEventStore())


class Gate:
    """Calls that came are counted and wait until it opens."""

    def __init__(self, expected: int) -> None:
        self._expected, self._came = expected, 0
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> None:
        self._came += 1
        if self._came == self._expected:
            self.reached.set()
        await self.opened.wait()


async def test_every_command_is_delivered_and_acknowledged_once(scene: Scene) -> None:
    ids = [scene.scheduled(9) for _ in range(8)]
    deliveries = [Handed(scene.requested(*members)) for members in ids]
    await scene.worker().run(handed(*deliveries), NEVER())
    assert sorted(scene.provider.keys) == sorted(str(id_) for members in ids for id_ in members)
    assert {scene.message(id_).status for members in ids for id_ in members} == {"sent"}
    assert [delivery.acknowledged for delivery in deliveries] == [1] * 8


async def test_a_command_handed_over_twice_is_called_for_once(scene: Scene) -> None:
    command = scene.requested(*scene.scheduled(3))
    deliveries = [Handed(command), Handed(command)]
    await scene.worker().run(handed(*deliveries), NEVER())
    assert len(scene.provider.calls) == 3
    assert [delivery.acknowledged for delivery in deliveries] == [1, 1]


async def test_nothing_is_acknowledged_before_its_outcome_is_stored(scene: Scene) -> None:
    [id_] = scene.scheduled()
    status_when_acknowledged = []

    class Watched(Handed):
        async def acknowledge(self) -> None:
            status_when_acknowledged.append(scene.message(id_).status)

    await scene.worker().run(handed(Watched(scene.requested(id_))), NEVER())
    assert status_when_acknowledged == ["sent"]


async def test_several_dispatches_have_calls_open_at_once(scene: Scene) -> None:
    gate = scene.provider.before_answer = Gate(expected=6)
    deliveries = [Handed(scene.requested(*scene.scheduled(2))) for _ in range(3)]
    running = asyncio.create_task(scene.worker().run(handed(*deliveries), NEVER()))
    await gate.reached.wait()
    gate.opened.set()
    await running
    assert scene.provider.most_open_calls == 6


async def test_where_doubt_cannot_be_cleared_no_more_is_claimed_than_can_be_called(scene: Scene) -> None:
    provider = Provider(idempotent=False, concurrency=2)
    gate = provider.before_answer = Gate(expected=2)
    commands = [scene.requested(*scene.scheduled(2)) for _ in range(3)]
    running = asyncio.create_task(scene.worker(provider).run(handed(*map(Handed, commands)), NEVER()))
    await gate.reached.wait()
    assert sorted(map(scene.dispatch_status, commands)) == ["requested", "requested", "started"]
    gate.opened.set()
    await running
    assert {scene.dispatch_status(command) for command in commands} == {"finished"}


async def test_a_dispatch_larger_than_the_room_is_still_delivered(scene: Scene) -> None:
    provider = Provider(idempotent=False, concurrency=2)
    command = scene.requested(*scene.scheduled(5))
    await scene.worker(provider).run(handed(Handed(command)), NEVER())
    assert len(provider.calls) == 5


async def test_a_stop_finishes_what_is_claimed_and_puts_the_rest_back(scene: Scene) -> None:
    provider = Provider(idempotent=False, concurrency=1)
    gate = provider.before_answer = Gate(expected=1)
    first, second = (Handed(scene.requested(*scene.scheduled())) for _ in range(2))
    stop, forever = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(scene.worker(provider).run(handed(first, second, then_wait_for=forever), stop))
    await gate.reached.wait()
    stop.set()
    gate.opened.set()
    await running
    assert (first.acknowledged, first.was_put_back) == (1, 0)
    assert (second.acknowledged, second.was_put_back) == (0, 1)
    assert scene.dispatch_status(second.command) == "requested"


async def test_when_the_time_to_finish_is_over_open_calls_are_in_doubt_and_the_rest_is_released(scene: Scene) -> None:
    provider = Provider(concurrency=1)
    gate = provider.before_answer = Gate(expected=1)
    ids = scene.scheduled(2)
    delivery = Handed(scene.requested(*ids))
    stop = asyncio.Event()
    running = asyncio.create_task(scene.worker(provider).run(handed(delivery), stop, finish_within_seconds=0))
    await gate.reached.wait()
    stop.set()
    await running
    assert [scene.last(id_).reason for id_ in ids] == ["stopped", "stopped"]
    assert [scene.message(id_).status for id_ in ids] == ["in_doubt", "retrying"]
    assert delivery.acknowledged == 1
    assert len(provider.calls) == 1


async def test_when_the_time_to_finish_is_over_an_answer_is_kept_that_others_are_still_told_of(scene: Scene) -> None:
    class Telling(OpenGate):
        reached = asyncio.Event()

        async def leave(self, answers: Sequence[Answer] = ()) -> None:
            self.reached.set()
            await asyncio.Event().wait()

    ids = scene.scheduled(2)
    delivery, stop, gate = Handed(scene.requested(*ids)), asyncio.Event(), Telling()
    worker = scene.worker(Provider(concurrency=1), gate=gate)
    running = asyncio.create_task(worker.run(handed(delivery), stop, finish_within_seconds=0))
    await gate.reached.wait()
    stop.set()
    async with asyncio.timeout(LONG_SECONDS):
        await running
    assert [scene.message(id_).status for id_ in ids] == ["sent", "retrying"]
    assert scene.last(ids[1]).reason == "stopped"
    assert delivery.acknowledged == 1


async def test_when_the_time_to_finish_is_over_nobody_waits_to_see_what_is_paused(scene: Scene) -> None:
    class Slow(NeverPaused):
        looks, reached = 0, asyncio.Event()

        async def current(self) -> PausedNames:
            self.looks += 1
            if self.looks > 1:
                self.reached.set()
                await asyncio.Event().wait()
            return ()

    ids = scene.scheduled(2)
    delivery, stop, pauses = Handed(scene.requested(*ids)), asyncio.Event(), Slow()
    worker = scene.worker(Provider(concurrency=1), pauses=pauses)
    running = asyncio.create_task(worker.run(handed(delivery), stop, finish_within_seconds=0))
    await pauses.reached.wait()
    stop.set()
    async with asyncio.timeout(LONG_SECONDS):
        await running
    assert [scene.last(id_).reason for id_ in ids] == ["stopped", "stopped"]
    assert [scene.message(id_).status for id_ in ids] == ["retrying", "retrying"]
    assert delivery.acknowledged == 1


async def test_no_call_is_begun_that_could_outlast_the_time_to_finish(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider(concurrency=1)
    gate = provider.before_answer = Gate(expected=1)
    ids = scene.scheduled(3)
    worker, stop, told = scene.worker(provider), asyncio.Event(), asyncio.Event()
    call_no_more = worker.call_no_more

    def noticed() -> None:
        call_no_more()
        told.set()

    monkeypatch.setattr(worker, "call_no_more", noticed)
    delivery = Handed(scene.requested(*ids))
    running = asyncio.create_task(worker.run(handed(delivery), stop, finish_within_seconds=provider.call_timeout_seconds))
    await gate.reached.wait()
    stop.set()
    await told.wait()
    gate.opened.set()
    await running
    assert [scene.message(id_).status for id_ in ids] == ["sent", "retrying", "retrying"]
    assert [scene.last(id_).reason for id_ in ids[1:]] == ["stopped", "stopped"]
    assert delivery.acknowledged == 1


async def test_nothing_is_claimed_without_a_lease(scene: Scene) -> None:
    looked = asyncio.Event()

    class Lapsed(Lease):
        def may_call(self) -> bool:
            looked.set()
            return False

    delivery = Handed(scene.requested(*scene.scheduled()))
    stop, forever = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(scene.worker(lease=Lapsed()).run(handed(delivery, then_wait_for=forever), stop))
    await looked.wait()
    stop.set()
    await running
    assert scene.dispatch_status(delivery.command) == "requested"
    assert delivery.was_put_back == 1


async def test_a_database_that_stays_away_ends_the_worker_and_nothing_is_acknowledged() -> None:
    class Gone(FakeEventStore):
        outage = False
        noticed = asyncio.Event()

        def append(self, *arguments: Any) -> Any:
            if self.outage:
                loop.call_soon_threadsafe(self.noticed.set)
                raise StoreUnavailable
            return super().append(*arguments)

    loop = asyncio.get_running_loop()
    store = Gone()
    scene = Scene(store)
    delivery = Handed(scene.requested(*scene.scheduled()))
    store.outage = True
    stop = asyncio.Event()
    running = asyncio.create_task(scene.worker().run(handed(delivery), stop, finish_within_seconds=0))
    await store.noticed.wait()
    stop.set()
    with pytest.raises(ExceptionGroup) as raised:
        await running
    assert raised.group_contains(StoreUnavailable)
    assert delivery.acknowledged == 0


async def test_a_stopped_worker_closes_its_deliveries(scene: Scene) -> None:
    stop, given_back = asyncio.Event(), []

    class Waiting:
        def __aiter__(self) -> "Waiting":
            return self

        async def __anext__(self) -> Handed:
            stop.set()
            await asyncio.Event().wait()
            raise StopAsyncIteration

        async def aclose(self) -> None:
            given_back.append(True)

    await scene.worker().run(Waiting(), stop)
    assert given_back == [True]


async def test_a_cancelled_worker_leaves_no_call_behind(scene: Scene) -> None:
    gate = scene.provider.before_answer = Gate(expected=2)
    delivery = Handed(scene.requested(*scene.scheduled(2)))
    running = asyncio.create_task(scene.worker().run(handed(delivery), NEVER()))
    await gate.reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
    assert scene.provider.open_calls == 0
    assert delivery.acknowledged == 0
