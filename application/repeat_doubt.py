"""Process manager: which calls with an unclear answer are made again, with the same key, where that can do no harm?"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Final
from uuid import UUID

from application.channel_plan import ChannelPlan
from application.claims import KEY_LIFETIME, UNREADABLE, too_late_from
from application.dispatch_messages import PAGE
from application.dispatcher_ports import DispatcherWork, InFlight
from application.pacing import MOST_IN_ALL
from application.ports import Begin, Group, NewEvents, Origin, Stream
from application.readable import kind_of, readable
from application.recover_deliveries import WORKER_DEAD
from domain import dispatch, message_decisions
from domain.dispatch import Dispatch
from domain.event import Event
from domain.message_type import MessageTypes
from domain.scheduled_message import DeliveryInDoubt, ScheduledMessage

DOUBT: Final = Origin(who="dispatcher", causation_id="doubt")
REPEAT_AFTER: Final = timedelta(seconds=10)
"""The same for every doubt, so that those that wait are the end of the log and no more need be remembered."""

READ_AT_ONCE: Final = 10_000
"""Events, of which hardly any is a doubt."""

FOR_OTHERS: Final = frozenset({UNREADABLE, WORKER_DEAD, "restored", "late_window", KEY_LIFETIME})
"""Doubts that recovery, or a person, sees to."""

KEY_CONFLICT: Final = "key_conflict"
"""The provider knows the key with another body: only a person can tell what it took."""


class _Doubt:
    def __init__(self, position: int, at: datetime, event: Event) -> None:
        assert isinstance(event, DeliveryInDoubt)
        self.position, self.at, self.dispatch_id = position, at, event.dispatch_id
        self.is_ours = _is_ours(event.reason)


class RepeatDoubt:
    """Follows DeliveryInDoubt: each dispatch's doubts become one new dispatch, REPEAT_AFTER later, until it is too late."""

    def __init__(
        self, begin: Begin[DispatcherWork], types: MessageTypes, channels: ChannelPlan, new_id: Callable[[], UUID]
    ) -> None:
        """`begin` opens works of a follower of its own, under the dispatcher's leadership."""
        self._begin, self._types, self._channels, self._new_id = begin, types, channels, new_id

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
            self._repeat(work, list(dict.fromkeys([*doubted, *asked])), now)
            work.followed("messages", read_to)
        return bool(asked) or (not early and (room > PAGE if beyond else followed.more))

    def _asked_again(self, work: DispatcherWork) -> set[UUID]:
        """Dispatches of what was left alone, and an operator wants looked at again."""
        asked = work.asked_again(("doubt",), PAGE)
        messages = readable(work.load_messages, [stream_id for log, stream_id in asked if log == "messages"])
        of_messages = {stream.state.dispatch_id for stream in messages.values() if stream.state}
        return {id_ for id_ in of_messages if id_} | {stream_id for log, stream_id in asked if log == "dispatches"}

    def _repeat(self, work: DispatcherWork, dispatch_ids: Sequence[UUID], now: datetime) -> None:
        """Each with all of its members that are in doubt, wherever in the log that stands: a page may end amid them."""
        open_ids = dispatch_ids
        while open_ids:  # what loses to a late answer is read again; then the locks are ours
            streams = readable(work.load_dispatches, open_ids)
            members = {member for stream in streams.values() if stream.state for member in stream.state.members}
            messages = readable(work.load_messages, members)
            repeats: dict[UUID, tuple[Group, InFlight]] = {}
            for dispatch_id, stream in streams.items():
                try:
                    repeat = self._repeat_of(dispatch_id, stream.state, messages, now)
                except Exception as error:  # noqa: BLE001  pure code on one dispatch: the rest goes on
                    work.park("dispatches", dispatch_id, kind_of(error))
                    continue
                if repeat:
                    repeats[dispatch_id] = repeat
            lost = work.append([group for group, _ in repeats.values()], DOUBT, now).lost if repeats else frozenset()
            work.put_in_flight([flight for index, (_, flight) in enumerate(repeats.values()) if index not in lost])
            open_ids = [dispatch_id for index, dispatch_id in enumerate(repeats) if index in lost]

    def _repeat_of(
        self, dispatch_id: UUID, state: Dispatch | None, messages: Mapping[UUID, Stream[ScheduledMessage]], now: datetime
    ) -> tuple[Group, InFlight] | None:
        members = state.members if state else ()  # in their order, since a bulk call is repeated as it was
        known = {id_: messages[id_] for id_ in members if id_ in messages}
        again = {id_: stream for id_, stream in known.items() if self._to_repeat(dispatch_id, stream.state, now)}
        return self._repeated(dispatch_id, state, again, now) if state is not None and again else None

    def _to_repeat(self, dispatch_id: UUID, message: ScheduledMessage | None, now: datetime) -> bool:
        if message is None or (message.status, message.dispatch_id) != ("in_doubt", dispatch_id):
            return False
        kind = self._types.get(message.message_type)
        safe = self._channels.clears_doubt(message.channel, message.message_type, self._types)
        return _is_ours(message.doubted_for) and safe and kind is not None and now < too_late_from(message, kind)

    def _repeated(
        self, dispatch_id: UUID, state: Dispatch, members: Mapping[UUID, Stream[ScheduledMessage]], now: datetime
    ) -> tuple[Group, InFlight]:
        repeat_id = self._new_id()
        requests = [
            message_decisions.request(
                stream.state, channel=state.channel, dispatch_id=repeat_id, repeat_of=dispatch_id, may_repeat=True
            )
            for stream in members.values()
        ]
        appends = [
            NewEvents("messages", id_, stream.version, tuple(events), stream.story)
            for (id_, stream), events in zip(members.items(), requests, strict=True)
        ]
        again = dispatch.request(state.channel, state.region, tuple(members))
        flight = InFlight(repeat_id, state.channel, state.region, len(members), now)
        return Group((*appends, NewEvents("dispatches", repeat_id, 0, tuple(again)))), flight


def _is_ours(reason: str) -> bool:
    return reason not in FOR_OTHERS and not reason.startswith(KEY_CONFLICT)


def _beyond_room(doubts: Sequence[_Doubt], room: int) -> list[int]:
    """The position of the first doubt, if any, that can't be in flight beside those before it; whole dispatches at a time."""
    for _, of_one in groupby(doubts, key=attrgetter("dispatch_id")):
        members = list(of_one)
        room -= sum(doubt.is_ours for doubt in members)
        if room < 0:
            return [members[0].position]
    return []
