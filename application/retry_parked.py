"""Process manager: what becomes of a message or a dispatch that was left alone, and that an operator wants looked at again?"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from application.channel_plan import ChannelPlan
from application.dispatcher_ports import DispatcherWork, InFlight
from application.due_messages import DueMessages
from application.ports import Begin, Group, NewEvents, Origin, Stream
from application.readable import readable
from domain import message_decisions
from domain.dispatch import Dispatch
from domain.message_type import MessageTypes
from domain.scheduled_message import ScheduledMessage

FOLLOWERS: Final = ("dispatcher", "publisher", "recovery", "worker")
"""On whose behalf; the planner and those who repeat doubts see to their own."""
PAGE: Final = 500
PARKED: Final = "parked"
ASKED: Final = Origin(who="dispatcher", causation_id=PARKED)


class RetryParked:
    """Brings the dispatcher's rows in line with the streams, once they can be read; those that still can't are parked anew."""

    def __init__(self, begin: Begin[DispatcherWork], types: MessageTypes, channels: ChannelPlan) -> None:
        self._begin, self._rows = begin, DueMessages(types, channels)

    def step(self, now: datetime) -> bool:
        """One transaction; whether there may be more to do at once. Raises Deposed."""
        with self._begin() as work:
            asked = work.asked_again(FOLLOWERS, PAGE)
            messages = [stream_id for log, stream_id in asked if log == "messages"]
            self._into_doubt(work, messages, now)
            self._rows.look_up(work, messages)
            self._back_in_flight(work, [stream_id for log, stream_id in asked if log == "dispatches"], now)
        return bool(asked)

    def _into_doubt(self, work: DispatcherWork, message_ids: Iterable[UUID], now: datetime) -> None:
        """A dispatch that was finished without this member: a provider may have heard of it, nobody can tell."""
        open_ids = set(message_ids)
        while open_ids:  # what loses is read again; then the locks are ours
            messages = readable(work.load_messages, open_ids)
            held = {id_ for stream in messages.values() if (id_ := _requested_for(stream.state))}
            dispatches = readable(work.load_dispatches, held)
            groups = {
                message_id: _doubted(message_id, stream, now)
                for message_id, stream in messages.items()
                if _is_finished(_requested_for(stream.state), dispatches)
            }
            lost = work.append(list(groups.values()), ASKED, now).lost if groups else frozenset()
            open_ids = {message_id for at, message_id in enumerate(groups) if at in lost}

    def _back_in_flight(self, work: DispatcherWork, dispatch_ids: Iterable[UUID], now: datetime) -> None:
        """Published anew if nobody has it, and taken over if whoever has it is dead."""
        states = {id_: stream.state for id_, stream in readable(work.load_dispatches, dispatch_ids).items()}
        open_ = {id_: state for id_, state in states.items() if state and state.status != "finished"}
        work.put_in_flight([InFlight(id_, state.channel, state.region, len(state.members), now) for id_, state in open_.items()])
        work.started([(id_, state.worker, state.incarnation) for id_, state in open_.items() if state.incarnation])


def _requested_for(message: ScheduledMessage | None) -> UUID | None:
    return message.dispatch_id if message and message.status == "requested" else None


def _is_finished(dispatch_id: UUID | None, dispatches: Mapping[UUID, Stream[Dispatch]]) -> bool:
    stream = dispatches.get(dispatch_id) if dispatch_id else None
    return stream is not None and stream.state is not None and stream.state.status == "finished"


def _doubted(message_id: UUID, stream: Stream[ScheduledMessage], now: datetime) -> Group:
    known = stream.state
    assert known is not None
    doubt = message_decisions.put_in_doubt(known, reason=PARKED, channel=known.channel, dispatch_id=known.dispatch_id)
    return Group((NewEvents("messages", message_id, stream.version, tuple(doubt), stream.story),))
