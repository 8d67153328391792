"""How fast is a read model built anew from a long log, in how much memory, and what do those notice who read it meanwhile?"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import monotonic
from typing import Final, Self

import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from infrastructure.clock import SystemClock
from infrastructure.partitions import PARTITIONED
from ops.bench.ground import PREFIX
from ops.bench.machine import this_machine
from ops.bench.past import Past, Person, live_through, people_of
from ops.bench.people import register
from ops.bench.processes import ninebell, running
from ops.bench.report import Found, Result, Tell, figures_of, telling
from ops.bench.stock_runner import events_a_second
from ops.bench.weights import pss
from ops.installation import opened
from ops.settings import read_settings
from ops.wiring import Parts, build, prepare
from projections import message_log
from projections.message_filter import Asked
from projections.message_log import MESSAGE_LOG
from projections.registry import PROJECTIONS

DAYS: Final = 365
EVENTS_A_MESSAGE: Final = 3.05
MESSAGES_A_PERSON: Final = 3
LOOK_SECONDS: Final = 0.02
LOOKS_A_WEIGHING: Final = 25
STOCK: Final = "stock_runner"
STOCK_SECONDS: Final = 10.0


class Long(Struct, frozen=True):
    """An installation with a long log."""

    parts: Parts
    dsn: str
    environment: dict[str, str]

    @property
    def database(self) -> str:
        return str(conninfo_to_dict(self.dsn)["dbname"])

    def events(self, log: str) -> int:
        return int(getattr(self.parts.store.head(), log))


def measure(events: int, runs: int, directory: Path | None, tell: Tell) -> Result:
    """Each read model built anew, as `ninebell projections rebuild` does; then the same by eventsourcing's own runner.

    What stands in `directory` from another time is taken as it is. Raises ProcessFailed.
    """
    with _directory(directory) as home, _long(home, events, tell) as place:
        with place.parts.database.direct() as connection:
            machine = this_machine(connection)
        found: list[Found] = []
        for run in range(runs):
            found.append({})
            for name in PROJECTIONS:
                tell(f"replay: run {run + 1} of {runs}, {name}")
                found[-1] |= _rebuilt(place, name, home)
            tell(f"replay: run {run + 1} of {runs}, eventsourcing's own runner")
            found[-1]["message_log by ProjectionRunner", "events/s"] = _stock(place)
        settings: dict[str, str | int | float] = {log: place.events(log) for log in ("users", "messages")}
        at = place.parts.clock.now()
    return Result(part="replay", at=at, machine=machine, settings=settings, figures=figures_of(found))


@contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    if given:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@contextmanager
def _long(home: Path, events: int, tell: Tell) -> Iterator[Long]:
    environment = {"NINEBELL_DATA_DIR": str(home / "data")}
    settings = read_settings(environment)
    with opened(settings) as installation:
        parts = build(settings, installation, name="bench")
        try:
            prepare(parts)
            with parts:
                place = Long(parts, installation.dsn, environment)
                if not place.events(PARTITIONED):
                    _make(place, events, telling(tell, "replay: "))
                yield place
        finally:
            parts.database.close()


def _make(place: Long, events: int, tell: Tell) -> None:
    messages = round(events / EVENTS_A_MESSAGE)
    now = SystemClock().now()
    people = max(1, messages // MESSAGES_A_PERSON)
    past = Past(people=people, messages=messages, first=now.date() - timedelta(days=DAYS + 1), days=DAYS)
    if not place.events("users"):
        register(place.parts, people_of(past), now, lambda done: tell(f"{done:,} of {people:,} people"))
    with place.parts.database.cursor() as cursor:
        found = cursor.execute("SELECT originator_id FROM users ORDER BY notification_id").fetchall()
    living = [Person(user_id, details.timezone) for (user_id,), details in zip(found, people_of(past), strict=True)]
    live_through(place.parts, past, living, lambda done: tell(f"{done:,} events of {events:,}"))


def _rebuilt(place: Long, name: str, home: Path) -> Found:
    events = place.events(PROJECTIONS[name].log)
    began = monotonic()
    command = ninebell("projections", "rebuild", name, "--anew")
    with (
        running({name: command}, place.environment, home / "printed") as (process,),
        _Onlooker(place.dsn, process.pid) as onlooker,
    ):
        process.wait()
    seconds = monotonic() - began
    if onlooker.failed:
        raise RuntimeError(f"while {name} was built, a query failed: {onlooker.failed}")
    return {
        (name, "events/s"): events / seconds,
        (f"{name}: took", "s"): seconds,
        (f"{name}: memory of all processes", "MiB"): onlooker.most_memory,
        (f"{name}: slowest query meanwhile", "ms"): onlooker.slowest * 1_000,
    }


def _stock(place: Long) -> float:
    """On tables of its own, made by the same statements. Its connections know a search path from their role only."""
    role = sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {}").format(sql.Identifier(place.database))
    schema = sql.Identifier(STOCK)
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {0} CASCADE; CREATE SCHEMA {0}; SET search_path = {0}").format(schema))
        connection.execute(MESSAGE_LOG.create)
        connection.execute(sql.SQL("{} SET search_path = {}").format(role, schema))
        try:
            return events_a_second(place.dsn, MESSAGE_LOG, STOCK_SECONDS)
        finally:
            connection.execute(sql.SQL("{} RESET search_path").format(role))


class _Onlooker:
    """Asks what dashboards ask, over and over, and weighs a process and all its children."""

    def __init__(self, dsn: str, pid: int) -> None:
        self._dsn, self._pid = dsn, pid
        self._stop = Event()
        self._thread = Thread(target=self._look)
        self.failed = ""
        self.slowest = 0.0
        self.most_memory = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        try:
            with psycopg.connect(self._dsn, options="-c search_path=ninebell") as connection:
                looks = 0
                while not self._stop.wait(LOOK_SECONDS):
                    if looks % LOOKS_A_WEIGHING == 0:
                        self.most_memory = max(self.most_memory, pss(self._pid))
                    looks += 1
                    began = monotonic()
                    with connection.transaction():
                        message_log.totals(connection.cursor())
                        message_log.page(connection.cursor(), Asked(), limit=100)
                    self.slowest = max(self.slowest, monotonic() - began)
        except psycopg.Error as error:
            self.failed = type(error).__name__
