"""The dispatcher: due messages become send commands, and dead workers' claims are taken over. One leads in each region."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from threading import Thread
from typing import Final

import structlog

from domain.region import REGIONS
from infrastructure.region_leaders import RegionLeaders
from ops.running import REST_SECONDS, Stop, lead, lead_async
from ops.wiring import Parts, dispatcher, publisher, recovery, repeat_doubt, retry_parked

log = structlog.get_logger()

LOOK_FOR_DEAD_SECONDS: Final = 1.0
LOOK_FOR_DOUBT_SECONDS: Final = 1.0  # it is repeated ten seconds later


async def run_dispatcher(parts: Parts, stop: Stop, regions: Sequence[str] = REGIONS) -> None:
    """Leads what it can get of these regions. Returns once told to stop."""
    with RegionLeaders(parts.database, "dispatcher", regions, take_over_at_once=parts.alone) as leaders:
        threads = [
            Thread(target=work, args=(parts, leaders, stop), name=work.__name__) for work in (_dispatch, _recover, _repeat)
        ]
        for thread in threads:
            thread.start()
        await _publish(parts, leaders, stop)
        await asyncio.to_thread(_join, threads)


def _dispatch(parts: Parts, leaders: RegionLeaders, stop: Stop) -> None:
    listener = parts.wakeups.listener()
    waits = 0.0

    def begin() -> Callable[[], bool]:
        mine = dispatcher(parts, leaders.term())

        def step() -> bool:
            nonlocal waits
            now = parts.clock.now()
            more = mine.step(now, steady=parts.clock.steady())
            waits = mine.next_wake(now)
            return more

        return step

    lead("dispatcher", leaders, begin, lambda: listener.wait(("messages", "dispatches"), waits, REST_SECONDS), stop.thread)


def _recover(parts: Parts, leaders: RegionLeaders, stop: Stop) -> None:
    def begin() -> Callable[[], bool]:
        term = leaders.term()
        dead, left_alone = recovery(parts, term), retry_parked(parts, term)

        def step() -> bool:
            more = left_alone.step(parts.clock.now())
            return dead.step(parts.clock.now(), time.monotonic()) or more

        return step

    lead("recovery", leaders, begin, partial(stop.thread.wait, LOOK_FOR_DEAD_SECONDS), stop.thread)


def _repeat(parts: Parts, leaders: RegionLeaders, stop: Stop) -> None:
    def begin() -> Callable[[], bool]:
        doubts = repeat_doubt(parts, leaders.term())
        return lambda: doubts.step(parts.clock.now())

    lead("repeats", leaders, begin, partial(stop.thread.wait, LOOK_FOR_DOUBT_SECONDS), stop.thread)


async def _publish(parts: Parts, leaders: RegionLeaders, stop: Stop) -> None:
    listener = parts.announcer.made_here.listener()  # who leads requests, here: the workers' words on dispatches wake nobody
    waits = 0.0

    def begin() -> Callable[[], Awaitable[bool]]:
        mine = publisher(parts, leaders.term())

        async def step() -> bool:
            nonlocal waits
            more = await mine.step(parts.clock.now())
            waits = mine.back_off_seconds
            if waits:
                log.warning("waiting", role="publisher", missing="broker", pause_seconds=waits)
            return more

        return step

    async def rest() -> None:
        if waits:
            await stop.sleep(waits)
        else:
            await asyncio.to_thread(listener.wait, ("dispatches",))

    await lead_async("publisher", leaders, begin, rest, stop)


def _join(threads: list[Thread]) -> None:
    for thread in threads:
        thread.join()
