"""How is the end of a log read and decoded once for all read models that one process feeds from it?"""

from bisect import bisect_right
from threading import Lock
from typing import Any, Final

from application.ports import Log, Recorded, StoreUnavailable
from domain.event import Event
from infrastructure.event_reader import ParkedEvent, Stretch
from infrastructure.event_store import PostgresEventStore

PAGE: Final = 30_000
"""Of a herd's messages most are requested and sent within so many events, with 8,000 in flight. Each takes 1 kB of memory."""
KEPT: Final = PAGE
"""Events in memory, the last of the log: no follower but one that is behind asks for what is older."""
AT_ONCE: Final = 5_000
"""Read with one statement, as its answer is in memory too; by one that is behind, for itself."""


class SharedTail:
    """Answers as the store does, from memory where another follower has read that already. Safe to share among threads.

    Each follower has a position of its own and gets what follows, up to the end of the log. One that is behind reads for itself.
    """

    def __init__(self, store: PostgresEventStore, log: Log, kinds: frozenset[type[Event]]) -> None:
        """For a log without personal data, as it outlives an erasure."""
        self._store, self._log, self._kinds = store, log, kinds
        self._turn = Lock()
        self._start = self._end = 0  # what stands in (start, end] is held
        self._events: list[Recorded[Any]] = []
        self._unreadable: list[ParkedEvent] = []
        self._more = False  # the log went on after it

    def read(
        self,
        log: Log,
        after: int,
        limit: int,
        kinds: frozenset[type[Event]] | None = None,
        until: int | None = None,
        left_sealed: frozenset[type[Event]] = frozenset(),
    ) -> Stretch:
        """See `PostgresEventStore.read`. Raises StoreUnavailable."""
        if (log, kinds, until) == (self._log, self._kinds, None):
            with self._turn:  # who comes while it is read wants the same
                if after > self._end:
                    self._begin(after)
                if after >= self._start and (lacking := limit - len(self._events) + self._first(after)) > 0:
                    self._go_on(lacking)  # what its last announcement told of may stand there
                if after >= self._start:
                    return self._held(after, limit)
        return self._store.read(log, after, min(limit, AT_ONCE), kinds, until, left_sealed)

    def forget(self) -> None:
        """Read anew: where a position is not what it was, or had to be asked for, other events may stand in place of these."""
        with self._turn:
            self._begin(0)

    def _begin(self, after: int) -> None:
        self._start = self._end = after
        self._events, self._unreadable = [], []

    def _go_on(self, lacking: int) -> None:
        self._more = True
        while self._more and lacking > 0:
            self._read_on(min(lacking, AT_ONCE))
            lacking -= AT_ONCE
        if (surplus := len(self._events) - KEPT) > 0:
            self._start = self._events[surplus - 1].position
            del self._events[:surplus]
            self._unreadable = [parked for parked in self._unreadable if parked.position > self._start]

    def _read_on(self, limit: int) -> None:
        try:
            stretch = self._store.read(self._log, self._end, limit, self._kinds)
        except StoreUnavailable:
            self._begin(0)
            raise
        self._events += stretch.events
        self._unreadable += stretch.unreadable
        self._end, self._more = stretch.position, stretch.more

    def _first(self, after: int) -> int:
        return bisect_right(self._events, after, key=lambda recorded: recorded.position)

    def _held(self, after: int, limit: int) -> Stretch:
        first = self._first(after)
        events = self._events[first : first + limit]
        held_more = first + limit < len(self._events)
        end = events[-1].position if held_more else self._end
        unreadable = tuple(parked for parked in self._unreadable if after < parked.position <= end)
        return Stretch(events, end, held_more or self._more, unreadable=unreadable)
