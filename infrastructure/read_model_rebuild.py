"""How does the next version of a read model come to stand in the place of the live one, while that goes on being read and fed?"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event as Signal
from typing import Final
from uuid import UUID, uuid4

import psycopg

from infrastructure.archived_months import archived_months
from infrastructure.event_store import PostgresEventStore
from infrastructure.filling import Filling, Stopped, Told, Watch
from infrastructure.partitions import IN_TURN
from infrastructure.projector import Projector
from infrastructure.read_model_build import Build, begin, discard, partitions_of, under_way
from infrastructure.read_model_sides import LIVE, NEXT, PREVIOUS, Side, drop, exchange, find, relations
from infrastructure.replay_sources import Stretch, archived, has_any, histories, sources
from infrastructure.row_difference import Difference, compare_sides
from infrastructure.user_sealer import UserSealer
from projections.projection import Cursor, Projection

CATCH_UP_BATCH: Final = 5_000
SWAP_LOCK_TIMEOUT: Final = "300ms"
"""Readers that come meanwhile wait no longer than that."""
BETWEEN_TRIES_SECONDS: Final = 0.3

LEFT: Final = "SELECT stream_id FROM build_leftovers WHERE read_model = %s ORDER BY stream_id LIMIT 1000"

logger: Final = logging.getLogger(__name__)


class AlreadyBuilt(Exception):
    """Another process is at work on this read model."""


class NotThere(Exception):
    """There are no such tables, or they are of a version that this code does not know."""


class Rebuild:
    """Work on one read model's other sides, by one process at a time."""

    def __init__(self, store: PostgresEventStore, filling: Filling, projection: Projection, stop: Signal, watch: Watch) -> None:
        self.projection = projection
        self._store, self._database, self._filling = store, store.database, filling
        self._stop, self._watch = stop, watch
        self._builder = uuid4()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else builds, swaps or drops meanwhile; who dies leaves it free. Raises AlreadyBuilt, StoreUnavailable."""
        connection = self._database.direct()
        try:
            lock = f"ninebell.read_model.{self.projection.name}"
            [(free,)] = connection.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (lock,)).fetchall()
            if not free:
                raise AlreadyBuilt(f"another process is at work on {self.projection.name}")
            yield
        finally:
            connection.close()

    def build(
        self,
        now: datetime,
        *,
        anew: bool = False,
        no_further_than_live: bool = False,
        archives: Path | None = None,
        without_archives: bool = False,
    ) -> None:
        """Have the next version stand beside the live one, fed to where the log ended when it began, or to where the live one is.

        Goes on with what was begun, unless `anew`. `archives` is where files of archived months lie now, if they were moved.
        Raises Stopped, Overtaken, ArchiveDamaged, StoreUnavailable.
        """
        build = self._under_way() if not anew else None
        if build is None:
            with self._database.transaction() as cursor:
                files = [] if without_archives else archived(cursor, self.projection, archives)
            build = self._begun(now, files, no_further_than_live=no_further_than_live)
        self._filling.run(build, self._watch, self._stopped)
        self._leftovers(build)
        with self._database.transaction() as cursor:
            build.hold(cursor)
            follower = NEXT.follower(self.projection.name)
            cursor.execute(
                "UPDATE positions SET position = %s WHERE follower = %s AND position < %s", (build.up_to, follower, build.up_to)
            )

    def catch_up(self, side: Side = NEXT, until: int | None = None) -> None:
        """Feed what stands beside the live tables, to the log's end or a position. Raises Stopped, StoreUnavailable."""
        projector = Projector(self._store, self.projection, side=side, batch=CATCH_UP_BATCH)
        head = until or getattr(self._store.head(), self.projection.log)
        while (position := projector.position()) < head:
            self._watch(Told("catching up", position, head))
            self._must_go_on()
            projector.step(until)

    def compare(self, examples: int) -> list[Difference]:
        """What differs between the live tables and the next ones, both at one position of the log, which they go on from.

        Raises Stopped, NotThere if the live ones have not come as far and this code can't feed them; StoreUnavailable.
        """
        with ExitStack() as snapshot:
            self._watch(Told("comparing", 0, 1))
            cursor = self._both_at_one_position(snapshot)
            cursor.execute("SET LOCAL work_mem = '128MB'")
            live = find(cursor, self.projection.name, LIVE)
            sealer = UserSealer(self._store.keyring, cursor)
            return list(compare_sides(cursor, sealer, self.projection, live.tables if live else (), LIVE, NEXT, examples))

    def swap(self, incoming: Side = NEXT, outgoing: Side = PREVIOUS) -> None:
        """What stands on `incoming` becomes live, at a position not before that of the live one, in one transaction.

        Waits for readers in the way, though none waits for it longer than a moment. Raises Stopped, NotThere, StoreUnavailable.
        """
        while True:
            self.catch_up(incoming)
            try:
                return self._exchange(incoming, outgoing)
            except _InTheWay:
                self._watch(Told("waiting for readers", 0, 1))
                self._stop.wait(BETWEEN_TRIES_SECONDS)
                self._must_go_on()

    def roll_back(self) -> None:
        """The version before becomes live again, and this one is kept in its place.

        Raises NotThere if there is none, or none that this code can feed; Stopped, StoreUnavailable.
        """
        with self._database.transaction() as cursor:
            kept = find(cursor, self.projection.name, PREVIOUS)
        if kept is None:
            raise NotThere(f"no earlier version of {self.projection.name} is kept")
        if kept.version != self.projection.version:
            raise NotThere(
                f"the version of {self.projection.name} that is kept is {kept.version}, made by Ninebell {kept.made_by}; "
                f"this one knows version {self.projection.version}: run the command of that Ninebell"
            )
        if self._archived_up_to() > Projector(self._store, self.projection, side=PREVIOUS).position():
            raise NotThere(f"the earlier {self.projection.name} has not read what was archived since: rebuild it instead")
        self.swap(PREVIOUS, PREVIOUS)

    def drop(self, side: Side) -> bool:
        """Remove what stands on a side; whether anything was there. Raises StoreUnavailable."""
        with self._database.transaction() as cursor:
            return discard(cursor, self.projection.name) if side == NEXT else drop(cursor, self.projection.name, side)

    def _both_at_one_position(self, snapshot: ExitStack) -> Cursor:
        """A snapshot, taken while neither can move."""
        projector = Projector(self._store, self.projection, side=NEXT)
        self._let_live_come(projector.position())
        with self._database.transaction() as holding:
            holding.execute("SET LOCAL idle_in_transaction_session_timeout = '15s'")
            live = self._hold_live(holding)
            while projector.position() < live:
                projector.step(live)
            cursor = snapshot.enter_context(self._database.transaction())
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            cursor.execute("SELECT")
        return cursor

    def _let_live_come(self, position: int) -> None:
        """As far as the next ones have come: fed by us where it is of this version."""
        with self._database.transaction() as cursor:
            found, live = find(cursor, self.projection.name, LIVE), self._live(cursor) or 0
        if live >= position:
            return
        if found is None or found.version != self.projection.version:
            raise NotThere(
                f"the live {self.projection.name} has read to {live} and the next one to {position}: "
                "let a Ninebell of its version feed it, or compare with --anew"
            )
        self.catch_up(LIVE, position)

    def _under_way(self) -> Build | None:
        with self._database.transaction() as cursor:
            return under_way(cursor, self.projection, self._builder)

    def _begun(self, now: datetime, files: Sequence[Stretch], *, no_further_than_live: bool) -> Build:
        with self._database.transaction() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '600s'")
            head: int = getattr(self._store.head(), self.projection.log)
            up_to = min(head, self._live(cursor) or 0) if no_further_than_live else head
            return begin(cursor, self.projection, self._builder, up_to, now, files)

    def _live(self, cursor: Cursor) -> int | None:
        cursor.execute(
            "SELECT position FROM positions WHERE follower = %s AND log = %s ORDER BY version DESC LIMIT 1",
            (self.projection.name, self.projection.log),
        )
        return next((int(position) for (position,) in cursor), None)

    def _leftovers(self, build: Build) -> None:
        """The streams that could not be folded whole, event by event."""
        projector = Projector(self._store, self.projection, side=NEXT)
        while ids := self._left():
            for stream_id in ids:
                self._must_go_on()
                with self._database.transaction() as cursor:
                    NEXT.enter(cursor)
                    build.hold(cursor)
                    log, kinds = self.projection.log, self.projection.kinds
                    told = histories(cursor, self._store.reading, log, kinds, [stream_id], build.up_to).histories
                    projector.apply_singly(cursor, [recorded for history in told for recorded in history])
                    cursor.execute(
                        "DELETE FROM build_leftovers WHERE read_model = %s AND stream_id = %s", (self.projection.name, stream_id)
                    )

    def _archived_up_to(self) -> int:
        with self._database.transaction() as cursor:
            ends = [month.last_position for month in archived_months(cursor)] if self.projection.log == "messages" else []
        return max(ends, default=0)

    def _see_that_none_is_missing(self, cursor: Cursor, side: Side) -> None:
        """Raises NotThere for a month that was restored after these tables were begun without it."""
        there = relations(cursor, side, self.projection.monthly)
        for source in sources(cursor, self.projection.log) if there else ():
            made = partitions_of(self.projection, source)
            if made and has_any(cursor, source) and not set(made) <= set(there):
                raise NotThere(f"{source.table} was restored since {self.projection.name} was begun: begin --anew")

    def _left(self) -> list[UUID]:
        with self._database.transaction() as cursor:
            return [stream_id for (stream_id,) in cursor.execute(LEFT, (self.projection.name,))]

    def _exchange(self, incoming: Side, outgoing: Side) -> None:
        """Raises _InTheWay."""
        projector = Projector(self._store, self.projection, side=incoming)
        with self._database.transaction() as cursor:
            try:
                cursor.execute(f"SET LOCAL lock_timeout = '{SWAP_LOCK_TIMEOUT}'")
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '15s'")
                live = self._hold_live(cursor)
                while projector.position() < live:  # its feeder waits meanwhile, and finds its row gone
                    projector.step(live)
                cursor.execute(IN_TURN)
                self._see_that_none_is_missing(cursor, incoming)
                exchange(cursor, self.projection.name, incoming, outgoing)
                if incoming == NEXT:
                    cursor.execute("DELETE FROM builds WHERE read_model = %s", (self.projection.name,))
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
                raise _InTheWay from error

    def _hold_live(self, cursor: Cursor) -> int:
        cursor.execute("SELECT position FROM positions WHERE follower = %s FOR UPDATE", (self.projection.name,))
        return max((int(position) for (position,) in cursor), default=0)

    def _must_go_on(self) -> None:
        if self._stopped():
            raise Stopped

    def _stopped(self) -> bool:
        return self._stop.is_set()


class _InTheWay(Exception):
    """Somebody reads, or feeds, for longer than the swap would have others wait."""
