"""The dispatcher: due messages become send commands on the bus, and dead workers' claims are taken over. One leads."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from threading import Thread
from typing import Final

from infrastructure.leader import Elector
from ops.running import REST_SECONDS, Stop, lead, lead_async
from ops.wiring import Parts, dispatcher, publisher, recovery, repeat_doubt, retry_parked

LOOK_FOR_DEAD_SECONDS: Final = 1.0
LOOK_FOR_DOUBT_SECONDS: Final = 1.0  # it is repeated ten seconds later


async def run_dispatcher(parts: Parts, stop: Stop) -> None:
    """Returns once told to stop."""
    with Elector(parts.database, "dispatcher", take_over_at_once=parts.alone) as elector:
        threads = [
            Thread(target=work, args=(parts, elector, stop), name=work.__name__) for work in (_dispatch, _recover, _repeat)
        ]
        for thread in threads:
            thread.start()
        await _publish(parts, elector, stop)
        await asyncio.to_thread(_join, threads)


def _dispatch(parts: Parts, elector: Elector, stop: Stop) -> None:
    listener = parts.wakeups.listener()
    waits = 0.0

    def begin() -> Callable[[], bool]:
        term = dispatcher(parts, elector)

        def step() -> bool:
            nonlocal waits
            now = parts.clock.now()
            more = term.step(now, steady=parts.clock.steady())
            waits = term.next_wake(now)
            return more

        return step

    lead("dispatcher", elector, begin, lambda: listener.wait(("messages", "dispatches"), waits, REST_SECONDS), stop.thread)


def _recover(parts: Parts, elector: Elector, stop: Stop) -> None:
    def begin() -> Callable[[], bool]:
        term, left_alone = recovery(parts, elector), retry_parked(parts, elector)

        def step() -> bool:
            more = left_alone.step(parts.clock.now())
            return term.step(parts.clock.now(), time.monotonic()) or more

        return step

    lead("recovery", elector, begin, partial(stop.thread.wait, LOOK_FOR_DEAD_SECONDS), stop.thread)


def _repeat(parts: Parts, elector: Elector, stop: Stop) -> None:
    def begin() -> Callable[[], bool]:
        term = repeat_doubt(parts, elector)
        return lambda: term.step(parts.clock.now())

    lead("repeats", elector, begin, partial(stop.thread.wait, LOOK_FOR_DOUBT_SECONDS), stop.thread)


async def _publish(parts: Parts, elector: Elector, stop: Stop) -> None:
    listener = parts.announcer.made_here.listener()  # who leads requests, here: the workers' words on dispatches wake nobody
    waits = 0.0

    def begin() -> Callable[[], Awaitable[bool]]:
        term = publisher(parts, elector)

        async def step() -> bool:
            nonlocal waits
            more = await term.step(parts.clock.now())
            waits = term.back_off_seconds
            return more

        return step

    async def rest() -> None:
        if waits:
            await stop.sleep(waits)
        else:
            await asyncio.to_thread(listener.wait, ("dispatches",))

    await lead_async("publisher", elector, begin, rest, stop)


def _join(threads: list[Thread]) -> None:
    for thread in threads:
        thread.join()
