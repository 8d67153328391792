"""Suppress a user, and take it back: nothing is sent to a suppressed user."""

from datetime import datetime
from uuid import UUID

from application import users
from application.ports import EventStore, Origin, Position
from domain import user


def suppress_user(user_id: UUID, reason: str, store: EventStore, origin: Origin, now: datetime) -> Position:
    """Raises UserUnknown, UserErasedError."""
    return users.change(store, user_id, lambda state: user.suppress(state, reason), origin, now)


def unsuppress_user(user_id: UUID, store: EventStore, origin: Origin, now: datetime) -> Position:
    """Raises UserUnknown, UserErasedError."""
    return users.change(store, user_id, user.unsuppress, origin, now)
