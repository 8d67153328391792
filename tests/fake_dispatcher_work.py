"""What would a dispatcher's transactions do on a store that is nothing but memory?"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.channel_states import ChannelState, Used
from application.dispatcher_ports import DispatcherWork, DueMessage, Glance, InFlight, LostSpan, Route
from application.pause_sending import PausedNames
from application.ports import (
    LOGS,
    Appended,
    Begin,
    Broken,
    BrokenStreams,
    Deposed,
    Followed,
    Group,
    Log,
    NewEvents,
    Origin,
    Position,
    PositionLost,
    Recorded,
    Stream,
    origin_of,
)
from domain import dispatch, scheduled_message, user
from domain.dispatch import Dispatch
from domain.event import Event
from domain.scheduled_message import ScheduledMessage
from domain.user import User
from tests.fake_channels import MemoryChannels
from tests.fake_event_store import folded

Worker = tuple[str, UUID]


class Flight(Struct, frozen=True):
    row: InFlight
    publications: int
    publish_at: datetime


class Memory:
    """The logs and the dispatcher's tables, as one transaction finds and leaves them."""

    def __init__(self) -> None:
        self.logs: dict[Log, list[Recorded[Event]]] = {log: [] for log in LOGS}
        self.positions: dict[tuple[str, Log], int] = {}
        self.due: dict[UUID, DueMessage] = {}
        self.flights: dict[UUID, Flight] = {}
        self.counters: dict[Worker, int] = {}
        self.states: dict[str, ChannelState] = {}
        self.channels = MemoryChannels()  # what is used up of their limits
        self.paused: set[str] = set()
        self.broken: dict[tuple[Log, UUID], str] = {}  # streams that nobody can read, and why
        self.left_alone: dict[tuple[str, Log, UUID], str] = {}  # what a follower leaves alone, and why
        self.asked: list[tuple[str, Log, UUID]] = []  # of those left alone, what an operator wants looked at again
        self.lost_spans: list[LostSpan] = []
        self.epoch = 1
        self.before_append: Callable[[], None] = lambda: None  # what somebody else commits in between

    def begin(self, follower: str = "dispatcher", epoch: int = 1) -> Begin[DispatcherWork]:
        return partial(self._transaction, follower, epoch)

    @contextmanager
    def _transaction(self, follower: str, epoch: int) -> Iterator[DispatcherWork]:
        if epoch != self.epoch:
            raise Deposed
        kept = {name: _copied(value) for name, value in vars(self).items()}
        try:
            yield FakeDispatcherWork(self, follower)
        except BaseException:
            vars(self).update(kept)
            raise

    def write(self, log: Log, stream_id: UUID, *events: Event, now: datetime, who: str = "test") -> None:
        """As another process does."""
        version = sum(1 for recorded in self.logs[log] if recorded.stream_id == stream_id)
        self.append([Group((NewEvents(log, stream_id, version, events),))], Origin(who), now)

    def append(self, groups: Sequence[Group], origin: Origin, now: datetime) -> Appended:
        versions: defaultdict[tuple[Log, UUID], int] = defaultdict(int)
        for log in LOGS:
            for recorded in self.logs[log]:
                versions[log, recorded.stream_id] = recorded.version
        lost = set()
        for index, group in enumerate(groups):
            if any(versions[new.log, new.stream_id] != new.version for new in group.appends):
                lost.add(index)
                continue
            for new in group.appends:
                for event in new.events:
                    self._write(versions, new, event, group.origin or origin, now)
        return Appended(frozenset(lost), Position(*(len(self.logs[log]) for log in LOGS)))

    def _write(self, versions: dict[tuple[Log, UUID], int], new: NewEvents, event: Event, origin: Origin, now: datetime) -> None:
        versions[new.log, new.stream_id] += 1
        log = self.logs[new.log]
        log.append(Recorded(len(log) + 1, new.stream_id, versions[new.log, new.stream_id], now, event, origin_of(new, origin)))

    def load(self, log: Log, evolve: Callable[[Any, Any], Any], ids: Iterable[UUID]) -> dict[UUID, Stream[Any]]:
        ids = list(ids)
        if broken := [Broken(key, 1, error) for key in ids if (error := self.broken.get((log, key)))]:
            raise BrokenStreams(log, broken)
        histories: defaultdict[UUID, list[Recorded[Event]]] = defaultdict(list)
        for recorded in self.logs[log]:
            histories[recorded.stream_id].append(recorded)
        return {key: folded(evolve, histories[key]) for key in ids}


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: copy(inner) if isinstance(inner, list) else inner for key, inner in value.items()}
    return value


class FakeDispatcherWork:
    """DispatcherWork over Memory."""

    def __init__(self, memory: Memory, follower: str) -> None:
        self._memory = memory
        self._follower = follower
        self._read: dict[Log, int] = {}
        self._locked: set[int] = set()  # logs, by their places in the order

    def load_users(self, ids: Iterable[UUID]) -> dict[UUID, Stream[User]]:
        return self._parking("users", user.evolve, ids)

    def load_messages(self, ids: Iterable[UUID]) -> dict[UUID, Stream[ScheduledMessage]]:
        return self._parking("messages", scheduled_message.evolve, ids)

    def load_dispatches(self, ids: Iterable[UUID]) -> dict[UUID, Stream[Dispatch]]:
        return self._parking("dispatches", dispatch.evolve, ids)

    def _parking(self, log: Log, evolve: Callable[[Any, Any], Any], ids: Iterable[UUID]) -> dict[UUID, Stream[Any]]:
        try:
            return self._memory.load(log, evolve, ids)
        except BrokenStreams as error:
            for one in error.broken:
                self.park(log, one.stream_id, one.error)
            raise

    def park(self, log: Log, stream_id: UUID, error: str) -> None:
        self._memory.left_alone.setdefault((self._follower, log, stream_id), error)

    def follow(self, log: Log, limit: int, kinds: frozenset[type[Event]] | None = None) -> Followed:
        after = self._position(log)
        stretch = self._memory.logs[log][after : after + limit]
        events = [recorded for recorded in stretch if kinds is None or type(recorded.event) in kinds]
        more = after + len(stretch) < len(self._memory.logs[log])
        return Followed(events, after + len(stretch), more)

    def followed(self, log: Log, position: int) -> None:
        before = self._position(log)
        if self._memory.positions.get((self._follower, log), 0) != before:
            raise PositionLost
        self._memory.positions[self._follower, log] = self._read[log] = position

    def followed_own(self, log: Log, appended: Appended, events: int) -> None:
        if getattr(appended.position, log) - events == self._position(log):
            self.followed(log, getattr(appended.position, log))

    def _position(self, log: Log) -> int:
        return self._read.setdefault(log, self._memory.positions.get((self._follower, log), 0))

    def append(self, groups: Sequence[Group], origin: Origin, now: datetime) -> Appended:
        between, self._memory.before_append = self._memory.before_append, lambda: None
        between()
        self._take_turn({new.log for group in groups for new in group.appends})
        return self._memory.append(groups, origin, now)

    def _take_turn(self, logs: set[Log]) -> None:
        """As with locks, which are held to the end, in the one order."""
        wanted = sorted({LOGS.index(log) for log in logs} - self._locked)
        if wanted and self._locked and wanted[0] < max(self._locked):
            raise RuntimeError(f"append to {LOGS[wanted[0]]} before {LOGS[max(self._locked)]}")
        self._locked.update(wanted)

    def glance(self, channels: Sequence[str], priorities: Sequence[int]) -> Glance:
        read = {log: self._memory.positions.get((self._follower, log), 0) for log in LOGS}
        found = (row.ready_at for row in self._memory.due.values() if row.channel in channels and row.priority in priorities)
        moved = {log: len(self._memory.logs[log]) > read[log] for log in LOGS}
        return Glance(
            moved["messages"], moved["dispatches"], min(found, default=None), bool(self._memory.states or self._memory.paused)
        )

    def channel_states(self) -> Mapping[str, ChannelState]:
        return self._memory.states

    def used(self, channels: Sequence[str]) -> Mapping[str, Used]:
        return self._memory.channels.used(channels)

    def put_due(self, rows: Sequence[DueMessage]) -> None:
        for row in rows:
            known = self._memory.due.get(row.message_id)
            if known is None or known.version <= row.version:
                self._memory.due[row.message_id] = row

    def drop_due(self, up_to_versions: Mapping[UUID, int]) -> None:
        for message_id, version in up_to_versions.items():
            if (known := self._memory.due.get(message_id)) and known.version <= version:
                del self._memory.due[message_id]

    def reroute(self, routes: Sequence[Route], channels: Sequence[str], usual: Route) -> None:
        by_type = {route.message_type: route for route in routes}
        for row in list(self._memory.due.values()):
            route = by_type.get(row.message_type, usual)
            channel = row.channel if row.channel in channels else route.channel
            self._memory.due[row.message_id] = replace(row, channel=channel, priority=route.priority)

    def paused(self) -> PausedNames:
        return self._memory.paused

    def due(
        self,
        channel: str,
        priorities: Sequence[int],
        now: datetime,
        limit: int,
        only: Sequence[str] | None = None,
        without: Collection[str] = (),
    ) -> list[DueMessage]:
        ready = (row for row in self._memory.due.values() if row.channel == channel and row.ready_at <= now)
        wanted = [row for row in ready if row.priority in priorities and (only is None or row.message_type in only)]
        others = (row for row in wanted if row.message_type not in without)
        return sorted(others, key=lambda row: (row.priority, row.ready_at, row.message_id))[:limit]

    def too_late(self, channels: Sequence[str], priorities: Sequence[int], now: datetime, limit: int) -> list[DueMessage]:
        found = (row for row in self._memory.due.values() if row.ready_at <= now and row.send_before <= now)
        return [row for row in found if row.channel in channels and row.priority in priorities][:limit]

    def lost_spans(self) -> list[LostSpan]:
        return list(self._memory.lost_spans)

    def record_lost_span(self, restored_to: datetime, who: str, now: datetime) -> LostSpan:
        known = [span for span in self._memory.lost_spans if span.restored_to == restored_to]
        if not known:
            self._memory.lost_spans.append(LostSpan(restored_to, now))
        return known[0] if known else LostSpan(restored_to, now)

    def within(self, span: LostSpan, after: UUID, limit: int) -> list[DueMessage]:
        found = (row for row in self._memory.due.values() if span.may_hold(row.ready_at, row.send_before))
        return sorted((row for row in found if row.message_id > after), key=lambda row: row.message_id)[:limit]

    def count_within(self, span: LostSpan) -> int:
        return len(self.within(span, UUID(int=0), len(self._memory.due)))

    def due_count(self) -> int:
        return len(self._memory.due)

    def put_in_flight(self, rows: Sequence[InFlight]) -> None:
        for row in rows:
            self._memory.flights.setdefault(row.dispatch_id, Flight(row, 0, row.requested_at + timedelta(seconds=30)))

    def started(self, claims: Sequence[tuple[UUID, str, UUID]]) -> None:
        for dispatch_id, worker, incarnation in claims:
            if known := self._memory.flights.get(dispatch_id):
                claimed = replace(known.row, worker=worker, incarnation=incarnation)
                self._memory.flights[dispatch_id] = replace(known, row=claimed)

    def withdrawn(self, members: Mapping[UUID, int]) -> None:
        for dispatch_id, fewer in members.items():
            if known := self._memory.flights.get(dispatch_id):
                left = replace(known.row, members=known.row.members - fewer)
                self._memory.flights[dispatch_id] = replace(known, row=left)

    def finished(self, dispatch_ids: Sequence[UUID]) -> None:
        for dispatch_id in dispatch_ids:
            self._memory.flights.pop(dispatch_id, None)

    def members_in_flight(self) -> dict[str, int]:
        members: defaultdict[str, int] = defaultdict(int)
        for flight in self._memory.flights.values():
            members[flight.row.channel] += flight.row.members
        return dict(members)

    def unstarted(self, now: datetime, limit: int) -> list[UUID]:
        waiting = [flight for flight in self._memory.flights.values() if not flight.row.worker and flight.publish_at <= now]
        waiting.sort(key=lambda flight: (flight.publish_at, flight.row.dispatch_id))
        return [flight.row.dispatch_id for flight in waiting[:limit]]

    def unstarted_elsewhere(self, channels: Sequence[str], limit: int) -> list[UUID]:
        rows = (flight.row for flight in self._memory.flights.values())
        return sorted(row.dispatch_id for row in rows if not row.worker and row.channel not in channels)[:limit]

    def published(self, dispatch_ids: Sequence[UUID], now: datetime) -> None:
        for dispatch_id in dispatch_ids:
            if known := self._memory.flights.get(dispatch_id):
                wait = timedelta(seconds=30) * 2 ** min(known.publications, 4)
                again = replace(known, publications=known.publications + 1, publish_at=now + wait)
                self._memory.flights[dispatch_id] = again

    def claimed_by(self, workers: Sequence[Worker]) -> list[UUID]:
        claimed = (flight.row for flight in self._memory.flights.values())
        return sorted(row.dispatch_id for row in claimed if (row.worker, row.incarnation) in workers)

    def claimants(self) -> list[Worker]:
        rows = (flight.row for flight in self._memory.flights.values())
        return sorted({(row.worker, row.incarnation) for row in rows if row.incarnation is not None})

    def counters(self) -> dict[Worker, int]:
        return dict(self._memory.counters)

    def forget_workers(self, counters: Mapping[Worker, int]) -> None:
        for worker, counter in counters.items():
            if self._memory.counters.get(worker) == counter:
                self._memory.counters.pop(worker, None)

    def asked_again(self, followers: Sequence[str], limit: int) -> list[tuple[Log, UUID]]:
        asked = [one for one in self._memory.asked if one[0] in followers][:limit]
        self._memory.asked = [one for one in self._memory.asked if one not in asked]
        for one in asked:
            self._memory.left_alone.pop(one, None)
        return [(log, stream_id) for _, log, stream_id in asked]
