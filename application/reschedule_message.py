"""Reschedule a message: an operator says when this occasion's goes out."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct

from application import messages
from application.ports import EventStore, Origin, Position
from domain import message_decisions
from domain.errors import Invalid, MessageUnknown, Problem
from domain.message_decisions import Events
from domain.scheduled_message import ScheduledMessage

FARTHEST: Final = timedelta(days=366)
"""From the occasion, either way. A late window added to the last days of the calendar would be no instant any more."""


class RescheduleMessage(Struct, frozen=True):
    message_id: UUID
    due_at: datetime  # aware


def reschedule_message(command: RescheduleMessage, store: EventStore, origin: Origin, now: datetime) -> Position:
    """Raises MessageUnknown, NotAllowed, AlreadySent; BeingSent once a worker has claimed it; Invalid if it lies too far off."""

    def move(state: ScheduledMessage | None, given_up: UUID | None) -> Events:
        if state is None:
            raise MessageUnknown
        _check(command.due_at, state.occasion)
        return message_decisions.reschedule(
            state,
            due_at=command.due_at.astimezone(UTC),
            timezone=state.timezone,
            rule=state.rule,
            tzdata=state.tzdata,
            reason="operator",
            given_up=given_up,
        )

    return messages.change(store, command.message_id, move, origin, now)


def _check(due_at: datetime, occasion: date) -> None:
    if abs(due_at - datetime.combine(occasion, time(12), UTC)) > FARTHEST:
        raise Invalid([Problem("due_at", "lies more than a year from the occasion")])
