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
    Position,
    PositionLost,
    Stream,
)
from domain.dispatch import Dispatch
from domain.event import Event
from domain.scheduled_message import ScheduledMessage
from domain.user import User
from infrastructure.database import Row
from infrastructure.event_appender import EncodedGroup, appended, at_once, lock, logs_of
from infrastructure.event_store import PostgresEventStore
from infrastructure.leader import Leadership
from infrastructure.parked_events import last_version, park, park_broken

S = TypeVar("S")

FIRST_POSITIONS: Final = """
    INSERT INTO positions (follower, log, version, position)
    SELECT follower, log, %b, 0 FROM unnest(%b::text[], %b::text[]) AS first (follower, log)
    ON CONFLICT DO NOTHING"""
MOVE_POSITIONS: Final = """
    UPDATE positions SET position = move.after
    FROM unnest(%b::text[], %b::text[], %b::bigint[], %b::bigint[]) AS move (follower, log, before, after)
    WHERE positions.follower = move.follower AND positions.log = move.log AND version = %b AND position = move.before"""
MUST_LEAD: Final = """
    SELECT FROM leaders JOIN unnest(%b::text[], %b::bigint[]) AS mine (role, epoch) USING (role, epoch) FOR SHARE OF leaders"""
NOT_AWAITED: Final = "SET LOCAL synchronous_commit = off"
READ_POSITIONS: Final = "SELECT follower, position FROM positions WHERE follower = ANY(%b) AND log = %b AND version = 1"


class PostgresWork:
    """`application.ports.Work` on one open transaction. Subclasses add their own tables, on `cursor`."""

    def __init__(self, cursor: Cursor[Row], store: PostgresEventStore, follower: str) -> None:
        self.cursor = cursor
        self.touched: set[Log] = set()
        self._store = store
        self._follower = follower
        self._locked: list[Log] = []
        self._names: Sequence[str] = (follower,)  # under which it keeps a position: a dispatcher, one in each of its regions
        self._positions: dict[Log, dict[str, int]] = {}
        self._moves: dict[tuple[str, Log], tuple[int, int]] = {}  # from and to, written together at the end
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
        """Up to `limit` events of any kind after this follower's position, sealed; what can't be read is parked.

        Of several positions the lowest goes on, until it has come as far as the next.
        """
        return self._next(log, limit, kinds)

    def _next(self, log: Log, limit: int, kinds: frozenset[type[Event]] | None, *, unread: bool = False) -> Followed:
        positions = sorted(set(self._read(log).values()))
        until = positions[1] if positions[1:] else None
        last = self._last_given.get(log)
        stretch = self._store.reading.stretch(
            self.cursor, log, positions[0], limit, kinds, last_given=last, until=until, sealed=True, unread=unread
        )
        park(self.cursor, self._follower, log, stretch.unreadable)
        if until is None or stretch.more:
            return stretch
        return Followed(stretch.events, until, more=True)

    def followed(self, log: Log, position: int) -> None:
        """Commit to having read up to `position`. If someone else moved it, PositionLost is raised at the end of the work."""
        read = self._read(log)
        low = min(read.values())
        if position == low:
            return
        for name in [name for name, before in read.items() if before < position]:
            first, _ = self._moves.get((name, log), (read[name], 0))
            self._moves[name, log] = (first, position)
            read[name] = position

    def move_positions(self) -> None:
        """Of all logs that were followed, in one statement. Raises PositionLost."""
        if self._moves:
            _move(self.cursor, self._moves)

    def followed_own(self, log: Log, appended: Appended, events: int) -> None:
        """Count our own events, just appended, as read, unless others stand before them: then they come with those.

        Our lock makes it sure: so many positions, given after the one we had read to and up to the last, leave none to others.
        """
        last: int = getattr(appended.position, log)
        if last - events == min(self._read(log).values()):
            self.followed(log, last)

    def append(self, groups: Sequence[Group], origin: Origin, now: datetime) -> Appended:
        """As the event store does, but seen by others only once the work is committed.

        Locks are held until then: who lost, reads again and decides again, can't lose a second time.
        """
        appending = self._store.appending
        keys = self._store.keyring.keys(self.cursor, sealed) if (sealed := appending.sealed_users(groups)) else {}
        encoded = appending.encode(groups, origin, now, keys)
        self._take_turn(logs_of(encoded))
        answer = self._write(encoded)
        self.touched.update(log for log in LOGS if getattr(answer.position, log))
        return answer

    def _parking(self, load: Callable[[Cursor[Row], Iterable[UUID]], S], ids: Iterable[UUID]) -> S:
        try:
            return load(self.cursor, ids)
        except BrokenStreams as error:
            park_broken(self.cursor, self._follower, error.log, error.broken)
            raise

    def _write(self, groups: Sequence[EncodedGroup]) -> Appended:
        appending = self._store.appending
        if at_once(groups) and (written := appending.write_at_once(self.cursor, groups)) is not None:
            return Appended(frozenset(), Position(**{log: positions[-1] for log, positions in written.items()}))
        lock(self.cursor, logs_of(groups))
        return appended(appending.write(self.cursor, groups))

    def _take_turn(self, logs: set[Log]) -> None:
        """With the locks, which are held to the end, in the one order."""
        wanted = [log for log in LOGS if log in logs and log not in self._locked]
        if wanted and self._locked and LOGS.index(wanted[0]) < max(map(LOGS.index, self._locked)):
            raise RuntimeError(f"append to {wanted[0]} before {self._locked[-1]}, or two works could lock each other out")
        self._locked += wanted

    def _read(self, log: Log) -> dict[str, int]:
        if log not in self._positions:
            self.cursor.execute(READ_POSITIONS, (list(self._names), log), prepare=True)
            self._positions[log] = dict.fromkeys(self._names, 0) | dict(self.cursor)
        return self._positions[log]


W = TypeVar("W", bound=PostgresWork)


@contextmanager
def begin_work(
    store: PostgresEventStore,
    kind: Callable[[Cursor[Row], PostgresEventStore, str], W],
    follower: str,
    leadership: Leadership | Sequence[Leadership] | None,
    *,
    comes_again: bool = False,
) -> Iterator[W]:
    """One transaction of a process manager, committed at the end; without a leadership anybody may run it.

    Without events, what `comes_again` if a crash of the server takes it, position and all, is not waited for to reach the disk.
    The epoch's lock makes a transaction of every look, and each would have the disk synced.

    Raises Deposed, PositionLost, StoreUnavailable: nothing of it is kept then, but for a StoreUnavailable at the very commit.
    """
    with store.database.transaction() as cursor:
        if leadership is not None:
            _must_lead(cursor, (leadership,) if isinstance(leadership, Leadership) else leadership)
        work = kind(cursor, store, follower)
        yield work
        work.move_positions()
        if comes_again and not work.touched:
            cursor.execute(NOT_AWAITED, prepare=True)
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
    _move(cursor, {(follower, log): move for log, move in moves.items()}, version)


def _move(cursor: Cursor[Row], moves: Mapping[tuple[str, Log], tuple[int, int]], version: int = 1) -> None:
    followers, logs = [follower for follower, _ in moves], [log for _, log in moves]
    before, after = [start for start, _ in moves.values()], [end for _, end in moves.values()]
    if 0 in before:
        cursor.execute(FIRST_POSITIONS, (version, followers, logs))
    cursor.execute(MOVE_POSITIONS, (followers, logs, before, after, version), prepare=True)
    if cursor.rowcount != len(moves):
        raise PositionLost(followers[0])


def _must_lead(cursor: Cursor[Row], leaderships: Sequence[Leadership]) -> None:
    """The share locks make a takeover wait until this transaction has ended."""
    roles, epochs = [led.role for led in leaderships], [led.epoch for led in leaderships]
    cursor.execute(MUST_LEAD, (roles, epochs), prepare=True)
    if cursor.rowcount != len(leaderships):
        raise Deposed(roles[0])
