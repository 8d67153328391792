"""Resolve a doubt: a person has found out whether the provider took the message."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from application import messages
from application.ports import EventStore, Origin, Position
from domain import message_decisions


def resolve_doubt(
    message_id: UUID, outcome: Literal["sent", "not_sent"], store: EventStore, origin: Origin, now: datetime
) -> Position:
    """Sent: recorded as sent. Not sent: tried again now, within its late window.

    Raises MessageUnknown, NotAllowed, AlreadySent; BeingSent while a worker or a dispatch has it: that outcome may tell.
    """
    return messages.change(
        store, message_id, lambda state, _: message_decisions.resolve_doubt(state, outcome, origin.who), origin, now
    )
