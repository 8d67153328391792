"""Redrive messages: an operator has tried again what was given up, one a year where one a year is the most."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct

from application.planned_slot import stands
from application.planner_ports import PlannedMessage, PlannerWork
from application.ports import Begin, Group, NewEvents, Origin, Position
from application.readable import readable
from application.streams import Streams
from domain import message_decisions
from domain.delivery_policy import SHORTEST_LATE_WINDOW, send_before
from domain.errors import Conflict, Invalid, MessageUnknown, NotAllowed, Problem, Refusal, YearTaken
from domain.message_type import MessageType, MessageTypes
from domain.scheduled_message import ScheduledMessage

LONGEST_REASON: Final = 100
FARTHEST: Final = timedelta(days=366)


class CannotTell(Conflict):
    """What was recorded of it, or of another message of its year, can't be read: ninebell parked list."""


class Redrive(Struct, frozen=True, kw_only=True):
    """How messages are tried again."""

    reason: str = ""  # why, in a few words and nothing about a person: it is kept for ever
    due_at: datetime | None = None  # aware; now if it is not said
    late_window: timedelta | None = None  # from the new due instant on; that of the type, but at least 12 h, if it is not said
    accept_duplicates: bool = False  # also what a provider may have accepted


class Redriven(Struct, frozen=True):
    """The positions to wait for, and why some messages stay as they are."""

    position: Position
    refused: dict[UUID, Refusal]


def redrive_message(
    message_id: UUID, how: Redrive, begin: Begin[PlannerWork], types: MessageTypes, origin: Origin, now: datetime
) -> Position:
    """Raises MessageUnknown, NotAllowed, AlreadySent, YearTaken, Invalid."""
    done = redrive_messages({message_id: first_due(how, now)}, how, begin, types, origin, now)
    for refusal in done.refused.values():
        raise refusal
    return done.position


def redrive_messages(
    due: Mapping[UUID, datetime], how: Redrive, begin: Begin[PlannerWork], types: MessageTypes, origin: Origin, now: datetime
) -> Redriven:
    """Redrive each at its new due instant, in one transaction; again is harmless."""
    with begin() as work:
        slots = _Years(work, due, types)
        refused: dict[UUID, Refusal] = {}
        position = Position()
        todo: Sequence[UUID] = list(due)
        while todo:  # what loses to a worker's late outcome is read again; then the locks are ours
            streams = slots.streams(work)
            groups: dict[UUID, Group] = {}
            for message_id in todo:
                try:
                    groups[message_id] = slots.redriven(message_id, streams, due[message_id], how, origin.who)
                except Refusal as refusal:
                    refused[message_id] = refusal
            if not groups:
                break
            appended = work.append(list(groups.values()), origin, now)
            position = appended.position
            todo = [message_id for index, message_id in enumerate(groups) if index in appended.lost]
    return Redriven(position, refused)


def first_due(how: Redrive, now: datetime) -> datetime:
    """The new due instant, or the first of them. Raises Invalid."""
    problems = []
    if how.due_at is not None and how.due_at > now + FARTHEST:
        problems.append(Problem("due_at", "lies more than a year ahead"))
    if how.late_window is not None and not timedelta(minutes=1) <= how.late_window <= FARTHEST:
        problems.append(Problem("late_window", "must be between a minute and a year"))
    if len(how.reason) > LONGEST_REASON or not (how.reason.isprintable()):
        problems.append(Problem("reason", f"must be at most {LONGEST_REASON} characters on one line"))
    if problems:
        raise Invalid(problems)
    return max(how.due_at.astimezone(UTC), now) if how.due_at else now


class _Years:
    """The other messages of each one's year, for types of which one a year is the most."""

    def __init__(self, work: PlannerWork, wanted: Mapping[UUID, datetime], types: MessageTypes) -> None:
        self._types = types
        known = {message_id: stream.state for message_id, stream in readable(work.load_messages, wanted).items()}
        annual = [message for message in known.values() if message and (kind := types.get(message.message_type)) and kind.annual]
        self._rows = _locked(work, annual)
        self.message_ids = [*wanted, *(row.message_id for row in self._rows.values() if row.message_id not in wanted)]

    def streams(self, work: PlannerWork) -> Streams:
        """As they stand now."""
        found = readable(work.load_messages, self.message_ids)
        return Streams(found, {}, set(self.message_ids) - found.keys())

    def redriven(self, message_id: UUID, streams: Streams, due_at: datetime, how: Redrive, who: str) -> Group:
        """Raises Refusal. Streams go on as if it had landed."""
        message = streams.message(message_id)
        if not streams.can_tell([message_id]):
            raise CannotTell
        if message is None:
            raise MessageUnknown
        kind = self._types.get(message.message_type)
        if kind is None:
            raise NotAllowed("redrive", message.status, "its message type is not installed")
        until = _send_before(message, kind, due_at, how.late_window)
        events = message_decisions.redrive(
            message, by=who, reason=how.reason, due_at=due_at, send_before=until, accept_duplicates=how.accept_duplicates
        )
        others = self._others(message_id, message) if kind.annual else []
        if not streams.can_tell(others):
            raise CannotTell
        if any(stands(other) for each in others if (other := streams.message(each))):
            raise YearTaken
        # Nobody may bring another one of the year back to life between our reading and our writing.
        checks = [NewEvents("messages", each, streams.version(each), ()) for each in others]
        before = streams.stream(message_id)
        streams.add(message_id, events)
        return Group((NewEvents("messages", message_id, before.version, tuple(events), before.story), *checks))

    def _others(self, message_id: UUID, message: ScheduledMessage) -> list[UUID]:
        """Raises NotAllowed where the planner would not know of it."""
        if message_id not in self._rows:
            raise NotAllowed("redrive", message.status, "the planner has forgotten it, and can't keep its year")
        mine = _year(self._rows[message_id])
        return [row.message_id for row in self._rows.values() if _year(row) == mine and row.message_id != message_id]


def _locked(work: PlannerWork, annual: Sequence[ScheduledMessage]) -> dict[UUID, PlannedMessage]:
    if not annual:
        return {}
    user_ids = sorted({message.user_id for message in annual})
    since = date(min(message.occasion.year for message in annual), 1, 1)
    # Waits for a planner that is deciding about them, and keeps the next one waiting; what it planned shows only afterwards.
    work.planned(user_ids, since)
    return {row.message_id: row for row in work.planned(user_ids, since)}


def _year(row: PlannedMessage) -> tuple[UUID, str, int]:
    return row.user_id, row.message_type, row.occasion.year


def _send_before(message: ScheduledMessage, kind: MessageType, due_at: datetime, late_window: timedelta | None) -> datetime:
    if late_window is not None:
        return due_at + late_window
    usual = send_before(message.occasion, message.timezone, due_at, kind.late_window)
    return max(usual, due_at + SHORTEST_LATE_WINDOW)
