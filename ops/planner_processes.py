"""Who plans where very many people wait to be planned: processes beside the planner, which end with it?"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from threading import Timer, local
from time import monotonic
from types import TracebackType
from typing import Final, Self

import structlog

from application.plan_messages import PEOPLE_AT_ONCE, Planner
from application.planner_ports import PlannerWork
from application.ports import Deposed, PositionLost, StoreUnavailable
from infrastructure.beside import begin_beside
from infrastructure.calm import Calm
from infrastructure.leader import Leadership
from infrastructure.planner_pages import Page, PostgresPageWork
from infrastructure.work import begin_work, read_position
from ops.installation import Installation
from ops.logs import configure_logs
from ops.running import places_in
from ops.settings import Settings
from ops.wiring import Parts, build

WORTH_PROCESSES_EVENTS: Final = 60_000
"""Three seconds of one process; to start the others takes one."""
MOST_PROCESSES: Final = 4
"""Pages are committed one after another, and that is half of what one takes."""
PAGES_A_STEP: Final = 50
IDLE_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 30.0
"""So long no page ends only where a process stands still: for its turn, or a lock, none waits as long."""
ALONE_SECONDS: Final = 60.0
"""So long the planner goes on alone after one has died or stood still: what ended it, a want of memory say, may end the next."""

log = structlog.get_logger()
_here: Final = local()  # what a process beside the planner has at hand


class PageFailed(Exception):
    """A page could not be planned; told by the kind of the error."""


class PlannerProcesses:
    """They are there while they are needed. What they do is what the planner does, page by page, in the log's order."""

    def __init__(
        self,
        parts: Parts,
        guard: Callable[[], Leadership | None],
        processes: int | None = None,
        *,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        """Unless told a number: one for each core, four at most, and half as many while messages are sent."""
        self._parts, self._guard, self._told, self._silent_seconds = parts, guard, processes, silent_seconds
        self._number = processes or min(os.cpu_count() or 1, MOST_PROCESSES)
        self._calm = Calm(parts.database)
        self._pool: ProcessPoolExecutor | None = None
        self._starting: list[Future[None]] = []
        self._needed_at, self._alone_until = 0.0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def ahead(self, behind: int, now: datetime) -> bool:
        """`application.plan_messages.Ahead`. Raises Deposed, PositionLost, StoreUnavailable, PageFailed."""
        at = monotonic()
        worth = behind >= (2 * PEOPLE_AT_ONCE if self._pool else WORTH_PROCESSES_EVENTS) and at >= self._alone_until
        hands = self._hands(now) if worth else 0
        if hands < 2:
            if at - self._needed_at > IDLE_SECONDS:
                self._end()
            return False
        self._needed_at = at
        pool = self.start()
        if not self.started:
            return False  # and the planner goes on alone meanwhile
        pages = self._pages(hands, now)
        self._plan(pool, pages, hands)
        return bool(pages)

    def start(self) -> ProcessPoolExecutor:
        """Begin to, unless they are there; does not wait for them."""
        if self._pool is None:
            begin = (self._parts.settings, self._parts.installation)
            self._pool = ProcessPoolExecutor(self._number, get_context("spawn"), initializer=_begin, initargs=begin)
            self._starting = [self._pool.submit(_ready) for _ in range(self._number)]
        return self._pool

    @property
    def started(self) -> bool:
        """Whether they are ready to plan."""
        return self._pool is not None and all(one.done() for one in self._starting)

    def _hands(self, now: datetime) -> int:
        return self._number if self._told or self._calm.at_once(now) else self._number // 2

    def _pages(self, hands: int, now: datetime) -> list[Page]:
        """Whole ones alone. As they are committed in order, those that are not yet when one begins are the few before it."""
        with self._parts.database.cursor() as cursor:
            position = read_position(cursor, "planner", "users")
        ends = range(position, self._parts.store.head().users + 1, PEOPLE_AT_ONCE)[: PAGES_A_STEP + 1]
        return [
            Page(settled=ends[max(0, place + 1 - hands)], after=after, until=until, now=now)
            for place, (after, until) in enumerate(pairwise(ends))
        ]

    def _plan(self, pool: ProcessPoolExecutor, pages: Sequence[Page], hands: int) -> None:
        """Of those begun, the first is the first to end."""
        leadership, waiting = self._guard(), deque[Future[None]]()
        try:
            for page in pages:
                if len(waiting) == hands:
                    waiting.popleft().result(self._silent_seconds)
                waiting.append(pool.submit(_plan, page, leadership))
            while waiting:
                waiting.popleft().result(self._silent_seconds)
        except (BrokenProcessPool, TimeoutError) as error:
            self._go_alone()
            raise PageFailed("a process beside the planner has died, or stood still") from error
        finally:
            for left in waiting:
                left.cancel()
            if wait(waiting, self._silent_seconds).not_done:
                self._go_alone()

    def _go_alone(self) -> None:
        self._alone_until = monotonic() + ALONE_SECONDS
        self._end(0.0)

    def _end(self, patience_seconds: float | None = None) -> None:
        """They end by themselves, but for one that stands still: it would be waited for for ever."""
        if self._pool:
            patience = self._silent_seconds if patience_seconds is None else patience_seconds
            killing = Timer(patience, _kill, (list(self._pool._processes.values()),))  # noqa: SLF001  public from 3.14 on
            killing.start()
            self._pool.shutdown(cancel_futures=True)
            killing.cancel()
            self._pool = None


def _kill(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.kill()


def _begin(settings: Settings, installation: Installation) -> None:
    begin_beside()
    configure_logs()
    parts = build(settings, installation, name="planner page")
    parts.database.open(wait=False)  # an outage is told page by page, as any
    parts.announcer.start()

    def begin() -> AbstractContextManager[PlannerWork]:
        kind = partial(PostgresPageWork, page=_here.page)
        return begin_work(parts.store, kind, "planner", _here.leadership)

    _here.planner = Planner(begin, parts.types)


def _ready() -> None:
    """What a process does first."""


def _plan(page: Page, leadership: Leadership | None) -> None:
    _here.page, _here.leadership = page, leadership
    try:
        _here.planner.follow_users(page.now)
    except (Deposed, PositionLost, StoreUnavailable):
        raise
    except Exception as error:  # noqa: BLE001  whatever it holds, it would go from process to process
        kind = type(error).__name__
        log.error("failed", role="planner page", page=f"{page.after}-{page.until}", error=kind, at=places_in(error))
        raise PageFailed(kind) from None
