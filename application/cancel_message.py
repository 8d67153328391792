"""Cancel a message: an operator says that this occasion gets none."""

from datetime import datetime
from uuid import UUID

from application import messages
from application.ports import EventStore, Origin, Position
from domain import message_decisions


def cancel_message(message_id: UUID, store: EventStore, origin: Origin, now: datetime) -> Position:
    """Raises MessageUnknown, NotAllowed, AlreadySent; BeingSent once a worker has claimed it."""
    return messages.change(
        store,
        message_id,
        lambda state, given_up: message_decisions.cancel(state, "operator", given_up),
        origin,
        now,
    )
