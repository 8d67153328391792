"""What will a person be sent in the next days, when, and by which rule?"""

from datetime import date, timedelta
from typing import Final
from uuid import UUID

from domain.message_type import MessageType, MessageTypes, Occasion, TypeFailed
from domain.user import User
from domain.wanted_message import WantedMessage, occasions, taken_types, wanted_message

FARTHEST_DAYS: Final = 3660
"""As far as anybody may ask: ten years."""


def upcoming(user_id: UUID, user: User, types: MessageTypes, since: date, days: int) -> list[WantedMessage]:
    """Every message wanted for the `days` local dates from `since` on, by due instant.

    What the calendar says; whether a message is planned already, or was sent, its own stream tells. A type whose own code fails
    on the person gives none.
    """
    last = since + timedelta(days=days - 1)
    wanted = [
        wanted_message(user_id, user, kind, occasion)
        for kind in taken_types(user, types)
        for occasion in _sound(user, kind, since, last)
    ]
    return sorted(wanted, key=lambda message: (message.due_at, message.message_type))


def failing(user: User, types: MessageTypes, since: date, days: int) -> dict[str, str]:
    """The types whose own code fails on the person, and the kind of exception."""
    found = {}
    for kind in taken_types(user, types):
        try:
            occasions(user, kind, since, since + timedelta(days=days - 1))
        except TypeFailed as failure:
            found[kind.name] = failure.error
    return found


def _sound(user: User, kind: MessageType, since: date, last: date) -> list[Occasion]:
    try:
        return occasions(user, kind, since, last)
    except TypeFailed:
        return []
