"""Process manager: which calls with an unclear answer are made again, with the same key, where that can do no harm?"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Final
from uuid import UUID

from application.channel_plan import ChannelPlan
from application.dispatch_messages import PAGE
from application.dispatcher_ports import DispatcherWork
from application.pacing import MOST_IN_ALL
from application.ports import Begin
from application.readable import readable
from application.whole_calls import WholeCalls, is_ours
from domain.event import Event
from domain.message_type import MessageTypes
from domain.scheduled_message import DeliveryInDoubt

REPEAT_AFTER: Final = timedelta(seconds=10)
"""The same for every doubt, so that those that wait are the end of the log and no more need be remembered."""

READ_AT_ONCE: Final = 10_000
"""Events, of which hardly any is a doubt."""


class _Doubt:
    def __init__(self, position: int, at: datetime, event: Event) -> None:
        assert isinstance(event, DeliveryInDoubt)
        self.position, self.at, self.dispatch_id = position, at, event.dispatch_id
        self.is_ours = is_ours(event.reason)


class RepeatDoubt:
    """Follows DeliveryInDoubt: each dispatch's doubts become one new dispatch, REPEAT_AFTER later, until it is too late."""

    def __init__(
        self, begin: Begin[DispatcherWork], types: MessageTypes, channels: ChannelPlan, new_id: Callable[[], UUID]
    ) -> None:
        """`begin` opens works of a follower of its own, under the dispatcher's leadership."""
        self._begin, self._calls = begin, WholeCalls(types, channels, new_id)

    def step(self, now: datetime) -> bool:
        """One transaction; whether there may be more to do at once. Raises Deposed, PositionLost."""
        with self._begin() as work:
            followed = work.follow("messages", READ_AT_ONCE, frozenset({DeliveryInDoubt}))
            found = [_Doubt(one.position, one.at, one.event) for one in followed.events]
            early = [doubt.position for doubt in found if doubt.at > now - REPEAT_AFTER]
            room = MOST_IN_ALL - sum(work.members_in_flight().values()) if found else 0
            beyond = _beyond_room(found, min(room, PAGE))
            read_to = min([followed.position, *(position - 1 for position in (*early, *beyond))])
            asked = self._asked_again(work)
            ours = [doubt for doubt in found if doubt.position <= read_to and doubt.is_ours]
            doubted = [doubt.dispatch_id for doubt in ours if doubt.dispatch_id]
            self._repeat(work, {*doubted, *asked}, now)
            work.followed("messages", read_to)
        return bool(asked) or (not early and (room > PAGE if beyond else followed.more))

    def _asked_again(self, work: DispatcherWork) -> set[UUID]:
        """Dispatches of what was left alone, and an operator wants looked at again."""
        asked = work.asked_again(("doubt",), PAGE)
        messages = readable(work.load_messages, [stream_id for log, stream_id in asked if log == "messages"])
        of_messages = {stream.state.dispatch_id for stream in messages.values() if stream.state}
        return {id_ for id_ in of_messages if id_} | {stream_id for log, stream_id in asked if log == "dispatches"}

    def _repeat(self, work: DispatcherWork, dispatch_ids: Collection[UUID], now: datetime) -> None:
        """Each with all of its members that are in doubt, wherever in the log that stands: a page may end amid them."""
        streams = readable(work.load_dispatches, dispatch_ids)
        open_ids = {member for stream in streams.values() if stream.state for member in stream.state.members}
        while open_ids:  # what loses to a late answer is read again; then the locks are ours
            calls = self._calls.to_repeat(work, open_ids, dispatch_ids, now)
            open_ids = self._calls.request(work, calls, now)


def _beyond_room(doubts: Sequence[_Doubt], room: int) -> list[int]:
    """The position of the first doubt, if any, that can't be in flight beside those before it; whole dispatches at a time."""
    for _, of_one in groupby(doubts, key=attrgetter("dispatch_id")):
        members = list(of_one)
        room -= sum(doubt.is_ours for doubt in members)
        if room < 0:
            return [members[0].position]
    return []
