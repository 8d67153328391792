"""How does a process manager read, decide, append and record its position in one transaction?"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from psycopg import Cursor

from application.ports import (
    LOGS,
    Appended,
    Broken,
    BrokenStreams,
    Deposed,
    Followed,
    Group,
    Log,
    Origin,
    PositionLost,
    Stream,
)
from domain.dispatch import Dispatch
from domain.event import Event
from domain.scheduled_message import ScheduledMessage
from domain.user import User
from infrastructure.database import Row
from infrastructure.event_appender import EncodedGroup, Positions, appended, at_once, lock, logs_of
from infrastructure.event_store import PostgresEventStore
from infrastructure.leader import Leadership
from infrastructure.parked_events import last_version, park, park_broken

S = TypeVar("S")

FIRST_POSITIONS: Final = """
    INSERT INTO positions (follower, log, version, position) SELECT %b, log, %b, 0 FROM unnest(%b::text[]) AS log
    ON CONFLICT DO NOTHING"""
MOVE_POSITIONS: Final = """
    UPDATE positions SET position = move.after FROM unnest(%b::text[], %b::bigint[], %b::bigint[]) AS move (log, before, after)
    WHERE follower = %b AND positions.log = move.log AND version = %b AND position = move.before"""


class PostgresWork:
    """`application.ports.Work` on one open transaction. Subclasses add their own tables, on `cursor`."""

    def __init__(self, cursor: Cursor[Row], store: PostgresEventStore, follower: str) -> None:
        self.cursor = cursor
        self.touched: set[Log] = set()
        self._store = store
        self._follower = follower
        self._locked: list[Log] = []
        self._positions: dict[Log, int] = {}
        self._moves: dict[Log, tuple[int, int]] = {}  # from and to, written together at the end
        self._last_given: dict[Log, int] = {}  # by the logs' sequences, where a look has told

    def load_users(self, ids: Iterable[UUID]) -> dict[UUID, Stream[User]]:
        """Raises BrokenStreams; then they are parked."""
        return self._parking(self._store.reading.load_users, ids)

    def load_messages(self, ids: Iterable[UUID]) -> dict[UUID, Stream[ScheduledMessage]]:
        """Raises BrokenStreams; then they are parked."""
        return self._parking(self._store.reading.load_messages, ids)

    def load_dispatches(self, ids: Iterable[UUID]) -> dict[UUID, Stream[Dispatch]]:
        """Raises BrokenStreams; then they are parked."""
        return self._parking(self._store.reading.load_dispatches, ids)

    def park(self, log: Log, stream_id: UUID, error: str) -> None:
        """The stream's last event stands for what can't be done with it."""
        park_broken(self.cursor, self._follower, log, [Broken(stream_id, last_version(self.cursor, log, stream_id), error)])

    def follow(self, log: Log, limit: int, kinds: frozenset[type[Event]] | None = None) -> Followed:
        """Up to `limit` events of any kind after this follower's position, sealed; what can't be read is parked."""
        last = self._last_given.get(log)
        stretch = self._store.reading.stretch(self.cursor, log, self._position(log), limit, kinds, last_given=last, sealed=True)
        park(self.cursor, self._follower, log, stretch.unreadable)
        return stretch

    def followed(self, log: Log, position: int) -> None:
        """Commit to having read up to `position`. If someone else moved it, PositionLost is raised at the end of the work."""
        before = self._position(log)
        if position == before:
            return
        self._moves[log] = (self._moves[log][0] if log in self._moves else before, position)
        self._positions[log] = position

    def move_positions(self) -> None:
        """Of all logs that were followed, in one statement. Raises PositionLost."""
        if self._moves:
            move_positions(self.cursor, self._follower, self._moves)

    def followed_own(self, log: Log, appended: Appended, events: int) -> None:
        """Count our own events, just appended, as read, unless others stand before them: then they come with those.

        Our lock makes it sure: so many positions, given after the one we had read to and up to the last, leave none to others.
        """
        last: int = getattr(appended.position, log)
        if last - events == self._position(log):
            self.followed(log, last)

    def append(self, groups: Sequence[Group], origin: Origin, now: datetime) -> Appended:
        """As the event store does, but seen by others only once the work is committed.

        Locks are held until then: who lost, reads again and decides again, can't lose a second time.
        """
        appending = self._store.appending
        keys = self._store.keyring.keys(self.cursor, sealed) if (sealed := appending.sealed_users(groups)) else {}
        encoded = appending.encode(groups, origin, now, keys)
        self._take_turn(logs_of(encoded))
        positions = self._write(encoded)
        self.touched.update(log for found in positions for log in found or ())
        return appended(positions)

    def _parking(self, load: Callable[[Cursor[Row], Iterable[UUID]], S], ids: Iterable[UUID]) -> S:
        try:
            return load(self.cursor, ids)
        except BrokenStreams as error:
            park_broken(self.cursor, self._follower, error.log, error.broken)
            raise

    def _write(self, groups: Sequence[EncodedGroup]) -> Sequence[Positions | None]:
        appending = self._store.appending
        if at_once(groups) and (positions := appending.write_at_once(self.cursor, groups)) is not None:
            return positions
        lock(self.cursor, logs_of(groups))
        return appending.write(self.cursor, groups)

    def _take_turn(self, logs: set[Log]) -> None:
        """With the locks, which are held to the end, in the one order."""
        wanted = [log for log in LOGS if log in logs and log not in self._locked]
        if wanted and self._locked and LOGS.index(wanted[0]) < max(map(LOGS.index, self._locked)):
            raise RuntimeError(f"append to {wanted[0]} before {self._locked[-1]}, or two works could lock each other out")
        self._locked += wanted

    def _position(self, log: Log) -> int:
        if log not in self._positions:
            self._positions[log] = read_position(self.cursor, self._follower, log)
        return self._positions[log]


W = TypeVar("W", bound=PostgresWork)


@contextmanager
def begin_work(store: PostgresEventStore, kind: type[W], follower: str, leadership: Leadership | None) -> Iterator[W]:
    """One transaction of a process manager, committed at the end; without a leadership anybody may run it.

    Raises Deposed, PositionLost, StoreUnavailable: nothing of it is kept then, but for a StoreUnavailable at the very commit.
    """
    with store.database.transaction() as cursor:
        if leadership is not None:
            _must_lead(cursor, leadership)
        work = kind(cursor, store, follower)
        yield work
        work.move_positions()
    store.announcer.announce(work.touched)


def read_position(cursor: Cursor[Row], follower: str, log: Log, version: int = 1) -> int:
    """How far a follower has read; 0 before it has read anything."""
    cursor.execute(
        "SELECT position FROM positions WHERE follower = %b AND log = %b AND version = %b", (follower, log, version), prepare=True
    )
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def move_positions(cursor: Cursor[Row], follower: str, moves: Mapping[Log, tuple[int, int]], version: int = 1) -> None:
    """Log → from where and to where, in one transaction with what came of the events in between. Raises PositionLost."""
    logs, before, after = list(moves), [start for start, _ in moves.values()], [end for _, end in moves.values()]
    if 0 in before:
        cursor.execute(FIRST_POSITIONS, (follower, version, logs))
    cursor.execute(MOVE_POSITIONS, (logs, before, after, follower, version), prepare=True)
    if cursor.rowcount != len(logs):
        raise PositionLost(follower)


def _must_lead(cursor: Cursor[Row], leadership: Leadership) -> None:
    """The share lock makes a takeover wait until this transaction has ended."""
    cursor.execute(
        "SELECT FROM leaders WHERE role = %b AND epoch = %b FOR SHARE", (leadership.role, leadership.epoch), prepare=True
    )
    if cursor.rowcount != 1:
        raise Deposed(leadership.role)
