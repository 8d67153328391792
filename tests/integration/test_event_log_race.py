"""Does a reader who tails a log see every event, however slow and fast writers interleave?

The same race without the lock must lose events: else it would prove nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from threading import Event as Signal
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import StoredEvent
from psycopg import Cursor

from infrastructure.event_log import LogTable
from infrastructure.event_recorder import LogRecorder
from infrastructure.event_store import PostgresEventStore
from tests.store_stage import CLI, NOW, abandoned, of_message, open_datastore, open_store

ROUNDS: Final = 20
SLOW_WRITERS, BIG = 2, 1_000
FAST_WRITERS, SMALL_APPENDS = 3, 15

Append = Callable[[int], None]
Read = Callable[[int], Sequence[tuple[int, UUID]]]


class Unlocked(LogTable):
    def lock(self, cursor: Cursor[Any]) -> None:
        """Not at all."""


@pytest.fixture
def recorder(migrated_database: str) -> Iterator[LogRecorder]:
    with open_datastore(migrated_database) as datastore:
        yield LogRecorder(datastore, events_table_name="messages", now=lambda: datetime.now(UTC))


def test_a_reader_of_the_recorder_misses_nothing(recorder: LogRecorder) -> None:
    assert list(missed(into(recorder), of_recorder(recorder))) == [0] * ROUNDS


def test_without_the_lock_a_reader_misses_events(recorder: LogRecorder) -> None:
    recorder._log = Unlocked("ninebell", "messages")
    assert any(missed(into(recorder), of_recorder(recorder)))


def test_a_reader_of_the_event_store_misses_nothing_that_several_processes_append(migrated_database: str) -> None:
    with ExitStack() as stack:
        stores = [stack.enter_context(open_store(migrated_database)) for _ in range(3)]
        assert list(missed(across(stores), of_store(stores[0]))) == [0] * ROUNDS


def missed(append: Append, read: Read) -> Iterator[int]:
    """How many events a tailing reader has missed in each round."""
    position = 0
    for _ in range(ROUNDS):
        count, position = race(append, read, position)
        yield count


def race(append: Append, read: Read, position: int) -> tuple[int, int]:
    """What a tailing reader has missed once slow big and many small appends are over, and where the log then ends."""
    over, seen = Signal(), []

    def tail() -> None:
        last, finishing = position, False
        while not finishing:
            finishing = over.is_set()
            found = read_on(read, last)
            seen.extend(found)
            last = found[-1][0] if found else last

    def append_small(_: int) -> None:
        for _ in range(SMALL_APPENDS):
            append(1)

    with ThreadPoolExecutor(SLOW_WRITERS + FAST_WRITERS + 1) as threads:
        tailing = threads.submit(tail)
        writers = [threads.submit(append, BIG) for _ in range(SLOW_WRITERS)]
        writers += [threads.submit(append_small, number) for number in range(FAST_WRITERS)]
        for writer in writers:
            writer.result()
        over.set()
        tailing.result()
    written = read_on(read, position)
    assert len(written) == SLOW_WRITERS * BIG + FAST_WRITERS * SMALL_APPENDS
    assert set(seen) <= set(written)
    return len(written) - len(seen), written[-1][0]


def read_on(read: Read, after: int) -> list[tuple[int, UUID]]:
    """Everything after a position, as a reader gets it stretch by stretch."""
    found: list[tuple[int, UUID]] = []
    while stretch := read(found[-1][0] if found else after):
        found.extend(stretch)
    return found


def into(recorder: LogRecorder) -> Append:
    def append(count: int) -> None:
        recorder.insert_events([StoredEvent(uuid4(), 1, "topic", b"x" * 100) for _ in range(count)])

    return append


def of_recorder(recorder: LogRecorder) -> Read:
    def read(after: int) -> Sequence[tuple[int, UUID]]:
        found = recorder.select_notifications(after, 1000, inclusive_of_start=False)
        return [(one.id, UUID(str(one.originator_id))) for one in found]

    return read


def across(stores: Sequence[PostgresEventStore]) -> Append:
    """The first for big appends, the others in turn for small ones, as callers of one store share their commits."""

    def append(count: int) -> None:
        store = stores[0] if count == BIG else stores[1 + uuid4().int % (len(stores) - 1)]
        assert not store.append([of_message(uuid4(), 0, abandoned("x")) for _ in range(count)], CLI, NOW).lost

    return append


def of_store(store: PostgresEventStore) -> Read:
    def read(after: int) -> Sequence[tuple[int, UUID]]:
        return [(one.position, one.stream_id) for one in store.read("messages", after, 1000).events]

    return read
