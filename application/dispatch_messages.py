"""Process manager: which due messages are handed to the workers now, and which have come too late?"""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from application.channel_plan import ChannelPlan
from application.channel_states import UNTROUBLED
from application.dispatcher_ports import DispatcherWork, DueMessage, Glance, InFlight
from application.due_messages import ENDED, STEERING, DueMessages
from application.expire_held import ExpireHeld
from application.fail_over import FailOver
from application.lost_past import LostPast
from application.pacing import Pacing, left_by_limits
from application.pause_sending import PausedNames, is_paused
from application.ports import Begin, Group, NewEvents, Origin
from application.readable import kind_of
from application.stranded_dispatches import withdraw_stranded
from application.whole_calls import WholeCalls
from domain import dispatch
from domain.dispatch import DispatchFinished, DispatchMemberWithdrawn, DispatchRequested, DispatchStarted
from domain.message_type import MessageTypes
from domain.scheduled_message import MessageExpired, MessageScheduled, SendRequested

DISPATCHER: Final = Origin(who="dispatcher", causation_id="due")
PAGE: Final = 1_000  # messages of a channel, and events of a log, in one transaction
LONGEST_WAIT_SECONDS: Final = 1.0

Batch = tuple[InFlight, tuple[DueMessage, ...]]


class Dispatcher:
    """Due messages → SendRequested and DispatchRequested, in one transaction with what it keeps of both logs."""

    def __init__(
        self, begin: Begin[DispatcherWork], types: MessageTypes, channels: ChannelPlan, new_id: Callable[[], UUID]
    ) -> None:
        self._begin = begin
        self._channels = channels
        self._new_id = new_id
        self._rows = DueMessages(types, channels)
        self._fail_over = FailOver(channels, self._rows)
        self._expire_held = ExpireHeld(channels, self._rows)
        self._whole_calls = WholeCalls(types, channels, new_id)
        self._pacing, self._lost_past = Pacing(), LostPast()
        self._rerouted = False
        self._caught_up = False  # once: until then, what is more urgent or older may stand further on in the log
        self._in_the_thick = False  # a full page was ready: so there is more, and no need to look
        self._all_found = False  # the last look left nothing that is ready
        self._troubled = False
        self._put: set[UUID] = set()  # dispatches of ours that the log has yet to tell us of
        self._next_ready_at: datetime | None = None

    def step(self, now: datetime, *, steady: bool) -> bool:
        """One transaction of following and dispatching; whether there may be more to do at once.

        While the clock is not `steady`, nothing is found due or too late. Raises Deposed, PositionLost.
        """
        with self._begin() as work:
            self._reroute(work)
            glance = self._glance(work, now)
            self._troubled = glance.troubled
            more, ready_at = self._follow_messages(work, glance)
            self._caught_up |= not more
            behind = self._follow_dispatches(work, glance)
            stranded = not self._rerouted and (behind or withdraw_stranded(work, self._channels.names, now))
            self._next_ready_at = min(filter(None, (glance.first_ready_at, ready_at)), default=None)
            ready = steady and self._caught_up and self._next_ready_at and self._next_ready_at <= now
            # A withdrawal may append to dispatches alone, and after that nothing can be appended to messages.
            self._in_the_thick = bool(ready and not stranded and self._dispatch_due(work, now))
        self._rerouted = not stranded
        return stranded or behind or more or self._in_the_thick

    def next_wake(self, now: datetime) -> float:
        """Seconds to wait after a step that had no more to do, if no log moves: until the next due instant, at most one."""
        if self._next_ready_at is None or self._next_ready_at <= now:
            return LONGEST_WAIT_SECONDS  # what is due already waits for room in its channel, or for the clock
        return min(LONGEST_WAIT_SECONDS, (self._next_ready_at - now).total_seconds())

    def _reroute(self, work: DispatcherWork) -> None:
        """Until nothing is stranded in this term any more, bring what waits in line with today's settings and backups."""
        if not self._rerouted:
            self._lost_past = LostPast(work.lost_spans())
            work.reroute(self._rows.routes(), self._channels.names, self._rows.usual_route())

    def _glance(self, work: DispatcherWork, now: datetime) -> Glance:
        if self._in_the_thick:
            return Glance(messages_moved=True, dispatches_moved=True, first_ready_at=now, troubled=True)
        return work.glance(self._channels.names, self._rows.priorities)

    def _follow_messages(self, work: DispatcherWork, glance: Glance) -> tuple[bool, datetime | None]:
        if not glance.messages_moved:
            return False, None
        followed = work.follow("messages", PAGE, STEERING)
        latest = {recorded.stream_id: recorded for recorded in followed.events}
        rows: list[DueMessage] = []
        ended: dict[UUID, int] = {}
        unclear = []
        for message_id, recorded in latest.items():
            if isinstance(recorded.event, MessageScheduled):
                try:
                    rows.append(
                        self._rows.of_scheduled(message_id, recorded.version, recorded.event, recorded.origin.correlation_id)
                    )
                except Exception as error:  # noqa: BLE001  pure code on one message: the rest goes on
                    work.park("messages", message_id, kind_of(error))
            elif isinstance(recorded.event, ENDED):
                ended[message_id] = recorded.version
            else:
                unclear.append(message_id)
        work.drop_due(ended)
        work.put_due(rows)
        work.followed("messages", followed.position)
        found = self._rows.look_up(work, unclear)
        return followed.more, min((row.ready_at for row in (*rows, *found)), default=None)

    def _follow_dispatches(self, work: DispatcherWork, glance: Glance) -> bool:
        if not glance.dispatches_moved:
            return False
        followed = work.follow("dispatches", PAGE)
        requested: list[InFlight] = []
        started: list[tuple[UUID, str, UUID]] = []
        withdrawn: Counter[UUID] = Counter()
        finished: list[UUID] = []
        for recorded in followed.events:
            dispatch_id = recorded.stream_id
            match recorded.event:
                case DispatchRequested(channel=channel, region=region, message_ids=members):
                    requested.append(InFlight(dispatch_id, channel, region, len(members), recorded.at))
                case DispatchMemberWithdrawn():
                    withdrawn[dispatch_id] += 1
                case DispatchStarted(worker=worker, incarnation=incarnation):
                    started.append((dispatch_id, worker, incarnation))
                case DispatchFinished():
                    finished.append(dispatch_id)
        work.put_in_flight([flight for flight in requested if flight.dispatch_id not in self._put])
        self._put.difference_update(flight.dispatch_id for flight in requested)
        work.withdrawn(withdrawn)
        work.started(started)
        work.finished(finished)
        work.followed("dispatches", followed.position)
        return followed.more

    def _dispatch_due(self, work: DispatcherWork, now: datetime) -> bool:
        """Whether there is more, beyond one page of a channel."""
        paused = work.paused() if self._troubled else ()
        due, more = self._ready(work, paused, now)
        decided, sure = self._lost_past.told_apart(work, due)
        sure, moved_on = self._whole_calls.hand_out(work, sure, paused, now)
        self._rows.look_up(work, sorted(moved_on))
        late = [row for row in sure if row.send_before <= now]
        too_late = self._rows.too_late(work, late, now)
        more |= bool(moved_on) or len(too_late) < len(late)  # the rest comes again, with a row that says so
        batches = self._batches([row for row in sure if row.send_before > now], now)
        decided += [(row, _expired(row)) for row in too_late]
        decided += [(row, _requested(row, flight)) for flight, rows in batches for row in rows]
        if not decided:
            return more
        groups = [Group((NewEvents("messages", row.message_id, row.version, (event,), row.story),)) for row, event in decided]
        appended = work.append(groups, DISPATCHER, now)
        lost = {decided[index][0].message_id for index in appended.lost}
        work.followed_own("messages", appended, len(decided) - len(lost))  # its rows say as much already
        self._request(work, batches, lost, now)
        work.drop_due({row.message_id: row.version for row, _ in decided if row.message_id not in lost})
        self._rows.look_up(work, sorted(lost))
        return more or bool(lost)

    def _ready(self, work: DispatcherWork, paused: PausedNames, now: datetime) -> tuple[list[DueMessage], bool]:
        """A page of each channel that may send, and whether any of them was full."""
        states = work.channel_states() if self._troubled else {}
        in_flight = work.members_in_flight()  # before the first append: all who do both wait in this order
        left = left_by_limits(work, self._channels)
        used_up = [name for name, messages in left.items() if not messages]
        more = self._fail_over.away_from(work, states, paused, used_up, now)
        due = [] if self._all_found and not self._troubled else self._expire_held.page(work, states, paused, now)
        more |= len(due) == PAGE
        self._all_found = True
        for channel in self._channels.channels:
            state = states.get(channel.name, UNTROUBLED)
            room = self._pacing.room(channel, state, in_flight, left.get(channel.name, sys.maxsize))
            most = 0 if is_paused(paused, channel.name) else min(PAGE, room)
            found = work.due(channel.name, self._rows.priorities, now, most, without=paused) if most > 0 else []
            in_flight[channel.name] = in_flight.get(channel.name, 0) + len(found)
            due += found
            more |= len(found) == most > 0
            self._all_found &= len(found) < most
        return list({row.message_id: row for row in due}.values()), more

    def _batches(self, due: Iterable[DueMessage], now: datetime) -> list[Batch]:
        """Per channel and region, the most urgent first, none larger than the channel allows."""
        most = {channel.name: channel.most_members for channel in self._channels.channels}
        gathered: defaultdict[tuple[str, str], list[DueMessage]] = defaultdict(list)
        for row in due:
            gathered[row.channel, row.region].append(row)
        return [
            (InFlight(self._new_id(), channel, region, len(part), now), part)
            for (channel, region), rows in gathered.items()
            for part in _parts(rows, most[channel])
        ]

    def _request(self, work: DispatcherWork, batches: Iterable[Batch], lost: Collection[UUID], now: datetime) -> None:
        """The dispatches without the members that lost: moved or cancelled meanwhile, they are struck and the rest goes."""
        groups, flights = [], []
        for flight, rows in batches:
            members = tuple(row.message_id for row in rows if row.message_id not in lost)
            if members:
                events = tuple(dispatch.request(flight.channel, flight.region, members))
                groups.append(Group((NewEvents("dispatches", flight.dispatch_id, 0, events),)))
                flights.append(replace(flight, members=len(members)))
        if groups and work.append(groups, DISPATCHER, now).lost:
            raise RuntimeError("the ID of a new dispatch was taken")
        work.put_in_flight(flights)
        self._put.update(flight.dispatch_id for flight in flights)


def _requested(row: DueMessage, flight: InFlight) -> SendRequested:
    return SendRequested(
        message_type=row.message_type,
        timezone=row.timezone,
        due_at=row.due_at,
        attempt=row.attempt,
        channel=flight.channel,
        dispatch_id=flight.dispatch_id,
    )


def _expired(row: DueMessage) -> MessageExpired:
    return MessageExpired(message_type=row.message_type, timezone=row.timezone, due_at=row.due_at, reason="late_window")


def _parts(rows: Sequence[DueMessage], most: int) -> Iterator[tuple[DueMessage, ...]]:
    return (tuple(rows[start : start + most]) for start in range(0, len(rows), most))
