"""How do the shards of a simulation live at the same time, and what do they tell meanwhile?"""

import os
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from psycopg import sql

from application.import_users import Rejection
from infrastructure.database import translated
from infrastructure.embedded_postgres import EmbeddedPostgres
from ops.settings import Settings
from ops.simulation import Lived, Report, Span, live
from ops.simulation_parts import is_capped
from ops.simulation_people import Shard

MOST_PROCESSES: Final = 4
WORTH_IT: Final = 10_000_000
"""From so many bytes of people times days on, another process saves more time than it takes to start."""


class ShardLost(Exception):
    """A process of a simulation has died, and with it the lives it had to tell of."""


def processes_for(settings: Settings, span: Span) -> int:
    """One where there is little to do, where people come through a pipe, or where what one gets hangs on what another got."""
    if is_capped(settings) or not span.people.is_file():
        return 1
    worth_it = span.people.stat().st_size * (span.end - span.start).days >= WORTH_IT
    return min(os.cpu_count() or 1, MOST_PROCESSES) if worth_it else 1


def live_in(processes: int, settings: Settings, span: Span, report: Report) -> list[Lived]:
    """Everybody's lives, shard by shard: each on a database of its own, of one server that goes away afterwards.

    Raises PostgresNotStarted, ShardLost, StoreUnavailable, WrongSettings.
    """
    shards = [Shard(number, processes) for number in range(processes)]
    if processes == 1:
        with _server() as postgres:
            return [live(settings, _database(postgres, shards[0]), span, shards[0], report)]
    context = get_context("spawn")
    with ExitStack() as held:  # they come to their feet while the server does
        apart = [held.enter_context(_Process(context, settings, span, shard)) for shard in shards]
        with _server() as postgres:
            try:
                for process in apart:
                    process.begin(_database(postgres, process.shard))
                return _gathered(apart, report)
            finally:
                for process in apart:
                    process.end()


@contextmanager
def _server() -> Iterator[EmbeddedPostgres]:
    with (
        TemporaryDirectory(prefix="ninebell-simulation-", ignore_cleanup_errors=True) as directory,
        EmbeddedPostgres.start(directory, durable=False) as postgres,
    ):
        yield postgres


def _database(postgres: EmbeddedPostgres, shard: Shard) -> str:
    """The first shard begins at once, in the database that is there; the others' take a moment to make."""
    if shard.number == 0:
        return postgres.dsn
    name = f"shard_{shard.number}"
    with translated(), psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return postgres.dsn_of(name)


class _Process:
    """A shard in a process of its own, which leaves nothing behind however it ends: the server is ours."""

    def __init__(self, context: SpawnContext, settings: Settings, span: Span, shard: Shard) -> None:
        self.shard = shard
        self.link, theirs = context.Pipe()
        self._process = context.Process(target=_live_apart, args=(theirs, settings, span, shard), daemon=True)
        with _uninterrupted():
            self._process.start()
        theirs.close()  # so that the link breaks with the process

    def begin(self, dsn: str) -> None:
        with self._alive():
            self.link.send(dsn)

    def told(self) -> Any:
        """What was sent next."""
        with self._alive():
            return self.link.recv()

    @contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            self._process.join()
            raise ShardLost(f"a process of the simulation ended with code {self._process.exitcode}") from None

    def end(self) -> None:
        """Whatever it does. Twice is harmless."""
        self._process.terminate()
        self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """What is started in here is deaf to Ctrl-C: that is for us, who will end it."""
    resource_tracker.ensure_running()  # before, as to start it lifts the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _gathered(apart: Sequence[_Process], report: Report) -> list[Lived]:
    """Raises what one of them raised."""
    living = {process.link: process for process in apart}
    lived: dict[int, Lived] = {}
    while living:
        for link in wait(list(living)):
            process = living[link]  # type: ignore[index]
            match told := process.told():
                case Lived():
                    lived[process.shard.number] = told
                    del living[process.link]
                case BaseException():
                    raise told
                case Rejection():
                    report(told)
                case share:
                    report(share / len(apart))
    return [lived[process.shard.number] for process in apart]


def _live_apart(link: "Connection[Any, Any]", settings: Settings, span: Span, shard: Shard) -> None:
    import holidays.countries  # noqa: F401  half a second, which passes while the server starts

    with suppress(EOFError, BrokenPipeError):  # nobody is there any more
        dsn = link.recv()
        try:
            link.send(live(settings, dsn, span, shard, link.send))
        except Exception as error:  # noqa: BLE001  it is raised where somebody can be told
            error.add_note(traceback.format_exc())
            link.send(error)
