"""How does a role go on, through outages and changes of leader, until it is told to stop?"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

import structlog

from application.delivery_ports import BusUnavailable
from application.ports import Deposed, PositionLost, StoreUnavailable

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.5
REST_SECONDS: Final = 0.05
"""Of a follower that has nothing more to do: in a herd every append wakes it, and most of a small step is what any step costs."""
MISSING: Final = {StoreUnavailable: "database", BusUnavailable: "broker", Deposed: "leadership", PositionLost: "position"}

Step = Callable[[], bool]
AsyncStep = Callable[[], Awaitable[bool]]

log = structlog.get_logger()


class WorkersRefuse(Exception):
    """The processes of a supervisor can't start, and would not the next time."""


class Stop:
    """Told once, heard by threads and by the event loop."""

    def __init__(self) -> None:
        self.thread = threading.Event()
        self.loop = asyncio.Event()

    def set(self) -> None:
        """To be called on the event loop, as signal handlers are."""
        self.thread.set()
        self.loop.set()

    async def sleep(self, seconds: float) -> None:
        """Until then, or until told to stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.loop.wait(), seconds)


class Pause:
    """Grows with every failure in a row."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._seconds = FIRST_PAUSE_SECONDS

    def over(self) -> None:
        """It went well."""
        self._seconds = FIRST_PAUSE_SECONDS

    def after(self, error: Exception) -> float:
        """How long to wait, seconds. The error is logged by its kind alone, as a driver's text can quote a person's data."""
        seconds, self._seconds = self._seconds, min(2 * self._seconds, LONGEST_PAUSE_SECONDS)
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]  # of several tasks the first to fail; the group as such says nothing
        if missing := MISSING.get(type(error)):
            said = f"{type(error).__name__} {error}"
            log.warning("waiting", role=self._role, missing=missing, error=said, pause_seconds=seconds)
        else:
            log.error("failed", role=self._role, error=type(error).__name__, at=places_in(error), pause_seconds=seconds)
        return seconds


class Leads(Protocol):
    """Who knows whether this process leads."""

    @property
    def leadership(self) -> object | None: ...

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it does, waiting for it if need be."""


def lead(role: str, elector: Leads, begin: Callable[[], Step], rest: Callable[[], object], stop: threading.Event) -> None:
    """While this process leads: step, and rest whenever there is no more to do. Outages are waited out.

    `begin` makes the step afresh for every term and after every failure, as nothing it remembers may hold any more.
    """
    pause, step = Pause(role), None
    while not stop.is_set():
        if not elector.wait(LOOK_SECONDS):
            step = None
            continue
        try:
            step = step or begin()
            while step() and not stop.is_set():
                pass
        except Exception as error:  # noqa: BLE001  a role ends only when told to
            step = None
            stop.wait(pause.after(error))
        else:
            pause.over()
            rest()


async def lead_async(
    role: str, elector: Leads, begin: Callable[[], AsyncStep], rest: Callable[[], Awaitable[object]], stop: Stop
) -> None:
    """The same on the event loop."""
    pause, step = Pause(role), None
    while not stop.loop.is_set():
        if elector.leadership is None:
            step = None
            await stop.sleep(LOOK_SECONDS)
            continue
        try:
            step = step or begin()
            while await step() and not stop.loop.is_set():
                pass
        except Exception as error:  # noqa: BLE001  as above
            step = None
            await stop.sleep(pause.after(error))
        else:
            pause.over()
            await rest()


def places_in(error: Exception) -> str:
    """Where a bug is: files and lines, never values."""
    trace, places = error.__traceback__, []
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " ".join(places[-6:])
