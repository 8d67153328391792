"""Which workers have died, and what becomes of the messages they had claimed?"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from application.channel_plan import ChannelPlan
from application.dispatcher_ports import DispatcherWork, InFlight
from application.ports import Begin, Group, NewEvents, Origin, Stream
from application.readable import kind_of, readable
from domain import dispatch, message_decisions
from domain.dispatch import Dispatch
from domain.errors import DispatchUnknown
from domain.event import Event
from domain.message_type import MessageTypes
from domain.scheduled_message import ScheduledMessage, SendRequested, evolve

WORKER_DEAD: Final = "worker_dead"
RECOVERY: Final = Origin(who="dispatcher", causation_id="recovery")
PAGE: Final = 100  # dispatches in one transaction
FORGET_AFTER_SECONDS: Final = 600.0
"""How long the counter of a worker without a claim stands still before its row is dropped; one that thaws later begins anew."""

Worker = tuple[str, UUID]  # its name and incarnation


class _Seen(Struct, frozen=True):
    counter: int | None  # None for a worker that has no row
    since: float  # monotonic seconds


class Recovery:
    """Calls a worker dead by its counter and our own monotonic clock alone: wall clocks take no part."""

    def __init__(
        self,
        begin: Begin[DispatcherWork],
        types: MessageTypes,
        channels: ChannelPlan,
        new_id: Callable[[], UUID],
        *,
        lease_seconds: float,
        call_timeout_seconds: float,
    ) -> None:
        self._begin = begin
        self._types = types
        self._channels = channels
        self._new_id = new_id
        self._patience_seconds = lease_seconds + call_timeout_seconds
        self._longest_gap_seconds = lease_seconds / 3
        self._seen: dict[Worker, _Seen] = {}
        self._looked_at: float | None = None

    def step(self, now: datetime, monotonic: float) -> bool:
        """Look at every worker's counter, and take over from the dead; whether there may be more of it at once.

        To be called about each second. Raises Deposed.
        """
        try:
            with self._begin() as work:
                claimants, counters = work.claimants(), work.counters()
                still_for = self._watched(claimants, counters, monotonic)
                dead = [worker for worker in claimants if still_for[worker] >= self._patience_seconds]
                dispatches = work.claimed_by(dead)[:PAGE] if dead else []
                if dispatches:
                    self._take_over(work, dispatches, now)
                idle = counters.keys() - set(claimants)
                work.forget_workers({worker: counters[worker] for worker in idle if still_for[worker] >= FORGET_AFTER_SECONDS})
        except BaseException:
            self._looked_at = None  # nobody is called dead for a time in which we could not look
            raise
        self._looked_at = monotonic
        return len(dispatches) == PAGE

    def _watched(self, claimants: Iterable[Worker], counters: Mapping[Worker, int], monotonic: float) -> dict[Worker, float]:
        """How many seconds each worker's counter has stood still, as far as we looked without a gap."""
        looked_on = self._looked_at is not None and monotonic - self._looked_at <= self._longest_gap_seconds
        before = self._seen if looked_on else {}
        self._seen = {}
        for worker in {*claimants, *counters}:
            seen = before.get(worker)
            same = seen is not None and seen.counter == counters.get(worker)
            self._seen[worker] = seen if seen and same else _Seen(counters.get(worker), monotonic)
        return {worker: monotonic - seen.since for worker, seen in self._seen.items()}

    def _take_over(self, work: DispatcherWork, dispatch_ids: Sequence[UUID], now: datetime) -> None:
        open_ids = dispatch_ids
        while open_ids:  # what loses to a late outcome is read again; then the locks are ours
            streams = readable(work.load_dispatches, open_ids)
            members = {member for stream in streams.values() if stream.state for member in stream.state.members}
            messages = readable(work.load_messages, members)
            taken: dict[UUID, tuple[Group, InFlight | None]] = {}
            for dispatch_id in (dispatch_id for dispatch_id, stream in streams.items() if _is_started(stream)):
                try:
                    taken[dispatch_id] = self._take(dispatch_id, streams[dispatch_id], messages, now)
                except Exception as error:  # noqa: BLE001  pure code on one dispatch: the rest goes on
                    work.park("dispatches", dispatch_id, kind_of(error))
            lost = work.append([group for group, _ in taken.values()], RECOVERY, now).lost if taken else frozenset()
            work.put_in_flight([flight for at, (_, flight) in enumerate(taken.values()) if flight and at not in lost])
            open_ids = [dispatch_id for at, dispatch_id in enumerate(taken) if at in lost]
        work.finished(dispatch_ids)

    def _take(
        self, dispatch_id: UUID, stream: Stream[Dispatch], messages: Mapping[UUID, Stream[ScheduledMessage]], now: datetime
    ) -> tuple[Group, InFlight | None]:
        """In doubt and finished; requested again at once where that is safe: whole or not at all."""
        state = stream.state
        if state is None:
            raise DispatchUnknown
        repeat_id = self._new_id()
        appends = [NewEvents("dispatches", dispatch_id, stream.version, tuple(dispatch.finish(state, "worker_dead")))]
        repeated = []
        for member in state.members:  # in their order, since a bulk call is repeated as it was
            message = messages.get(member)
            if message and message.state and message.state.status == "requested" and message.state.dispatch_id == dispatch_id:
                events = self._doubted(message.state, state.channel, dispatch_id, repeat_id)
                appends.append(NewEvents("messages", member, message.version, events, message.story))
                if isinstance(events[-1], SendRequested):
                    repeated.append(member)
        if not repeated:
            return Group(tuple(appends)), None
        again = tuple(dispatch.request(state.channel, state.region, tuple(repeated)))
        appends.append(NewEvents("dispatches", repeat_id, 0, again))
        return Group(tuple(appends)), InFlight(repeat_id, state.channel, state.region, len(repeated), now)

    def _doubted(self, message: ScheduledMessage, channel: str, dispatch_id: UUID, repeat_id: UUID) -> tuple[Event, ...]:
        doubt = message_decisions.put_in_doubt(message, reason=WORKER_DEAD, channel=channel, dispatch_id=dispatch_id)
        if not self._channels.clears_doubt(channel, message.message_type, self._types):
            return tuple(doubt)
        doubted: ScheduledMessage | None = message
        for event in doubt:
            doubted = evolve(doubted, event)
        repeat = message_decisions.request(
            doubted, channel=channel, dispatch_id=repeat_id, repeat_of=dispatch_id, may_repeat=True
        )
        return (*doubt, *repeat)


def _is_started(stream: Stream[Dispatch]) -> bool:
    return stream.state is not None and stream.state.status == "started"
