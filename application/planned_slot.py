"""Which events bring the messages of one slot, planned or wanted, in line with a person's facts?"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.parked_types import Pair, ParkedTypes
from application.planner_ports import PlannedMessage
from application.ports import Group, NewEvents, Origin, Stream
from application.readable import kind_of
from application.streams import Streams
from domain import message_decisions as decide
from domain.errors import BeingSent, NotAllowed
from domain.message_type import MessageType, MessageTypes, Occasion, TypeFailed
from domain.scheduled_message import Reason, ScheduledMessage, ScheduledMessageEvent
from domain.timezones import local_date
from domain.user import User
from domain.wanted_message import WantedMessage, occasions, wanted_message

LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


class Person(Struct, frozen=True, kw_only=True):
    """Whose messages are brought in line, from when on, and what caused it."""

    user_id: UUID
    user: User
    takes: list[MessageType]
    first: date  # nothing dated earlier is planned or moved
    since: datetime  # what was too late by then already is not planned
    origin: Origin


class Slot(Struct, frozen=True, kw_only=True):
    """What is decided together: the messages of an annual type in one year, of which one may be sent; else one message."""

    person: Person
    wanted: list[WantedMessage]  # by date
    unwanted: dict[UUID, Reason]  # planned, but no occasion of this person any more
    rows: dict[UUID, PlannedMessage]

    @property
    def message_type(self) -> str:
        """Of all of them."""
        rows = list(self.rows.values())
        return rows[0].message_type if rows else self.wanted[0].message_type

    @property
    def pair(self) -> Pair:
        """Whose they are, and of which type."""
        return self.person.user_id, self.message_type

    @property
    def message_ids(self) -> list[UUID]:
        wanted = [message.message_id for message in self.wanted]
        return list(dict.fromkeys([*self.rows, *wanted])) if self.rows else wanted

    def stale_rows(self, streams: Streams) -> list[PlannedMessage]:
        """The planner's rows that must be written to say what is planned now."""
        user_id = self.person.user_id
        planned = [_row(user_id, wanted) for wanted in self.wanted if streams.message(wanted.message_id)]
        return [row for row in planned if self.rows.get(row.message_id) != row] if self.rows else planned

    def waits(self, streams: Streams) -> bool:
        """Whether somebody else has the next word on one of them."""
        known = (streams.message(message_id) for message_id in self.message_ids)
        return any(message and (message.pending or message.status == "in_doubt") for message in known)


def slots(person: Person, rows: Sequence[PlannedMessage], types: MessageTypes, last: date, parked: ParkedTypes) -> list[Slot]:
    """Everything of a person that has something dated from `person.first` up to `last`, wanted or planned.

    Where a type's own code fails, what is planned of it stays as it is, and the type is parked.
    """
    found: dict[tuple[str, date], Slot] = {}
    annual = types.annual

    def slot(message_type: str, occasion: date) -> Slot:
        key = (message_type, date(occasion.year, 1, 1) if message_type in annual else occasion)
        return found.setdefault(key, Slot(person=_seen(person, message_type, parked), wanted=[], unwanted={}, rows={}))

    dates: set[tuple[str, date]] = set()
    failed: set[str] = set()
    for kind in person.takes:
        first = _seen(person, kind.name, parked).first
        # An annual type is looked at from New Year on: what was planned earlier in the year may stand in the way.
        start = date(first.year, 1, 1) if kind.annual else first
        try:
            listed = occasions(person.user, kind, start, last)
            wanted = [_wanted(person, kind, occasion) for occasion in listed if occasion.date >= first]
        except TypeFailed as failure:
            parked.park(person.user_id, first, failure)
            failed.add(kind.name)
            continue
        if rows:
            dates.update((kind.name, occasion.date) for occasion in listed)
        for message in wanted:
            slot(kind.name, message.occasion).wanted.append(message)
    for row in rows:
        before = row.occasion < _seen(person, row.message_type, parked).first
        if row.message_type in failed or (before and row.message_type not in annual):
            continue
        here = slot(row.message_type, row.occasion)
        here.rows[row.message_id] = row
        if (row.message_type, row.occasion) not in dates:
            here.unwanted[row.message_id] = _why_unwanted(person.user, row.message_type, types)
    return [
        here for here in found.values() if here.wanted or any(row.occasion >= here.person.first for row in here.rows.values())
    ]


def _wanted(person: Person, kind: MessageType, occasion: Occasion) -> WantedMessage:
    """Raises TypeFailed, whosever code it is: a zone that a newer tzdata has dropped must not hold up everybody else."""
    try:
        return wanted_message(person.user_id, person.user, kind, occasion)
    except Exception as error:
        raise TypeFailed(kind.name, kind_of(error)) from error


def decide_slot(slot: Slot, streams: Streams, now: datetime) -> Group | None:
    """The events that bring a slot in line, to land whole or not at all; None when it is. Streams go on as if it had landed."""
    draft = _Draft(slot, streams, now)
    for message_id, reason in slot.unwanted.items():
        draft.drop(message_id, reason)
    for wanted in slot.wanted:
        draft.keep(wanted)
    return draft.group()


class _Draft:
    """One slot's decisions, one after the other, each seeing what the ones before it did."""

    def __init__(self, slot: Slot, streams: Streams, now: datetime) -> None:
        self.slot, self.ids, self.streams, self.now = slot, slot.message_ids, streams, now
        self.drafted: dict[UUID, tuple[Stream[ScheduledMessage], list[ScheduledMessageEvent]]] = {}  # from where on, and what
        self.withdrawals: list[NewEvents] = []
        self.takes_the_year = False

    def drop(self, message_id: UUID, reason: Reason) -> None:
        """Cancel what is no longer wanted, unless it is being sent: then its outcome decides."""
        message = self.streams.message(message_id)
        if message is None or message.status not in decide.ALLOWED["cancel"]:
            return
        # Of a moved date in doubt somebody will find out; a person who wants nothing more must not be sent a repeat meanwhile.
        if not (message.in_doubt and reason == "birthday_changed"):
            self._end(message_id, message, decide.cancel, reason)

    def keep(self, wanted: WantedMessage) -> None:
        """Schedule, move, expire or reinstate what is wanted."""
        message = self.streams.message(wanted.message_id)
        if message is None:
            if wanted.send_before > self.slot.person.since and not any(map(stands, self._others(wanted))):
                self._schedule(wanted)
        elif message.status in decide.ALLOWED["reinstate"]:
            if not self._over(wanted, message) and not any(map(stands, self._others(wanted))):
                self._reinstate(wanted, message)
        elif message.pending and not message.in_doubt:
            if any(other.uses_year_up for other in self._others(wanted)):
                self._end(wanted.message_id, message, decide.cancel, "already_sent")
            elif _moved(wanted, message):
                self._move(wanted, message)

    def group(self) -> Group | None:
        if not self.drafted:
            return None
        appends = [
            NewEvents("messages", each, before.version, tuple(events), before.story)
            for each, (before, events) in self.drafted.items()
        ]
        if self.takes_the_year and len(self.ids) > len(self.drafted):
            # Nobody may bring another one of the year back to life between our reading and our writing.
            known = {each: self.streams.version(each) for each in self.ids if each not in self.drafted}
            appends += [NewEvents("messages", each, version, ()) for each, version in known.items() if version]
        return Group((*appends, *self.withdrawals), self.slot.person.origin)

    def _others(self, wanted: WantedMessage) -> list[ScheduledMessage]:
        if len(self.ids) == 1:
            return []
        return [known for each in self.ids if each != wanted.message_id and (known := self.streams.message(each))]

    def _schedule(self, wanted: WantedMessage) -> None:
        self.takes_the_year = True
        scheduled = decide.schedule(
            None,
            user_id=self.slot.person.user_id,
            message_type=wanted.message_type,
            occasion=wanted.occasion,
            timezone=wanted.timezone,
            due_at=wanted.due_at,
            rule=wanted.rule,
            tzdata=wanted.tzdata,
            type_version=wanted.type_version,
        )
        self._add(wanted.message_id, scheduled)
        if wanted.send_before <= self.now:
            self._add(wanted.message_id, decide.expire(self.streams.message(wanted.message_id), "late_window"))

    def _reinstate(self, wanted: WantedMessage, message: ScheduledMessage) -> None:
        try:
            events = decide.reinstate(message, **{name: getattr(wanted, name) for name in _MOVED})
        except NotAllowed:
            return
        self.takes_the_year = True
        self._add(wanted.message_id, events)

    def _move(self, wanted: WantedMessage, message: ScheduledMessage) -> None:
        zone_moved = wanted.timezone != message.timezone
        if self._too_late(wanted, message):
            self._end(wanted.message_id, message, decide.expire, "zone_moved" if zone_moved else "late_window")
            return
        given_up = self._given_up(wanted.message_id, message)
        if message.status != "requested" or given_up:
            # "zone_moved" stands for the person's own send time too: the hours of their day moved.
            reason: Reason = "tzdata" if not zone_moved and wanted.tzdata != message.tzdata else "zone_moved"
            moved = {name: getattr(wanted, name) for name in _MOVED}
            self._add(wanted.message_id, decide.reschedule(message, **moved, reason=reason, given_up=given_up))

    def _end(self, message_id: UUID, message: ScheduledMessage, how: "End", reason: Reason) -> None:
        given_up = self._given_up(message_id, message)
        if message.status != "requested" or given_up:
            self._add(message_id, how(message, reason, given_up))

    def _given_up(self, message_id: UUID, message: ScheduledMessage) -> UUID | None:
        """The dispatch it is withdrawn from; None when there is none, or a worker was faster."""
        if message.status != "requested" or message.dispatch_id is None:
            return None
        try:
            self.withdrawals.append(self.streams.withdraw(message.dispatch_id, message_id))
        except BeingSent:
            return None
        return message.dispatch_id

    def _add(self, message_id: UUID, events: list[ScheduledMessageEvent]) -> None:
        if (known := self.drafted.get(message_id)) is None:
            self.drafted[message_id] = (self.streams.stream(message_id), list(events))
        else:
            known[1].extend(events)
        self.streams.add(message_id, events)

    def _over(self, wanted: WantedMessage, message: ScheduledMessage) -> bool:
        """Not to be reinstated: too late, by an operator's deadline too; or by another clock that is ahead of this one."""
        expired_so = message.reason == "late_window" and (wanted.due_at, wanted.timezone) == (message.due_at, message.timezone)
        return expired_so or message.send_before is not None or self._too_late(wanted, message)

    def _too_late(self, wanted: WantedMessage, message: ScheduledMessage) -> bool:
        """Past its window; for whoever moved, also past its date there (docs/calendar.md 9)."""
        if self.now >= wanted.send_before:
            return True
        day = max(wanted.occasion, local_date(wanted.due_at, wanted.timezone))
        return wanted.timezone != message.timezone and local_date(self.now, wanted.timezone) > day


End = Callable[[ScheduledMessage | None, Reason, UUID | None], list[ScheduledMessageEvent]]
_MOVED: Final = ("due_at", "timezone", "rule", "tzdata")


def _seen(person: Person, message_type: str, parked: ParkedTypes) -> Person:
    """Of a type that failed, from where it did: nothing was planned since, and nothing of it is too late to be told."""
    since = parked.since(person.user_id, message_type)
    return person if since is None else replace(person, first=min(since, person.first), since=LONG_AGO)


def _row(user_id: UUID, wanted: WantedMessage) -> PlannedMessage:
    return PlannedMessage(
        user_id, wanted.message_type, wanted.occasion, wanted.message_id, tzdata=wanted.tzdata, type_version=wanted.type_version
    )


def _moved(wanted: WantedMessage, message: ScheduledMessage) -> bool:
    """Whether it must follow the person's facts to another instant or zone; one that an operator chose stays in its zone."""
    by_hand = message.send_before is not None or (message.reason == "operator" and message.timezone == wanted.timezone)
    return not by_hand and (wanted.due_at, wanted.timezone) != (message.due_at, message.timezone)


def stands(message: ScheduledMessage) -> bool:
    """Whether it bars every other message of its slot."""
    return message.uses_year_up or message.pending


def _why_unwanted(user: User, message_type: str, types: MessageTypes) -> Reason:
    """Any other of the person's dates, or the country, counts as the birthday does."""
    if user.erased:
        return "erased"
    if user.suppressed:
        return "suppressed"
    chosen = message_type in user.message_types and message_type in types
    return "birthday_changed" if chosen else "type_removed"
