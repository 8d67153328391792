"""Change a user's details: what they are called, where they live, what they want."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from application import users
from application.ports import EventStore, Origin, Position
from domain import user
from domain.errors import UserErasedError, UserUnknown
from domain.user import Details, User, UserEvent


def change_user(
    user_id: UUID, revise: Callable[[Details], Details], store: EventStore, origin: Origin, now: datetime
) -> Position:
    """Replace the details by what `revise` makes of the present ones; run afresh when somebody else was faster.

    Raises UserUnknown, UserErasedError, and whatever `revise` raises.
    """

    def decide(state: User | None) -> list[UserEvent]:
        if state is None:
            raise UserUnknown
        if state.erased:
            raise UserErasedError
        return user.change(state, revise(user.details_of(state)))

    return users.change(store, user_id, decide, origin, now)
