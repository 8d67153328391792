"""Reschedule a message: an operator says when this occasion's goes out."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from application import messages
from application.ports import EventStore, Origin, Position
from domain import message_decisions
from domain.errors import MessageUnknown
from domain.message_decisions import Events
from domain.scheduled_message import ScheduledMessage


class RescheduleMessage(Struct, frozen=True):
    message_id: UUID
    due_at: datetime  # UTC


def reschedule_message(command: RescheduleMessage, store: EventStore, origin: Origin, now: datetime) -> Position:
    """Raises MessageUnknown, NotAllowed, AlreadySent; BeingSent once a worker has claimed it."""

    def move(state: ScheduledMessage | None, given_up: UUID | None) -> Events:
        if state is None:
            raise MessageUnknown
        return message_decisions.reschedule(
            state,
            due_at=command.due_at,
            timezone=state.timezone,
            rule=state.rule,
            tzdata=state.tzdata,
            reason="operator",
            given_up=given_up,
        )

    return messages.change(store, command.message_id, move, origin, now)
