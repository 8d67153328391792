"""`ninebell run worker --autoscale`: as many workers as the backlog wants, each a process, and ahead of the herd that comes."""

import asyncio
import re
import time
from typing import Final

import structlog
from prometheus_client import Gauge

from application.due_messages import DueMessages
from application.ports import StoreUnavailable
from application.scale_workers import Backlog, Bounds, Scale, rescale
from infrastructure.backlog import read_backlog
from ops.crew import Crew, worker_command
from ops.lifeline import lifeline
from ops.running import Pause, Stop, WorkersRefuse
from ops.settings import WrongSettings
from ops.wiring import Parts

LOOK_SECONDS: Final = 3.0
MOST: Final = 1_000
_MIN_MAX: Final = re.compile(r"\d{1,4}:\d{1,4}", re.ASCII)

log = structlog.get_logger()
wanted = Gauge("ninebell_workers_wanted", "Workers that the backlog and the herd ahead call for")


def bounds_of(said: str) -> Bounds:
    """From MIN:MAX. Raises WrongSettings."""
    if _MIN_MAX.fullmatch(said):
        bounds = Bounds(*map(int, said.split(":")))
        if 1 <= bounds.least <= bounds.most <= MOST:
            return bounds
    raise WrongSettings(f"--autoscale {said}: must be MIN:MAX, such as 2:20, from 1 to {MOST}")


async def autoscale(parts: Parts, stop: Stop, bounds: Bounds) -> None:
    """Returns once told to stop and every worker has ended. Raises WorkersRefuse when they can't start."""
    scale, pause = Scale(bounds.least), Pause("autoscale")
    with lifeline() as end:
        async with asyncio.TaskGroup() as tasks:
            crew = Crew(worker_command(), end, bounds.most, tasks, stop)
            while not stop.loop.is_set():
                wanted.set(scale.workers)
                crew.resize(scale.workers)
                await stop.sleep(LOOK_SECONDS)
                try:
                    scale = await _look(parts, scale, bounds)
                except StoreUnavailable as error:  # what there is stays
                    await stop.sleep(pause.after(error))
                else:
                    pause.over()
            crew.resize(0)
    if crew.refused:
        raise WorkersRefuse("the workers can't start; what they say stands above")


async def _look(parts: Parts, before: Scale, bounds: Bounds) -> Scale:
    found = await asyncio.to_thread(_backlog, parts, bounds.enough)
    scale = rescale(before, found, bounds, time.monotonic())
    if scale.workers != before.workers:
        told = {"workers": scale.workers, "before": before.workers, "waiting": found.waiting, "coming": found.coming}
        log.info("scaling", reason=scale.why, **told)
    return scale


def _backlog(parts: Parts, enough: int) -> Backlog:
    priorities = DueMessages(parts.types, parts.channels).priorities
    return read_backlog(parts.database, parts.channels.names, priorities, parts.clock.now(), enough)
