"""Which messages does a provider know as one call, so that they are sent again together or not at all?"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.channel_plan import ChannelPlan
from application.claims import KEY_LIFETIME, UNREADABLE, places_of, too_late_from
from application.delivery_ports import KEY_CONFLICT
from application.dispatcher_ports import DispatcherWork, DueMessage, InFlight
from application.pause_sending import PausedNames, is_paused
from application.ports import Group, NewEvents, Origin, Stream
from application.readable import kind_of, readable
from application.recover_deliveries import WORKER_DEAD
from domain import dispatch, message_decisions
from domain.message_type import MessageTypes
from domain.scheduled_message import ScheduledMessage

DOUBT: Final = Origin(who="dispatcher", causation_id="doubt")
PUT_OFF: Final = timedelta(seconds=10)
FEWEST_EVENTS: Final = 5
"""Of a message in doubt that is due: planned, requested, in doubt, requested again, given back."""

FOR_OTHERS: Final = frozenset({UNREADABLE, WORKER_DEAD, "restored", "late_window", KEY_LIFETIME})
"""Doubts that recovery, or a person, sees to."""

Messages = Mapping[UUID, Stream[ScheduledMessage]]
Key = tuple[UUID, str, int]
"""The dispatch that a call was first made for, its channel, and the call's number there."""


class WholeCall(Struct, frozen=True):
    """A call in doubt."""

    key: Key
    region: str
    members: Messages  # that wait, in their order; what came of the others is known, or a person's to find out
    under_way: bool  # a worker has some of it

    @property
    def channel(self) -> str:
        return self.key[1]


class WholeCalls:
    """Requests calls in doubt again, each with all that waits for its answer."""

    def __init__(self, types: MessageTypes, channels: ChannelPlan, new_id: Callable[[], UUID]) -> None:
        self._types, self._channels, self._new_id = types, channels, new_id
        self._in_bulk = frozenset(name for name in channels.names if channels.bulk_by_key(name) > 1)

    def to_repeat(
        self, work: DispatcherWork, message_ids: Iterable[UUID], dispatches: Collection[UUID], now: datetime
    ) -> list[WholeCall]:
        """The calls that these messages are in doubt about since one of these dispatches, unless a person has the next word."""
        asked: dict[UUID, Stream[ScheduledMessage]] = {}
        for id_, stream in readable(work.load_messages, message_ids).items():
            message = stream.state
            if message is not None and message.status == "in_doubt":
                first, _ = self._made_for(message)
                asked |= {id_: stream} if message.dispatch_id in dispatches or first in dispatches else {}
        calls = {call.key: call for call in self._of(work, asked, now).values()}
        return [call for call in calls.values() if not call.under_way and call.members.keys() & asked.keys()]

    def request(self, work: DispatcherWork, calls: Iterable[WholeCall], now: datetime) -> set[UUID]:
        """Those of one dispatch become one again. The members of those that lost to somebody else."""
        together: defaultdict[tuple[UUID, str, str], dict[UUID, Stream[ScheduledMessage]]] = defaultdict(dict)
        for call in sorted(calls, key=attrgetter("key")):
            together[call.key[0], call.channel, call.region].update(call.members)
        repeats: list[tuple[Group, InFlight, Messages]] = []
        for (first, channel, region), members in together.items():
            try:
                repeats.append(self._repeated(first, InFlight(self._new_id(), channel, region, len(members), now), members))
            except Exception as error:  # noqa: BLE001  pure code on one dispatch: the rest goes on
                work.park("dispatches", first, kind_of(error))
        lost = work.append([group for group, _, _ in repeats], DOUBT, now).lost if repeats else frozenset()
        won = [repeat for index, repeat in enumerate(repeats) if index not in lost]
        work.put_in_flight([flight for _, flight, _ in won])
        requested = {id_: stream for _, _, members in won for id_, stream in members.items()}
        work.drop_due({id_: stream.version for id_, stream in requested.items() if stream.state and stream.state.pending})
        return {id_ for index in lost for id_ in repeats[index][2]}

    def _repeated(self, first: UUID, flight: InFlight, members: Messages) -> tuple[Group, InFlight, Messages]:
        appends = []
        for id_, stream in members.items():
            again = message_decisions.request(
                stream.state, channel=flight.channel, dispatch_id=flight.dispatch_id, repeat_of=first, may_repeat=True
            )
            appends.append(NewEvents("messages", id_, stream.version, tuple(again), stream.story))
        offered = dispatch.request(flight.channel, flight.region, tuple(members))
        return Group((*appends, NewEvents("dispatches", flight.dispatch_id, 0, tuple(offered)))), flight, members

    def _made_for(self, message: ScheduledMessage) -> tuple[UUID | None, str]:
        """The dispatch that its call was first made for, and the channel; the latest one, where its key is the message's own."""
        channel = self._channels.channel_of(message.message_type, message.channel)
        first = message.doubts[0] if message.waits_for_a_person and channel in self._in_bulk else None
        return first or message.dispatch_id, channel

    def _of(self, work: DispatcherWork, doubted: Messages, now: datetime) -> dict[UUID, WholeCall]:
        """The call of each of these messages, where it can be read."""
        firsts = {id_: self._made_for(stream.state) for id_, stream in doubted.items() if stream.state}
        dispatches = readable(work.load_dispatches, [first for first, _ in firsts.values() if first])
        places = {first: places_of(stream) for first, stream in dispatches.items()}
        keys: dict[UUID, Key] = {}
        found: dict[Key, tuple[str, Sequence[UUID]]] = {}
        for id_, (first, channel) in firsts.items():
            made_for = dispatches[first].state if first in dispatches else None
            if first and made_for and id_ in places[first]:
                bulk = self._channels.bulk_by_key(channel)
                number = places[first][id_] // bulk
                keys[id_] = (first, channel, number)
                found[keys[id_]] = made_for.region, made_for.members[number * bulk : (number + 1) * bulk]
        others = {member for _, members in found.values() for member in members} - doubted.keys()
        messages = {**doubted, **readable(work.load_messages, others)}
        calls: dict[Key, WholeCall] = {}
        for key, (region, members) in found.items():
            try:
                calls[key] = self._call(key, region, {id_: messages[id_] for id_ in members if id_ in messages}, now)
            except Exception as error:  # noqa: BLE001  pure code on one call: the rest goes on
                work.park("dispatches", key[0], kind_of(error))
        return {id_: calls[key] for id_, key in keys.items() if key in calls}

    def _call(self, key: Key, region: str, members: Messages, now: datetime) -> WholeCall:
        first, channel, _ = key
        states = {
            id_: stream.state
            for id_, stream in members.items()
            if stream.state and stream.state.waits_for_a_person and self._made_for(stream.state) == (first, channel)
        }
        waits = {id_: members[id_] for id_, state in states.items() if self._waits(state, now)}
        return WholeCall(key, region, waits, any(state.status == "requested" for state in states.values()))

    def _waits(self, message: ScheduledMessage, now: datetime) -> bool:
        """To be sent; and in doubt, unless recovery or a person has the next word."""
        if message.status != "in_doubt":
            return message.status in ("scheduled", "retrying")
        kind = self._types.get(message.message_type)
        safe = self._channels.clears_doubt(message.channel, message.message_type, self._types)
        return is_ours(message.doubted_for) and safe and kind is not None and now < too_late_from(message, kind)

    def hand_out(
        self, work: DispatcherWork, due: Sequence[DueMessage], paused: PausedNames, now: datetime
    ) -> tuple[Sequence[DueMessage], set[UUID]]:
        """What of `due` has a part in a call in doubt goes out with the rest of it; the others, and what somebody else was at.

        A call has the room of the rows that were found of it, so that no more goes out than fits; one that needs more waits until
        it comes first. It also waits while a worker has some of it, and while some of it is paused, unless this is too late.
        """
        bulk = self._in_bulk
        suspects = {row.message_id: row for row in due if row.version >= FEWEST_EVENTS and row.channel in bulk} if bulk else {}
        if not suspects:
            return due, set()
        calls = self._of(work, self._doubted(work, suspects), now)
        others = [row for row in due if row.message_id not in calls]
        room, taken = Counter(row.channel for row in due), Counter(row.channel for row in others)
        chosen: dict[Key, WholeCall] = {}
        waiting = []
        for row in suspects.values():
            call = calls.get(row.message_id)
            if call is None or call.key in chosen:
                continue
            if call.under_way or (_is_paused(call, paused) and now < row.send_before):
                waiting.append(replace(row, ready_at=now + PUT_OFF))
            elif not taken[row.channel] or taken[row.channel] + len(call.members) <= room[row.channel]:
                chosen[call.key] = call
                taken[row.channel] += len(call.members)
        work.put_due(waiting)
        return others, self.request(work, chosen.values(), now)

    def _doubted(self, work: DispatcherWork, rows: Mapping[UUID, DueMessage]) -> Messages:
        """Those of the rows that repeat something, as long as a row says what its message's stream does."""
        found = readable(work.load_messages, rows)
        current = {id_: stream for id_, stream in found.items() if stream.version == rows[id_].version}
        return {
            id_: stream
            for id_, stream in current.items()
            if stream.state and stream.state.waits_for_a_person and self._made_for(stream.state)[1] == rows[id_].channel
        }


def is_ours(reason: str) -> bool:
    return reason not in FOR_OTHERS and not reason.startswith(KEY_CONFLICT)


def _is_paused(call: WholeCall, paused: PausedNames) -> bool:
    types = (stream.state.message_type for stream in call.members.values() if stream.state)
    return is_paused(paused, call.channel, types)
