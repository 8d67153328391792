"""Which roles does this process have, and how are they started, watched and stopped together?"""

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any, Final, Literal

import structlog

from api.app import HEALTH, ROUTES
from application.delivery_ports import BusUnavailable
from application.ports import StoreUnavailable
from domain.region import REGIONS
from infrastructure.embedded_postgres import DataDirectoryBusy
from infrastructure.keyring import WrongMasterKey
from infrastructure.postgres_cluster import PostgresNotStarted
from infrastructure.projector import NewerTables
from infrastructure.schema import RightsMissing, SchemaTooNew
from ops.collector import spare_the_collector
from ops.installation import opened
from ops.run_api import run_api
from ops.run_dispatcher import run_dispatcher
from ops.run_planner import run_planner
from ops.run_projections import run_projections
from ops.run_sink import run_sink
from ops.run_worker import run_worker
from ops.running import Pause, Stop, WorkersRefuse
from ops.serving import AddressTaken, bound
from ops.settings import Settings, WrongSettings
from ops.sink_app import SinkOptions
from ops.wiring import Parts, build, first_key, prepare

RoleName = Literal["api", "projections", "planner", "dispatcher", "worker", "sink"]
ROLES: Final[tuple[RoleName, ...]] = ("api", "projections", "planner", "dispatcher", "worker", "sink")
THREADS: Final = 64
WAIT_FOR_BUS_SECONDS: Final = 10.0

FATAL: Final = (
    AddressTaken,
    DataDirectoryBusy,
    NewerTables,
    PostgresNotStarted,
    RightsMissing,
    SchemaTooNew,
    WorkersRefuse,
    WrongMasterKey,
    WrongSettings,
)
"""What no waiting mends: the process ends with one line."""

Worker = Callable[[Parts, Stop], Coroutine[Any, Any, None]]

log = structlog.get_logger()


def run(
    roles: tuple[RoleName, ...],
    settings: Settings,
    *,
    owner: bool,
    sink: SinkOptions,
    ready: Callable[[str | None], None] = lambda _key: None,
    worker: Worker = run_worker,
    regions: Sequence[str] = REGIONS,
) -> None:
    """Blocks until SIGINT or SIGTERM, then stops every role cleanly. `ready` is called once, with the API key if one was made.

    `worker` is what runs as the role of that name; a dispatcher leads none but these `regions`.

    Raises one of FATAL.
    """
    with ExitStack() as held:
        listeners = {
            name: held.enter_context(closing(bound(address, setting)))
            for name, (address, setting) in _addresses(roles, settings).items()
        }
        if roles == ("sink",):
            ready(None)  # whoever calls is answered as soon as it runs
            _asyncio_run(lambda stop: run_sink(settings.data_dir / "sink.jsonl", sink, listeners["sink"], stop))
            return
        installation = held.enter_context(opened(settings, owner=owner))
        parts = build(settings, installation, name=" ".join(roles), alone=owner)
        held.callback(parts.database.close)
        _asyncio_run(lambda stop: _run_all(roles, parts, listeners, sink, ready, worker, regions, stop))


async def _run_all(
    roles: tuple[RoleName, ...],
    parts: Parts,
    listeners: dict[str, socket.socket],
    sink: SinkOptions,
    ready: Callable[[str | None], None],
    worker: Worker,
    regions: Sequence[str],
    stop: Stop,
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "role"))
    callers_gone = Stop()  # the sink answers until the worker has finished: else a clean stop would burn a try of each message
    async with asyncio.TaskGroup() as group:
        # Before the database is there: who asks is told that it is not ready, and why.
        served = {"api": ROUTES, "ops": HEALTH}
        answering = [
            group.create_task(run_api(parts, listeners[name], stop, served[name])) for name in served if name in listeners
        ]
        try:
            key = await _prepared(parts, stop)
        except FATAL:
            stop.set()
            await asyncio.gather(*answering)  # ended in order: cut off, it would log a traceback beside the one line
            raise
        if stop.loop.is_set():
            return
        spare_the_collector()
        if parts.alone:
            group.create_task(_give_up_a_lost_database(parts, stop))
        with parts:
            connecting = group.create_task(_bus_connected(parts, stop))  # who needs no broker does not wait for it
            running = _running(parts, sink, listeners, worker, regions, stop, callers_gone)
            tasks = {role: group.create_task(_until_stopped(running[role], stop)) for role in roles if role != "api"}
            ready(key)
            await asyncio.gather(stop.loop.wait(), *(task for role, task in tasks.items() if role != "sink"))
            callers_gone.set()
            connecting.cancel()
            await parts.bus.close()


def _running(
    parts: Parts,
    sink: SinkOptions,
    listeners: dict[str, socket.socket],
    worker: Worker,
    regions: Sequence[str],
    stop: Stop,
    callers_gone: Stop,
) -> dict[RoleName, Callable[[], Coroutine[Any, Any, None]]]:
    return {
        "projections": lambda: asyncio.to_thread(run_projections, parts, stop),
        "planner": lambda: asyncio.to_thread(run_planner, parts, stop),
        "dispatcher": lambda: run_dispatcher(parts, stop, regions),
        "worker": lambda: worker(parts, stop),
        "sink": lambda: run_sink(parts.settings.data_dir / "sink.jsonl", sink, listeners["sink"], callers_gone),
    }


async def _give_up_a_lost_database(parts: Parts, stop: Stop) -> None:
    """At a terminal, nobody who stops waits for a database that is gone; elsewhere it may come back in time for the outcomes."""
    await stop.loop.wait()
    try:
        await asyncio.to_thread(parts.database.answers)
    except StoreUnavailable:
        await asyncio.to_thread(parts.database.close)


async def _until_stopped(role: Callable[[], Coroutine[Any, Any, None]], stop: Stop) -> None:
    """A role that ends by itself takes the whole process with it: whoever supervises it starts it anew."""
    try:
        await role()
    finally:
        stop.set()


async def _prepared(parts: Parts, stop: Stop) -> str | None:
    """Waits for a database that is not there yet, and says so. The API key, if it was made just now."""
    pause = Pause("start")
    while not stop.loop.is_set():
        try:
            await asyncio.to_thread(prepare, parts)
            return await asyncio.to_thread(first_key, parts)
        except StoreUnavailable as error:
            await stop.sleep(pause.after(error))
    return None


async def _bus_connected(parts: Parts, stop: Stop) -> None:
    pause = Pause("broker")
    while not stop.loop.is_set():
        try:
            await parts.bus.connect(WAIT_FOR_BUS_SECONDS)
        except BusUnavailable as error:
            await stop.sleep(pause.after(error))
        else:
            return


def _asyncio_run(main: Callable[[Stop], Coroutine[Any, Any, None]]) -> None:
    async def with_signals() -> None:
        stop = Stop()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await main(stop)

    import uvloop

    fatal: BaseException | None = None
    try:
        uvloop.run(with_signals())
    except* FATAL as errors:
        fatal = _first(errors)  # raised here, it would be wrapped in a group again by Python before 3.11.4
    if fatal is not None:
        raise fatal


def _first(errors: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _addresses(roles: tuple[RoleName, ...], settings: Settings) -> dict[str, tuple[Any, str]]:
    wanted: dict[str, tuple[Any, str]] = {
        "api": (settings.listen, "NINEBELL_LISTEN"),
        "sink": (settings.sink_listen, "NINEBELL_SINK_LISTEN"),
    }
    found: dict[str, tuple[Any, str]] = {name: wanted[name] for name in wanted if name in roles}
    if settings.ops_listen and "api" not in roles and roles != ("sink",):  # which by itself has no database to tell of
        found["ops"] = (settings.ops_listen, "NINEBELL_OPS_LISTEN")
    return found
