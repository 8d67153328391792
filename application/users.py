"""Users: how every use case changes one user: load, decide, append at the version read, and decide afresh on a lost race."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from application.ports import EventStore, Group, NewEvents, Origin, Position
from domain.user import User, UserEvent

Decide = Callable[[User | None], list[UserEvent]]


def change(store: EventStore, user_id: UUID, decide: Decide, origin: Origin, now: datetime) -> Position:
    """Carry out one decision about one user; the position to wait for, also when nothing changed.

    Raises whatever `decide` raises.
    """
    while True:
        stream = store.load_users([user_id])[user_id]
        events = decide(stream.state)
        if not events:
            return store.head()
        appended = store.append([Group((NewEvents("users", user_id, stream.version, tuple(events)),))], origin, now)
        if not appended.lost:
            return appended.position
