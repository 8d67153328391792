"""Recover from a restored backup: what may have been sent in the past that was lost is in doubt, and is not sent again."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from application.channel_plan import ChannelPlan
from application.dispatch_messages import Dispatcher
from application.dispatcher_ports import DispatcherWork, DueMessage, LostSpan
from application.due_messages import DueMessages
from application.lost_past import RESTORED
from application.ports import Begin, Group, NewEvents, Origin, Stream
from application.readable import readable
from domain import dispatch, message_decisions
from domain.dispatch import Dispatch
from domain.message_type import MessageTypes
from domain.scheduled_message import ScheduledMessage

RECOVER: Final = Origin(who="cli", causation_id="recover")
DISPATCHES: Final = 20
MESSAGES: Final = 1_000
END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)
BEFORE_ALL: Final = UUID(int=0)

Counters = Mapping[tuple[str, ...], int]
"""Of each worker, and of the dispatcher that leads; each counts on while it is alive."""


class RecoverRestored:
    """One page a transaction, each done again without harm: whoever was killed begins anew."""

    def __init__(self, begin: Begin[DispatcherWork], types: MessageTypes, channels: ChannelPlan, span: LostSpan) -> None:
        """`begin` opens works of the dispatcher, whom nobody else may be."""
        self._begin, self._span = begin, span
        self._rows = DueMessages(types, channels)
        self._follower = Dispatcher(begin, types, channels, _no_new_dispatch)
        self._after = BEFORE_ALL

    def catch_up(self, now: datetime) -> None:
        """Until the dispatcher's tables say what the logs say. Raises Deposed."""
        while self._follower.step(now, steady=False):
            pass

    def count(self) -> int:
        """Messages to be put in doubt, as things stand."""
        with self._begin() as work:
            return sum(work.members_in_flight().values()) + work.count_within(self._span)

    def call_off(self, now: datetime) -> int | None:
        """A page of what was in flight: how many messages were put in doubt, None if there is no more. Raises Deposed."""
        with self._begin() as work:
            ids = [*work.unstarted(END_OF_TIME, DISPATCHES), *work.claimed_by(work.claimants())][:DISPATCHES]
            open_, doubted = list(ids), 0
            while open_:  # what loses, to the planner say, is read again; then the locks are ours
                streams = readable(work.load_dispatches, open_)
                messages = readable(work.load_messages, (member for stream in streams.values() for member in _members(stream)))
                groups = [_called_off(dispatch_id, stream, messages) for dispatch_id, stream in streams.items()]
                lost = work.append(groups, RECOVER, now).lost if groups else frozenset()
                doubted += sum(len(group.appends) - 1 for index, group in enumerate(groups) if index not in lost)
                open_ = [dispatch_id for index, dispatch_id in enumerate(streams) if index in lost]
            work.finished(ids)
        return doubted if ids else None

    def doubt(self, now: datetime) -> int | None:
        """The next page of what waits: how many were put in doubt, None if there is no more. Raises Deposed."""
        with self._begin() as work:
            rows = work.within(self._span, self._after, MESSAGES)
            doubted = self._doubted(work, rows, now)
        if not rows:
            return None
        self._after = rows[-1].message_id
        return doubted

    def _doubted(self, work: DispatcherWork, rows: Sequence[DueMessage], now: datetime) -> int:
        open_, doubted = {row.message_id: row.channel for row in rows}, 0
        while open_:
            streams = readable(work.load_messages, open_)
            groups = [
                Group((NewEvents("messages", id_, stream.version, tuple(events), stream.story),))
                for id_, stream in streams.items()
                if (events := _doubt(stream.state, open_[id_]))
            ]
            lost = work.append(groups, RECOVER, now).lost if groups else frozenset()
            doubted += len(groups) - len(lost)
            open_ = {id_: open_[id_] for index in lost for id_ in [groups[index].appends[0].stream_id]}
        self._rows.look_up(work, [row.message_id for row in rows])
        return doubted


def record_loss(begin: Begin[DispatcherWork], restored_to: datetime, now: datetime) -> LostSpan:
    """Before anything else: what is planned anew for that span is in doubt from now on. Raises Deposed."""
    with begin() as work:
        return work.record_lost_span(restored_to, RECOVER.who, now)


def alive(counters: Callable[[], Counters], wait: Callable[[float], None], seconds: int) -> list[tuple[str, ...]]:
    """Who counts on within so many seconds; nobody has to be waited for where nobody ever counted."""
    before = counters()
    for _ in range(seconds if before else 0):
        wait(1.0)
        found = counters()
        if moved := [who for who, count in found.items() if before.get(who) != count]:
            return moved
    return []


def _called_off(dispatch_id: UUID, stream: Stream[Dispatch], messages: Mapping[UUID, Stream[ScheduledMessage]]) -> Group:
    """Whole or not at all, so that no worker claims it in between."""
    assert stream.state is not None
    finished = dispatch.finish(stream.state, "worker_dead" if stream.state.status == "started" else "withdrawn")
    appends = [NewEvents("dispatches", dispatch_id, stream.version, tuple(finished))]
    for member in stream.state.members:
        message = messages.get(member)  # what can't be read is parked
        if message and message.state and (message.state.status, message.state.dispatch_id) == ("requested", dispatch_id):
            events = _doubt(message.state, stream.state.channel)
            appends.append(NewEvents("messages", member, message.version, tuple(events), message.story))
    return Group(tuple(appends))


def _doubt(message: ScheduledMessage | None, channel: str) -> message_decisions.Events:
    if message is None or not message.pending:
        return []
    return message_decisions.put_in_doubt(message, reason=RESTORED, channel=channel, dispatch_id=None)


def _members(stream: Stream[Dispatch]) -> tuple[UUID, ...]:
    return stream.state.members if stream.state else ()


def _no_new_dispatch() -> UUID:
    raise AssertionError("nothing is dispatched")
