"""How are many people's messages brought in line in one transaction, whoever else writes to them meanwhile?"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from application.parked_types import Pair, ParkedTypes
from application.planned_slot import Person, Slot, decide_slot, slots
from application.planner_ports import PlannedMessage, PlannerWork
from application.ports import Group, NewEvents, Origin
from application.readable import kind_of, readable
from application.streams import Streams
from domain.message_type import MessageTypes, TypeFailed
from domain.scheduled_message import MessageRescheduled

PLANNED: Final = Origin("planner")


class Outcome(Struct, frozen=True):
    """What can't be brought in line now."""

    waiting: frozenset[Pair] = frozenset()
    """Erased users and types with a message left in somebody's hands, or one that nobody can read: to be looked at again."""
    parked: frozenset[Pair] = frozenset()
    """Users and types whose own code fails on them."""
    moved_by_tzdata: int = 0
    """Messages that have another instant because the rules of their zone changed."""


def bring_in_line(work: PlannerWork, people: Sequence[Person], types: MessageTypes, now: datetime, last: date) -> Outcome:
    """Schedule, move, cancel, expire or reinstate whatever does not say what these people's facts say now."""
    if not people:
        return Outcome()
    user_ids = [person.user_id for person in people]
    before = work.parked(user_ids)
    parked = ParkedTypes(before)
    first = min((*(person.first for person in people), *(row.first for row in before)))
    rows = _rows_by_user(work, user_ids, first, types.annual)
    todo = [slot for person in people for slot in slots(person, rows[person.user_id], types, last, parked)]
    # What was never planned has no stream; should there be one all the same, the append loses and it is read below.
    streams = _load(work, (message_id for slot in todo for message_id in slot.rows))
    waiting: set[Pair] = set()
    moved = 0
    while todo:
        clear = [slot for slot in todo if streams.can_tell(slot.message_ids)] if streams.broken else todo
        waiting |= {slot.pair for slot in todo if slot.person.user.erased and not streams.can_tell(slot.message_ids)}
        lost, moved_now = _decide(work, clear, streams, now, parked)
        moved += moved_now
        landed = [slot for slot in clear if id(slot) not in lost]
        work.put_planned([row for slot in landed for row in slot.stale_rows(streams)])
        waiting |= {slot.pair for slot in landed if slot.person.user.erased and slot.waits(streams)}
        todo = [slot for slot in clear if id(slot) in lost]
        if todo:
            streams = _load(work, (message_id for slot in todo for message_id in slot.message_ids))
    if parked.changed:
        work.put_parked(user_ids, parked.rows, now)
    return Outcome(frozenset(waiting), parked.pairs, moved)


def _decide(
    work: PlannerWork, todo: Sequence[Slot], streams: Streams, now: datetime, parked: ParkedTypes
) -> tuple[set[int], int]:
    """The identities of the slots that lost a race, and how many messages a new tzdata moved.

    The locks are held by now, so the lost are decided again on the spot.
    """
    drafts = [(slot, group) for slot in todo if (group := _decided(slot, streams, now, parked))]
    if not drafts:
        return set(), 0
    appended = work.append([group for _, group in drafts], PLANNED, now)
    landed = [new for index, (_, group) in enumerate(drafts) if index not in appended.lost for new in group.appends]
    work.followed_own("messages", appended, sum(len(new.events) for new in landed if new.log == "messages"))
    return {id(drafts[index][0]) for index in appended.lost}, _moved_by_tzdata(landed)


def _decided(slot: Slot, streams: Streams, now: datetime, parked: ParkedTypes) -> Group | None:
    """What fails is parked as if the type had: the rest goes on."""
    try:
        return decide_slot(slot, streams, now)
    except Exception as error:  # noqa: BLE001  pure code on one person's facts
        parked.park(slot.person.user_id, slot.person.first, TypeFailed(slot.message_type, kind_of(error)))
        return None


def _moved_by_tzdata(landed: Iterable[NewEvents]) -> int:
    return sum(isinstance(event, MessageRescheduled) and event.reason == "tzdata" for new in landed for event in new.events)


def _load(work: PlannerWork, message_ids: Iterable[UUID]) -> Streams:
    wanted = set(message_ids)
    messages = readable(work.load_messages, wanted)
    states = (stream.state for stream in messages.values())
    held = {state.dispatch_id for state in states if state and state.status == "requested" and state.dispatch_id}
    return Streams(messages, readable(work.load_dispatches, held), wanted - messages.keys())


def _rows_by_user(
    work: PlannerWork, user_ids: Sequence[UUID], first: date, annual: Collection[str]
) -> dict[UUID, list[PlannedMessage]]:
    """Of annual types from New Year on: what was planned earlier in the year may stand in the way."""
    rows: dict[UUID, list[PlannedMessage]] = defaultdict(list)
    for row in work.planned(user_ids, first, earlier=date(first.year, 1, 1), annual=annual):
        rows[row.user_id].append(row)
    return rows
