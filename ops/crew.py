"""How are worker processes kept running, started again when they fail, and ended together with whoever keeps them?"""

import asyncio
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Sequence
from typing import Final

import structlog
from prometheus_client import Gauge

from application.scale_workers import pause_after
from ops.lifeline import END_SECONDS
from ops.running import Stop
from ops.settings import environment_without

REFUSED: Final = 2
"""The exit code for wrong usage or settings, and for what no waiting mends: the same next time."""

log = structlog.get_logger()
running = Gauge("ninebell_workers_running", "Worker processes of this supervisor")
restarted = Gauge("ninebell_workers_restarted", "Workers it has started again after they had ended by themselves")


class Crew:
    """Worker processes, each in a place of its own where it is started again, with pauses that grow, if it ends by itself."""

    def __init__(self, command: Sequence[str], lifeline: int, most: int, tasks: asyncio.TaskGroup, stop: Stop) -> None:
        """Never more than `most` processes; `stop` is set when a worker refuses to start."""
        self._command, self._lifeline, self._most, self._tasks, self._stop = command, lifeline, most, tasks, stop
        self._places: list[asyncio.Event] = []  # of those that stay; set to leave
        self._taken = 0  # with those about to leave
        self.refused = False

    def resize(self, wanted: int) -> None:
        """The newest leave first. Who has still to leave holds a place up: the next call goes on."""
        while len(self._places) > wanted:
            self._places.pop().set()
        while len(self._places) < wanted and self._taken < self._most:
            leave = asyncio.Event()
            self._places.append(leave)
            self._taken += 1
            self._tasks.create_task(self._keep(leave))

    async def _keep(self, leave: asyncio.Event) -> None:
        pause: float | None = None
        while not leave.is_set():
            began = time.monotonic()
            how = await self._work(leave)
            if leave.is_set():
                break
            if how == REFUSED:
                self.refused = True
                self._stop.set()
                break
            lived = time.monotonic() - began
            pause = pause_after(lived, pause)
            restarted.inc()
            log.warning("worker_ended", exit=how, lived_seconds=round(lived, 1), started_again_in_seconds=pause)
            await _until(leave, pause)
        self._taken -= 1

    async def _work(self, leave: asyncio.Event) -> int | str:
        """One process, to its end or until told to leave; its exit code, negative for a signal, or why there was none."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=self._lifeline,
                env=environment_without("NINEBELL_OPS_LISTEN"),  # where the supervisor listens
                start_new_session=True,  # a terminal's Ctrl-C comes to us alone
            )
        except OSError as error:
            return error.strerror or type(error).__name__
        with running.track_inprogress():
            ending, leaving = asyncio.create_task(process.wait()), asyncio.create_task(leave.wait())
            await asyncio.wait({ending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            if not ending.done():
                await _end(process, ending)
            return await ending


async def _end(process: Process, ending: asyncio.Task[int]) -> None:
    process.terminate()
    await asyncio.wait({ending}, timeout=END_SECONDS)
    if not ending.done():
        log.warning("worker_killed", pid=process.pid, told_to_end_before_seconds=END_SECONDS)
        process.kill()


async def _until(event: asyncio.Event, seconds: float) -> None:
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({waiting}, timeout=seconds)
    waiting.cancel()


def worker_command() -> list[str]:
    """A worker, started as this process was."""
    own = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    return [sys.executable, *own, "run", "worker", "--until-stdin-closes"]
