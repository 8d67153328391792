"""How does a read model get its events: in batches, rows and position committed as one?"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from threading import Event as Signal
from time import monotonic
from typing import Any, Final

import psycopg
from cryptography.exceptions import InvalidTag
from msgspec import MsgspecError
from psycopg import sql

from application.ports import PositionLost, Recorded, StoreUnavailable
from domain.event import stored_name
from domain.message_id import occasion_of
from infrastructure.event_mapper import Unreadable
from infrastructure.event_reader import ParkedEvent
from infrastructure.event_store import PostgresEventStore
from infrastructure.notifications import Listener
from infrastructure.parked_events import park, parked_at, unpark
from infrastructure.partitions import IN_TURN, ensure_partitions
from infrastructure.read_model_sides import LIVE, Side, find, make, put
from infrastructure.shared_tail import SharedTail
from infrastructure.user_sealer import UserSealer
from projections.projection import Cursor, Projection

BATCH: Final = 2_000
IDLE_SECONDS: Final = 1.0
REST_SECONDS_AN_EVENT: Final = 0.0005
REST_SECONDS: Final = 0.25
"""A batch costs some milliseconds, and little more with a thousand events in it than with ten. So after a batch that came to the
end of the log the next is left to grow, the longer the faster the log does; after a few events there is no rest to speak of."""
HERD_REST_SECONDS: Final = 4.0
"""While messages are sent by the thousand, whoever sends them needs the machine; and what one page tells of a message is one row
write. Nobody waits for it: who does ends the rest."""

# What an event itself can cause. Anything else (the server gone, a table missing, the disk full) would befall every event.
POISON: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    MsgspecError,
    InvalidTag,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)

POSITION: Final = "SELECT position FROM positions WHERE follower = %s AND log = %s AND version = %s FOR UPDATE"
MUSE: Final = "SET LOCAL idle_in_transaction_session_timeout = '20s'"
"""A large batch is thought about for longer than a session may that others wait for; nobody does for this one."""
MOVE: Final = """
    UPDATE positions SET position = %s WHERE follower = %s AND log = %s AND version = %s AND position = %s"""

logger = logging.getLogger(__name__)


class NewerTables(Exception):
    """A newer Ninebell has built this read model in a later version."""


class Projector:
    """Feeds one read model. Two of them on one read model do no harm: what one has committed the other finds done."""

    def __init__(
        self,
        store: PostgresEventStore,
        projection: Projection,
        *,
        side: Side = LIVE,
        batch: int = BATCH,
        tail: SharedTail | None = None,
    ) -> None:
        """The tables that stand on `side`; the `tail` is what others in this process read, too."""
        self.projection = projection
        self._store, self._database, self._side, self._batch = store, store.database, side, batch
        self._tail = tail
        self._key = (side.follower(projection.name), projection.log, projection.version)
        self._position: int | None = None
        self._more = False  # the log went on after the last batch
        self._months: set[date] = set()  # the first days of those whose partitions are there

    def prepare(self) -> bool:
        """Make the read model's tables where there are none at all; False where those of an earlier version stand.

        Such are left to whoever reads and feeds them, until this version is built beside them.

        Raises NewerTables, StoreUnavailable.
        """
        with self._database.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('ninebell.read_models'))")
            built = self._built(cursor)
            if built is None:
                make(cursor, self.projection, LIVE)
            elif built > self.projection.version:
                raise NewerTables(f"{self.projection.name} is at version {built}; this Ninebell knows {self.projection.version}")
            elif find(cursor, self.projection.name, LIVE) is None:  # made when nothing stood beside it yet
                put(cursor, self.projection, LIVE)
            return built in (None, self.projection.version)

    def make_months(self, first: date, last: date) -> None:
        """Room for the messages of these months before they come; not in tables of another version. Raises StoreUnavailable."""
        if not self.projection.monthly:
            return
        with self._transaction() as cursor:
            cursor.execute(IN_TURN)  # a swap waits
            if self._built(cursor) == self.projection.version:
                self._make(cursor, first, last)

    def step(self, until: int | None = None) -> int:
        """Apply the next batch, if there is one up to `until`, and return how many events it had.

        Raises StoreUnavailable; then nothing was applied, or all was, and the next step finds out. Raises NewerTables where
        other tables stand there by now.
        """
        try:
            position = self._begin_anew() if self._position is None else self._position
            self._position, self._more = None, False  # unknown until the batch is through
            log, kinds, left_sealed = self.projection.log, self.projection.kinds, self.projection.left_sealed
            stretch = (self._tail or self._store).read(log, position, self._batch, kinds, until, left_sealed)
            if stretch.position > position:
                self._park(*stretch.unreadable)  # twice is harmless
                self._make_room(stretch.events)
                position = self._apply(stretch.events, position, stretch.position)
        except PositionLost:
            return 0
        self._position, self._more = position, stretch.more
        return len(stretch.events)

    def retry(self, position: int) -> str | None:
        """Apply an event after all that was gone past, if it still is; the error if it fails again.

        Where a row is what its stream says, so is all that the stream has said since: the last word stays the last.
        Raises StoreUnavailable.
        """
        name, log, version = self._key
        try:
            with self._transaction() as cursor:
                # The runner waits here, as do others who retry.
                cursor.execute(POSITION, (name, log, version))
                [(read_to,)] = cursor.fetchall()
                parked = parked_at(cursor, name, log)
                if position not in parked:
                    return None
                until = position if self.projection.adds_up else read_to
                events = self._store.reading.since(cursor, log, position, until, parked - {position})
                wanted = [event for event in events if type(event.event) in self.projection.kinds]
                self._make_room(wanted)
                if wanted:
                    self.projection.project(cursor, wanted, UserSealer(self._store.keyring, cursor))
                unpark(cursor, name, log, position)
        except (Unreadable, *POISON) as error:
            return error.error if isinstance(error, Unreadable) else _code(error)
        return None

    def run(self, stop: Signal, listener: Listener) -> None:
        """Keep the read model up to date until told to stop, through any outage of the database, or until another version is."""
        while not stop.is_set():
            try:
                events = self.step()
                while self._more and not stop.is_set():
                    events = self.step()
            except StoreUnavailable as error:
                logger.warning("%s waits for the store (%s)", self.projection.name, error)
                stop.wait(IDLE_SECONDS)
            except NewerTables as error:
                logger.warning("%s; it is fed by others from now on", error)
                return
            else:
                self._rest(events * REST_SECONDS_AN_EVENT, listener, stop)

    def apply_singly(self, cursor: Cursor, events: Sequence[Recorded[Any]]) -> None:
        """Out of the log's order: a stream that is to be parked in part. In the caller's transaction."""
        name, log, _ = self._key
        self._make_room(events)
        for recorded in events:
            try:
                with cursor.connection.transaction():
                    self.projection.project(cursor, [recorded], UserSealer(self._store.keyring, cursor))
            except POISON as error:
                park(cursor, name, log, [_parked(recorded, error)])

    def position(self) -> int:
        """How far it has been fed. Raises NewerTables, StoreUnavailable."""
        return self._load_position()

    def _rest(self, seconds: float, listener: Listener, stop: Signal) -> None:
        log = self.projection.log
        if self._tail and seconds > REST_SECONDS:
            # until an instant that is the same for all, so that one reads for all
            left_seconds = HERD_REST_SECONDS - monotonic() % HERD_REST_SECONDS
            listener.rest(log, min(seconds, left_seconds), stop)
            seconds = 0.0
        listener.wait((log,), IDLE_SECONDS, min(seconds, REST_SECONDS))

    def _built(self, cursor: Cursor) -> int | None:
        """Which version is live, if one is."""
        cursor.execute("SELECT max(version) FROM positions WHERE follower = %s AND log = %s", self._key[:2])
        found: int | None = cursor.fetchall()[0][0]
        return found

    def _begin_anew(self) -> int:
        """From where the server that answers now has it; what another one had said is forgotten after that, not before."""
        position = self._load_position()
        if self._tail:
            self._tail.forget()
        return position

    def _load_position(self) -> int:
        with self._database.transaction() as cursor:
            cursor.execute("SELECT position FROM positions WHERE follower = %s AND log = %s AND version = %s", self._key)
            row = cursor.fetchone()
        if row is None:
            self._months.clear()
            raise NewerTables(f"{self._key[0]} is no longer there in version {self.projection.version}")
        return int(row[0])

    def _make_room(self, events: Sequence[Recorded[Any]]) -> None:
        """Months that come up for the first time get their partitions, where they have none yet: those far ahead or long past."""
        if not self.projection.monthly:
            return
        one_a_day = {recorded.stream_id.int >> 80: recorded for recorded in events}  # the bits that tell the date
        days = filter(None, map(_occasion, one_a_day.values()))
        for month in sorted({day.replace(day=1) for day in days} - self._months):
            with self._transaction() as cursor:
                self._make(cursor, month, month)
            self._months.add(month)

    def _make(self, cursor: Cursor, first: date, last: date) -> None:
        for table in self.projection.monthly:
            for made in ensure_partitions(cursor.connection, first, last, table):
                sparing = sql.SQL("ALTER TABLE {} SET (fillfactor = {})")
                cursor.execute(sparing.format(sql.Identifier(f"{table}_{made}"), self.projection.fillfactor))

    def _apply(self, events: Sequence[Recorded[Any]], start: int, end: int) -> int:
        """Commit the events that stand in (start, end]; halve what can't be applied until the one that spoils it stands alone."""
        try:
            self._commit(events, start, end)
        except POISON as error:
            if len(events) == 1:
                self._park(_parked(events[0], error))
                self._commit([], start, end)
            else:
                first, second = events[: len(events) // 2], events[len(events) // 2 :]
                self._apply(second, self._apply(first, start, first[-1].position), end)
        return end

    def _commit(self, events: Sequence[Recorded[Any]], start: int, end: int) -> None:
        with self._transaction() as cursor:
            # The position goes first: its row keeps a second runner waiting, who then finds it moved.
            self._move(cursor, start, end)
            if len(events) > BATCH:
                cursor.execute(MUSE)
            if events:
                self.projection.project(cursor, events, UserSealer(self._store.keyring, cursor))

    def _park(self, *events: ParkedEvent) -> None:
        if not events:
            return
        name, log, _ = self._key
        with self._database.transaction() as cursor:
            park(cursor, name, log, events)

    def _move(self, cursor: Cursor, start: int, end: int) -> None:
        """Raises PositionLost. Makes no position: what is swapped away must not come back."""
        if cursor.execute(MOVE, (end, *self._key, start)).rowcount != 1:
            raise PositionLost(self._key[0])

    @contextmanager
    def _transaction(self) -> Iterator[Cursor]:
        with self._database.transaction() as cursor:
            self._side.enter(cursor)
            yield cursor


def _occasion(recorded: Recorded[Any]) -> date | None:
    try:
        return occasion_of(recorded.stream_id)
    except ValueError:
        return None  # a foreign ID: it has no month and waits in the default partition


def _parked(recorded: Recorded[Any], error: Exception) -> ParkedEvent:
    return ParkedEvent(recorded.position, stored_name(type(recorded.event)), _code(error))


def _code(error: Exception) -> str:
    return ":".join(filter(None, (type(error).__name__, getattr(error, "sqlstate", None))))  # its text can quote data
