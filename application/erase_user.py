"""Erase a user: the key is destroyed, the person is forgotten, the ID is never used again."""

from datetime import datetime
from uuid import UUID

from application import users
from application.ports import EventStore, Origin, Position
from domain import user


def erase_user(user_id: UUID, store: EventStore, origin: Origin, now: datetime) -> Position:
    """Again is not news. Raises UserUnknown."""
    return users.change(store, user_id, user.erase, origin, now)
