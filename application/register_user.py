"""Register a user: from now on this person is greeted."""

from datetime import date, datetime
from uuid import UUID

from msgspec import Struct

from application.ports import EventStore, Group, NewEvents, Origin, Position
from domain import user
from domain.errors import UserExists
from domain.timezones import local_date
from domain.user import Details


class RegisterUser(Struct, frozen=True):
    """`first_occasion`: nothing dated earlier is scheduled; today where the person lives, if not given."""

    user_id: UUID
    details: Details
    first_occasion: date | None = None


def register_user(command: RegisterUser, store: EventStore, origin: Origin, now: datetime) -> Position:
    """Raises UserExists for a taken ID or external ID, UserErasedError."""
    first_occasion = command.first_occasion or local_date(now, command.details.timezone)
    while True:
        _refuse_taken(command.details.external_id, store)
        stream = store.load_users([command.user_id])[command.user_id]
        events = user.register(stream.state, command.user_id, command.details, first_occasion)
        appended = store.append([Group((NewEvents("users", command.user_id, stream.version, tuple(events)),))], origin, now)
        if not appended.lost:
            return appended.position


def _refuse_taken(external_id: str | None, store: EventStore) -> None:
    if external_id is not None and (taken_by := store.user_of(external_id)) is not None:
        raise UserExists(taken_by)
