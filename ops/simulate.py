"""`ninebell simulate`: what would be sent, when and why not, if these people lived through those dates?"""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from api.people_wire import BrokenOff, lines, read_csv, read_ndjson
from application.claims import Claim
from application.delivery_loop import MOST_RECORDED_AT_ONCE
from application.delivery_outcomes import Outcomes, Sent
from application.import_users import ImportOptions, Rejection, import_users
from application.ports import Origin
from domain.errors import Invalid
from domain.user import UserRegistered
from infrastructure.import_staging import PostgresStaging
from ops.instants import instant
from ops.settings import Settings, WrongSettings
from ops.simulation_changes import Change, apply_change, read_changes
from ops.simulation_parts import Parts, simulated
from ops.simulation_record import Chronicle, write_csv
from ops.simulation_summary import show_summary

PEOPLE_EXIST_BEFORE: Final = timedelta(hours=72)
LAST_ZONE_LAGS: Final = timedelta(hours=12)  # a date is over everywhere once it is over in Etc/GMT+12
EARLIEST: Final = date(1971, 1, 1)  # a message's ID begins with its date, since 1970
LATEST: Final = date(9000, 1, 1)
CHUNK_BYTES: Final = 256 * 1024
A_DAY: Final = timedelta(days=1)


class Outage(Struct, frozen=True):
    """Nothing runs in [start, end)."""

    start: datetime
    end: datetime


def simulate(
    people: Path,
    start: date,
    end: date,
    out: Path,
    settings: Settings,
    *,
    outage: str | None = None,
    changes: Path | None = None,
    picture: Path | None = None,
) -> int:
    """Live through the local dates [start, end) and write what became of each occasion to `out`; always 0.

    `picture` is a PNG of the same, a heat map of days by UTC hours.

    Raises WrongSettings for a wrong range, option or file.
    """
    if not EARLIEST <= start < end <= LATEST:
        raise WrongSettings(f"--to must be later than --from, and both from {EARLIEST} to {LATEST}")
    _writable("--out", out)
    if picture:
        _writable("--plot", picture)
    down = _outage(outage) if outage else None
    told = read_changes(changes, partial(_tell, changes.name)) if changes else []
    begins = _midnight(start) - PEOPLE_EXIST_BEFORE
    with _terminated_in_order(), simulated(settings, begins, _midnight(end) + A_DAY) as parts, _bar() as bar:
        _import(people, parts, start, bar)
        names = _names(parts)
        simulation = _Simulation(parts, told, down, partial(_tell, changes.name if changes else ""))
        asyncio.run(simulation.run(end, bar))
        rows = simulation.chronicle.rows(names, start, end)
    with _write_errors_told("--out"):
        write_csv(rows, out)
    if picture:
        from ops.simulation_plot import plot

        with _write_errors_told("--plot"):
            picture.write_bytes(plot(rows, start, end))
    show_summary(rows, f"{len(rows):,} occasions from {start} up to {end}", parts.channel.keys)
    return 0


class _Simulation:
    """Jumps from one instant at which something happens to the next."""

    def __init__(
        self, parts: Parts, changes: Sequence[Change], outage: Outage | None, reject: Callable[[Rejection], None]
    ) -> None:
        self._parts, self._changes, self._outage, self._reject = parts, list(reversed(changes)), outage, reject
        self._sent: list[tuple[Claim, Outcomes]] = []  # not recorded yet
        self.chronicle = Chronicle(parts.store)

    async def run(self, end: date, bar: Progress) -> None:
        """Until every date before `end` is over everywhere, and nothing dated so is pending."""
        now, over = self._parts.clock.now(), _midnight(end) + LAST_ZONE_LAGS
        if self._outage and self._outage.start <= over:
            over = max(over, self._outage.end)  # what was not planned before it is planned after it
        living = bar.add_task("living", total=(over - now).total_seconds())
        self._plan(now)
        while (following := self._next_instant(now)) <= over or self._anything_pending(end, now):
            bar.advance(living, (following - now).total_seconds())
            await self._live(now, following)
            now = following

    def _anything_pending(self, before: date, now: datetime) -> bool:
        self._record(now)
        self.chronicle.read()
        return self.chronicle.anything_pending(before)

    def _next_instant(self, now: datetime) -> datetime:
        midnight = _midnight(now.date()) + A_DAY
        due = self.chronicle.next_due(now)
        found = min(filter(None, (midnight, due, self._changes[-1].at if self._changes else None)))
        down = self._outage
        return down.end if down and down.start <= found < down.end else max(found, now)

    async def _live(self, before: datetime, now: datetime) -> None:
        self._parts.clock.set(now)
        looks_up = before.date() != now.date() or (self._outage is not None and now == self._outage.end)
        while self._changes and self._changes[-1].at <= now:
            self._record(now)
            apply_change(self._changes.pop(), self._parts.store, self._parts.types, now, self._reject)
            looks_up = True
        if looks_up:
            self._plan(now)
        if not await self._send_due(now):
            self._plan(now)

    def _plan(self, now: datetime) -> None:
        self._record(now)
        while self._parts.planner.step(now):
            pass
        self.chronicle.read()

    async def _send_due(self, now: datetime) -> bool:
        """Whether everything that was handed to the worker was sent."""
        worker, more, all_sent = self._parts.worker, True, True
        while more:
            more = self._parts.dispatcher.step(now, steady=True)
            if commands := self._parts.outbox.take():
                claims = worker.claim(commands, now)
                outcomes = await worker.send(claims)
                self._sent += [(claim, outcomes[claim.dispatch_id]) for claim in claims]
                all_sent &= all(isinstance(one, Sent) for found in outcomes.values() for one in found.values())
                if len(self._sent) >= MOST_RECORDED_AT_ONCE:
                    self._record(now)
        return all_sent

    def _record(self, now: datetime) -> None:
        """Several dispatches together, as a busy worker does; each outcome has the instant of its own answer."""
        outcomes = {claim.dispatch_id: found for claim, found in self._sent}
        self._parts.worker.record([claim for claim, _ in self._sent], outcomes, now)
        self._sent.clear()


def _import(people: Path, parts: Parts, start: date, bar: Progress) -> None:
    """Everybody registers, long enough before the first date."""
    read = read_ndjson if people.suffix in (".ndjson", ".jsonl") else read_csv
    checking = bar.add_task("checking lines", total=None)

    def chunks() -> Iterator[bytes]:
        with people.open("rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                yield chunk

    try:
        with PostgresStaging(parts.database) as staging:
            import_users(
                read(lines(chunks())),
                partial(_tell, people.name),
                ImportOptions(first_occasion=start, today=start),
                staging=staging,
                store=parts.store,
                types=parts.types,
                origin=Origin("cli"),
                now=parts.clock.now(),
                new_id=parts.new_id,
            )
    except OSError as error:
        raise WrongSettings(f"{error.filename}: {error.strerror}") from error
    except BrokenOff as error:
        raise WrongSettings(f"{people}: the file breaks off in the middle of a record") from error
    except Invalid as error:
        raise WrongSettings(f"{people}: {error}") from error
    bar.remove_task(checking)


def _names(parts: Parts) -> dict[UUID, str]:
    """What each person is called in the answer, read now: an erasure would take it away."""
    stretch = parts.store.read("users", 0, parts.store.head().users, frozenset({UserRegistered}))
    events = ((recorded.stream_id, recorded.event) for recorded in stretch.events)
    return {user_id: event.external_id or str(user_id) for user_id, event in events if isinstance(event, UserRegistered)}


def _tell(file: str, rejection: Rejection) -> None:
    where = " ".join(filter(None, (rejection.field, rejection.reason)))
    print(f"{file} line {rejection.line}: {where}", file=sys.stderr)


def _outage(text: str) -> Outage:
    start, _, end = text.partition("/")
    try:
        outage = Outage(instant(start), instant(end))
    except ValueError:
        outage = None
    if outage is None or not outage.start < outage.end:
        raise WrongSettings("--outage must be FROM/TO, as in 2027-05-15T08:00:00Z/2027-05-15T20:00:00Z")
    return outage


def _writable(option: str, file: Path) -> None:
    """Before a year is lived through for nothing. Raises WrongSettings."""
    if file.is_dir() or not file.parent.is_dir():
        raise WrongSettings(f"{option} must name a file in a directory that is there: {file}")


@contextmanager
def _write_errors_told(option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WrongSettings(f"{option}: {error.filename}: {error.strerror}") from error


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


@contextmanager
def _terminated_in_order() -> Iterator[None]:
    """Told to end, take the temporary database away as well."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _bar() -> Progress:
    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()]
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
