"""What becomes of a shard's people from one date to another? Jumps from one instant at which something happens to the next."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec import Struct
from uuid_utils.compat import uuid7

from api.people_wire import BrokenOff, lines, read_csv, read_ndjson
from application.claims import Claim
from application.delivery_loop import MOST_RECORDED_AT_ONCE
from application.delivery_outcomes import Outcomes, Sent
from application.import_users import ImportOptions, Rejection, import_users
from application.ports import Origin
from domain.errors import Invalid
from domain.message_id import occasion_of
from infrastructure.import_staging import PostgresStaging
from ops.settings import Settings, WrongSettings
from ops.simulation_changes import Change, apply_change
from ops.simulation_parts import Parts, simulated
from ops.simulation_people import People, Shard
from ops.simulation_record import Chronicle, Row, unsent
from ops.simulation_silenced import Silenced

PEOPLE_EXIST_BEFORE: Final = timedelta(hours=72)
LAST_ZONE_LAGS: Final = timedelta(hours=12)  # a date is over everywhere once it is over in Etc/GMT+12
CHUNK_BYTES: Final = 256 * 1024
A_DAY: Final = timedelta(days=1)

Report = Callable[[float | Rejection], None]
"""Takes the share of the span lived since the last one, or a line of the people's file that can't be used."""


class Outage(Struct, frozen=True):
    """Nothing runs in [start, end)."""

    start: datetime
    end: datetime


class Span(Struct, frozen=True, kw_only=True):
    """Who lives through which local dates [start, end), and what happens meanwhile."""

    people: Path
    start: date
    end: date
    outage: Outage | None = None
    changes: tuple[Change, ...] = ()

    @property
    def begins(self) -> datetime:
        return _midnight(self.start) - PEOPLE_EXIST_BEFORE

    @property
    def over(self) -> datetime:
        """When the last date is over everywhere; what was not planned before an outage is planned after it."""
        over = _midnight(self.end) + LAST_ZONE_LAGS
        return max(over, self.outage.end) if self.outage and self.outage.start <= over else over


class Lived(Struct, frozen=True):
    """What became of a shard."""

    rows: list[Row]
    calls: list[str]
    """The keys of the calls to the provider about these rows."""
    refused: list[tuple[int, Rejection]]
    """Changes that could not be made, by their place among all."""


def live(settings: Settings, dsn: str, span: Span, shard: Shard, report: Report) -> Lived:
    """On an empty database of its own. Only the first shard tells of wrong lines. Raises WrongSettings, StoreUnavailable."""
    with _seldom_collecting(), simulated(settings, dsn, span.begins, _midnight(span.end) + A_DAY) as parts:
        people = _import(span, parts, shard, report)
        simulation = _Simulation(parts, span, people, report)
        asyncio.run(simulation.run())
        rows = simulation.rows()
        calls = [key for key in parts.channel.keys if span.start <= occasion_of(UUID(key)) < span.end]
        return Lived(rows, calls, simulation.refused)


class _Simulation:
    """Whoever else lives in other shards, these people's messages are looked at at the same instants."""

    def __init__(self, parts: Parts, span: Span, people: People, report: Report) -> None:
        self._parts, self._span, self._people, self._report = parts, span, people, report
        self._changes = [(place, change) for place, change in enumerate(span.changes) if change.at <= span.over]
        self._changes.reverse()
        self._sent: list[tuple[Claim, Outcomes]] = []  # not recorded yet
        self._silenced = Silenced(parts.store, parts.types, people.names if span.changes else {}, span.start, span.end)
        self.chronicle = Chronicle(parts.store)
        self.refused: list[tuple[int, Rejection]] = []

    async def run(self) -> None:
        """Until every date is over everywhere, and nothing dated so is pending."""
        now = reported = self._parts.clock.now()
        span = self._span.over - now
        self._plan(now)
        while (following := self._next_instant(now)) <= self._span.over or self._anything_pending(now):
            if following.date() != reported.date():
                self._report((following - reported) / span)
                reported = following
            await self._live(now, following)
            now = following

    def rows(self) -> list[Row]:
        """One for every occasion of the span."""
        names, unplanned = self._people.names, self._silenced.occasions
        rows = self.chronicle.rows(names, self._span.start, self._span.end)
        return rows + [
            unsent(wanted, names[user_id], reason)
            for user_id, found in unplanned.items()
            for message_id, (wanted, reason) in found.items()
            if message_id not in self.chronicle.messages
        ]

    def _anything_pending(self, now: datetime) -> bool:
        self._record(now)
        self.chronicle.read()
        return self.chronicle.anything_pending(self._span.end)

    def _next_instant(self, now: datetime) -> datetime:
        midnight = _midnight(now.date()) + A_DAY
        due = self.chronicle.next_due(now)
        found = min(filter(None, (midnight, due, self._changes[-1][1].at if self._changes else None)))
        down = self._span.outage
        return down.end if down and down.start <= found < down.end else max(found, now)

    async def _live(self, before: datetime, now: datetime) -> None:
        self._parts.clock.set(now)
        outage = self._span.outage
        looks_up = before.date() != now.date() or (outage is not None and now == outage.end)
        while self._changes and self._changes[-1][1].at <= now:
            self._record(now)
            self._change(*self._changes.pop(), now)
            looks_up = True
        if looks_up:
            self._plan(now)
        if not await self._send_due(now):
            self._record(now)
            while self._parts.planner.follow_messages(now):
                pass
            self.chronicle.read()

    def _change(self, place: int, change: Change, now: datetime) -> None:
        if self._people.here(change.external_id):
            refuse = partial(self._refuse, place)
            with self._silenced.seeing(change.external_id, now):
                apply_change(change, self._parts.store, self._parts.types, now, refuse)

    def _refuse(self, place: int, rejection: Rejection) -> None:
        self.refused.append((place, rejection))

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


@contextmanager
def _seldom_collecting() -> Iterator[None]:
    """What is remembered of a year only grows, and to go through it again and again for cycles takes a tenth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _import(span: Span, parts: Parts, shard: Shard, report: Report) -> People:
    """Everybody registers, long enough before the first date."""
    read = read_ndjson if span.people.suffix in (".ndjson", ".jsonl") else read_csv

    def chunks() -> Iterator[bytes]:
        with span.people.open("rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                yield chunk

    try:
        origin, now = Origin("cli"), parts.clock.now()
        with PostgresStaging(parts.store, origin, now) as staging:
            people = People(staging, shard, span.begins, parts.new_id)
            import_users(
                read(lines(chunks())),
                report if shard.number == 0 else _ignore,
                ImportOptions(first_occasion=span.start, today=span.start),
                staging=people,
                store=parts.store,
                types=parts.types,
                origin=origin,
                now=now,
                new_id=uuid7,  # `people` give everybody their own
            )
    except OSError as error:
        raise WrongSettings(f"{error.filename}: {error.strerror}") from error
    except BrokenOff as error:
        raise WrongSettings(f"{span.people}: the file breaks off in the middle of a record") from error
    except Invalid as error:
        raise WrongSettings(f"{span.people}: {error}") from error
    return people


def _ignore(_: Rejection) -> None:
    pass


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
