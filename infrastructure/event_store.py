"""How are the three logs appended to and read, by callers with nothing else to write?"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, Literal, ParamSpec, TypeVar
from uuid import UUID

import stamina

from application.ports import Appended, Broken, Group, Log, Origin, Position, Recorded, StoreUnavailable, Stream
from domain.dispatch import Dispatch
from domain.errors import UserErasedError
from domain.event import Event
from domain.scheduled_message import ScheduledMessage
from domain.user import User
from infrastructure.database import Database
from infrastructure.event_appender import EncodedGroup, EventAppending, Positions, appended, at_once, by_group, lock, logs_of
from infrastructure.event_mapper import EventMapper
from infrastructure.event_reader import EventReading, Stretch
from infrastructure.keyring import DataKey, Keyring
from infrastructure.notifications import Announcer
from infrastructure.parked_events import park_broken
from infrastructure.shared_commit import SharedCommit

P = ParamSpec("P")
R = TypeVar("R")
MOST_GROUPS_A_COMMIT: Final = 10_000
KEEP_TRYING_SECONDS: Final = 60.0


class PostgresEventStore:
    """`application.ports.EventStore` on PostgreSQL. Safe to share among threads; blocks, so never call it on an event loop."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        *,
        announcer: Announcer,
        mapper: EventMapper | None = None,
        keep_trying_seconds: float = KEEP_TRYING_SECONDS,
    ) -> None:
        mapper = mapper or EventMapper()
        self.database = database
        self.keyring = keyring
        self.reading = EventReading(mapper, keyring)
        self.appending = EventAppending(mapper, keyring)
        self.announcer = announcer
        self._again = stamina.RetryingCaller(attempts=None, timeout=keep_trying_seconds, wait_initial=0.05, wait_max=1.0).on(
            StoreUnavailable
        )
        self._share = SharedCommit(self._commit, MOST_GROUPS_A_COMMIT)

    def append(self, groups: Sequence[Group], origin: Origin, now: datetime) -> Appended:
        """Write every group whose versions still hold; see the port. Positions of logs not written to are 0.

        A lost connection is waited out, up to a minute. Raises StoreUnavailable, KeyGone.
        """
        positions = self._share(self._encode(groups, origin, now))
        answer = appended(positions)
        self.announcer.announce({log for found in positions for log in found or ()})
        return answer

    def load_users(self, ids: Iterable[UUID]) -> dict[UUID, Stream[User]]:
        """Raises StoreUnavailable, BrokenStreams."""
        with self.database.cursor() as cursor:
            return self.reading.load_users(cursor, ids)

    def load_messages(self, ids: Iterable[UUID]) -> dict[UUID, Stream[ScheduledMessage]]:
        """Raises StoreUnavailable, BrokenStreams."""
        with self.database.cursor() as cursor:
            return self.reading.load_messages(cursor, ids)

    def load_dispatches(self, ids: Iterable[UUID]) -> dict[UUID, Stream[Dispatch]]:
        """Raises StoreUnavailable, BrokenStreams."""
        with self.database.cursor() as cursor:
            return self.reading.load_dispatches(cursor, ids)

    def history(self, log: Log, stream_id: UUID) -> list[Recorded[Event]]:
        """A stream's events, oldest first. Raises StoreUnavailable, BrokenStreams."""
        with self.database.cursor() as cursor:
            return self.reading.history(cursor, log, stream_id)

    def read(
        self,
        log: Log,
        after: int,
        limit: int,
        kinds: frozenset[type[Event]] | None = None,
        until: int | None = None,
        left_sealed: frozenset[type[Event]] = frozenset(),
    ) -> Stretch:
        """Up to `limit` events of any kind after a position, none beyond `until`; decoded only those of `kinds`.

        Personal data of the kinds `left_sealed` is not opened: its fields then read as in `domain.user.PERSONAL`.

        Raises StoreUnavailable.
        """
        with self.database.cursor() as cursor:
            return self.reading.stretch(cursor, log, after, limit, kinds, until=until, left_sealed=left_sealed)

    def head(self) -> Position:
        """The last position of each log. Raises StoreUnavailable."""
        with self.database.cursor() as cursor:
            return self.reading.head(cursor)

    def park(self, follower: str, log: Log, broken: Sequence[Broken]) -> None:
        """Raises StoreUnavailable."""
        with self.database.cursor() as cursor:
            park_broken(cursor, follower, log, broken)

    def user_of(self, external_id: str) -> UUID | None:
        """Raises UserErasedError, StoreUnavailable."""
        owner = self.users_of([external_id]).get(external_id)
        if owner == "erased":
            raise UserErasedError
        return owner

    def users_of(self, external_ids: Sequence[str]) -> dict[str, UUID | Literal["erased"]]:
        """Those of the external IDs that belong, or belonged, to a user. Raises StoreUnavailable."""
        with self.database.cursor() as cursor:
            return self.reading.users_of(cursor, external_ids)

    def _encode(self, groups: Sequence[Group], origin: Origin, now: datetime) -> list[EncodedGroup]:
        """Before the lock, as sealing takes time; a key that is destroyed meanwhile shows in the user's version."""
        sealed = self.appending.sealed_users(groups)
        if not sealed:
            return self.appending.encode(groups, origin, now, {})
        return self.appending.encode(groups, origin, now, self._patiently(self._keys, sealed))

    def _keys(self, user_ids: Iterable[UUID]) -> dict[UUID, DataKey]:
        with self.database.cursor() as cursor:
            return self.keyring.keys(cursor, user_ids)

    def _commit(self, groups: Sequence[EncodedGroup]) -> Sequence[Positions | None]:
        """Again after a lost connection: what the first try did commit is then found as it was written."""
        return self._patiently(self._write, groups)

    def _write(self, groups: Sequence[EncodedGroup]) -> Sequence[Positions | None]:
        if at_once(groups):
            with self.database.cursor() as cursor:
                if (written := self.appending.write_at_once(cursor, groups)) is not None:
                    return by_group(groups, written)
        with self.database.transaction() as cursor:
            lock(cursor, logs_of(groups))
            return self.appending.write(cursor, groups)

    def _patiently(self, use: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return use(*args, **kwargs)
        except StoreUnavailable:  # seldom: what tries again costs as much as a statement
            return self._again(use, *args, **kwargs)
