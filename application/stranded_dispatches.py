"""What becomes of dispatches whose channel is no longer among the settings, so that no worker will ever take them?"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from application.dispatcher_ports import DispatcherWork
from application.ports import Group, NewEvents, Origin, Stream
from application.readable import readable
from domain import dispatch, message_decisions
from domain.dispatch import Dispatch, DispatchEvent
from domain.scheduled_message import ScheduledMessage

PAGE: Final = 100
STRANDED: Final = Origin(who="dispatcher", causation_id="settings")
CHANNEL_GONE: Final = "channel_gone"


def withdraw_stranded(work: DispatcherWork, channels: Sequence[str], now: datetime) -> bool:
    """Take a page of them back: their messages are due again, through a channel there is. Whether there may be more.

    To be called when the dispatches log has been followed, as that locks rows for which others wait who want the logs next.
    """
    dispatch_ids = work.unstarted_elsewhere(channels, PAGE)
    if not dispatch_ids:
        return False
    streams = readable(work.load_dispatches, dispatch_ids)
    work.finished([id_ for id_ in dispatch_ids if id_ not in streams])  # left alone, or they would be all of every page
    members = {member for stream in streams.values() if stream.state for member in stream.state.members}
    messages = readable(work.load_messages, members)
    groups = [group for id_, stream in streams.items() if (group := _withdrawn(id_, stream, messages))]
    if groups:
        work.members_in_flight()  # before the append: all who do both wait in this order
        work.append(groups, STRANDED, now)
    return bool(groups) or len(dispatch_ids) == PAGE


def _withdrawn(dispatch_id: UUID, stream: Stream[Dispatch], messages: Mapping[UUID, Stream[ScheduledMessage]]) -> Group | None:
    state: Dispatch | None = stream.state
    if state is None or state.status != "requested":
        return None
    taken_back: list[DispatchEvent] = []
    appends = []
    for member in state.members:
        taken_back += dispatch.withdraw(state, member)
        state = dispatch.evolve(state, taken_back[-1])
        message = messages.get(member)
        if message and message.state and (message.state.status, message.state.dispatch_id) == ("requested", dispatch_id):
            released = message_decisions.release(message.state, dispatch_id=dispatch_id, reason=CHANNEL_GONE)
            appends.append(NewEvents("messages", member, message.version, tuple(released), message.story))
    return Group((*appends, NewEvents("dispatches", dispatch_id, stream.version, tuple(taken_back))))
