"""Who fills the tables of a build: this process alone, or several beside it, that end with it?"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from itertools import islice
from multiprocessing import get_context
from threading import local
from time import monotonic
from typing import Final, Literal

from msgspec import Struct

from infrastructure.beside import begin_beside
from infrastructure.calm import Calm
from infrastructure.database import Database
from infrastructure.keyring import Keyring
from infrastructure.read_model_build import Build, Fill, Finish, Task
from infrastructure.read_model_filler import Filler

WORTH_PROCESSES_EVENTS: Final = 100_000
LOOK_SECONDS: Final = 0.5
YIELDING: Final = 10
"""The niceness of who fills: messages and questions go first."""

Stage = Literal["reading", "indexing", "catching up", "comparing", "waiting for readers"]
Numbered = tuple[int, Task]
Each = Callable[[Sequence[Numbered], Callable[[], bool]], Iterator[tuple[Task, int]]]

_here: Final = local()  # what a process beside this one has at hand


class Stopped(Exception):
    """Told to stop; what is done by then is gone on with the next time."""


class HandsLost(Exception):
    """One of the processes has died."""


class Told(Struct, frozen=True):
    """How far it is: of `whole`, by estimate; while reading, `events` is how many they were in this run."""

    stage: Stage
    done: int
    whole: int
    events: int = 0


Watch = Callable[[Told], None]


class Filling:
    """Has every task of a build done that is not done yet."""

    def __init__(self, dsn: str, master_key: bytes, processes: int | None = None) -> None:
        """Unless told a number: a process for each core, if it is worth it, and half as many at work while messages are sent.

        With 1, this process does all.
        """
        self._dsn, self._master_key, self._processes = dsn, master_key, processes

    def run(self, build: Build, watch: Watch, stopped: Callable[[], bool]) -> None:
        """Raises Stopped, Overtaken, StoreUnavailable, BrokenProcessPool."""
        tasks = self._tasks(build)
        if all(done for _, _, done in tasks):
            return
        whole, left = sum(_events(task) for _, task, _ in tasks), sum(_events(task) for _, task, done in tasks if not done)
        with self._hands(build, left) as each:
            done, read = whole - left, 0
            watch(Told("reading", done, whole))
            while fills := self._left(build, Fill):
                for task, events in each(fills, stopped):
                    done, read = done + _events(task), read + events
                    watch(Told("reading", done, whole, read))
            while finishes := self._left(build, Finish):
                for number, _ in enumerate(each(finishes, stopped), start=1):
                    watch(Told("indexing", number, len(finishes)))

    def _left(self, build: Build, kind: type[Task]) -> list[Numbered]:
        return [(number, task) for number, task, done in self._tasks(build) if isinstance(task, kind) and not done]

    def _tasks(self, build: Build) -> list[tuple[int, Task, bool]]:
        """As they are after a crash of the server, too, which may take what fillers committed.

        The lock goes to the disk, and with it all that was committed before.
        """
        with _database(self._dsn) as database, database.transaction() as cursor:
            build.hold(cursor)
            return build.tasks(cursor)

    @contextmanager
    def _hands(self, build: Build, events: int) -> Iterator[Each]:
        number = self._processes or (os.cpu_count() or 1 if events >= WORTH_PROCESSES_EVENTS else 1)
        if number == 1:
            with _database(self._dsn) as database:
                yield partial(_alone, Filler(database, Keyring(self._master_key), build))
            return
        begin = (self._dsn, self._master_key, build)
        with (
            _database(self._dsn) as database,
            ProcessPoolExecutor(number, get_context("spawn"), initializer=_begin, initargs=begin) as hands,
        ):
            calm = Calm(database)
            yielding = max(1, number // 2)
            yield partial(_together, hands, lambda: number if self._processes or calm.looked_at(monotonic()) else yielding)


def _alone(filler: Filler, tasks: Sequence[Numbered], stopped: Callable[[], bool]) -> Iterator[tuple[Task, int]]:
    for number, task in tasks:
        if stopped():
            raise Stopped
        yield task, filler.run(number, task)


def _together(
    hands: Executor, most: Callable[[], int], tasks: Sequence[Numbered], stopped: Callable[[], bool]
) -> Iterator[tuple[Task, int]]:
    """In the order in which they are done, at most so many at a time."""
    left, waiting = iter(tasks), dict[Future[int], Task]()
    try:
        while True:
            for number, task in islice(left, max(0, most() - len(waiting))):
                waiting[hands.submit(_run, number, task)] = task
            if not waiting:
                return
            done, _ = wait(waiting, LOOK_SECONDS, FIRST_COMPLETED)
            if stopped():
                raise Stopped
            for future in done:
                yield waiting.pop(future), future.result()
    except BrokenProcessPool as error:
        raise HandsLost("a process that filled the tables has died; begun again, it goes on from there") from error
    finally:
        for future in waiting:
            future.cancel()


def _events(task: Task) -> int:
    return task.stretch.events if isinstance(task, Fill) else 0


def _database(dsn: str) -> Database:
    return Database(dsn, application_name="ninebell rebuild", size=1, shared=False)


def _begin(dsn: str, master_key: bytes, build: Build) -> None:
    begin_beside()
    os.nice(YIELDING)
    database = _database(dsn)
    database.open(wait=False)  # an outage is told task by task
    _here.filler = Filler(database, Keyring(master_key), build)


def _run(number: int, task: Task) -> int:
    filler: Filler = _here.filler
    return filler.run(number, task)
