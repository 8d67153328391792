"""Which occasions does nobody plan, since their person is suppressed or erased until they are over?"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from uuid import UUID

from msgspec.structs import replace

from application.ports import EventStore
from application.upcoming import upcoming
from domain.message_type import MessageTypes
from domain.user import User
from domain.wanted_message import WantedMessage


class Silenced:
    """Sees each change of a person: what is erased tells nothing afterwards."""

    def __init__(self, store: EventStore, types: MessageTypes, names: Mapping[UUID, str], start: date, end: date) -> None:
        self._store, self._types, self._start, self._days = store, types, start, (end - start).days
        self._ids = {name: user_id for user_id, name in names.items()}
        self.occasions: dict[UUID, dict[UUID, tuple[WantedMessage, str]]] = {}
        """By person and message ID: what, and why it comes to nothing unless it is planned after all."""

    @contextmanager
    def seeing(self, name: str, now: datetime) -> Iterator[None]:
        """What is done to this person meanwhile counts for what is due from now on."""
        user_id = self._ids.get(name)
        before = self._user(user_id)
        yield
        after = self._user(user_id)
        if user_id is None or before is None or after is None or before == after:
            return
        kept = {key: one for key, one in self.occasions.get(user_id, {}).items() if one[0].due_at < now}
        if not after.reachable:
            facts, reason = (before, "erased") if after.erased else (after, "suppressed")
            found = upcoming(user_id, replace(facts, suppressed=False), self._types, self._start, self._days)
            kept |= {one.message_id: (one, reason) for one in found if one.due_at >= now}
        self.occasions[user_id] = kept

    def _user(self, user_id: UUID | None) -> User | None:
        return self._store.load_users([user_id])[user_id].state if user_id else None
