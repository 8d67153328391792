"""How many events a second does the event store append, and how many callers share a commit?"""

from collections.abc import Sequence
from datetime import datetime
from itertools import count
from threading import Barrier, Thread
from time import monotonic
from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

from application.ports import Group, NewEvents, Origin
from domain.message_id import message_id
from domain.scheduled_message import MessageScheduled
from domain.timezones import TZDATA_VERSION
from infrastructure.event_store import PostgresEventStore
from ops.bench.ground import ground
from ops.bench.kept import repeated
from ops.bench.report import Found, Result, Setting, Tell, figures_of
from ops.wiring import Parts

BENCH: Final = Origin(who="bench")
MANY: Final = 1_000


def measure(threads: Sequence[int], seconds: float, runs: int, tell: Tell) -> Result:
    """One event a call from so many threads at once, then a thousand a call from one."""
    shapes = [*((number, 1) for number in threads), (1, MANY)]
    settings: dict[str, Setting] = {"seconds": seconds, "threads": " ".join(map(str, threads))}
    with ground() as place:
        machine = place.machine()

        def one(run: int) -> Found:
            with place.fresh(f"append_{run}") as (parts, _):
                tell(f"append: run {run + 1} of {runs}", run, runs)
                return {key: value for shape in shapes for key, value in run_once(parts, *shape, seconds).items()}

        found = repeated("append", settings, runs, one)
        at = place.now()
    return Result(part="append", at=at, machine=machine, settings=settings, figures=figures_of(found))


def run_once(parts: Parts, threads: int, a_call: int, seconds: float) -> Found:
    """Streams of their own, of today."""
    stood = parts.store.head().messages
    now = parts.clock.now()
    began: list[float] = []
    start = Barrier(threads, lambda: began.append(monotonic()))
    calls = [0] * threads
    writers = [Thread(target=_write, args=(parts.store, a_call, now, start, seconds, calls, each)) for each in range(threads)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    took = monotonic() - began[0]
    name = f"{named(threads)}, {a_call:,} a call"
    events = sum(calls) * a_call
    return {
        (name, "events/s"): events / took,
        (f"{name}: calls sharing a commit", "calls"): sum(calls) / _commits(parts, stood),
    }


def named(threads: int) -> str:
    """As "8 threads"."""
    return f"{threads} thread{'s' if threads > 1 else ''}"


def _write(
    store: PostgresEventStore, a_call: int, now: datetime, start: Barrier, seconds: float, calls: list[int], place: int
) -> None:
    """At least one call, and no more once the seconds are over."""
    numbers = count()
    user_id = uuid7()
    start.wait()
    until = monotonic() + seconds
    while calls[place] == 0 or monotonic() < until:
        store.append([_scheduled(user_id, next(numbers), now) for _ in range(a_call)], BENCH, now)
        calls[place] += 1


def _scheduled(user_id: UUID, number: int, now: datetime) -> Group:
    """The event of which there are most, with a stream of its own."""
    event = MessageScheduled(
        user_id=user_id,
        message_type="BIRTHDAY",
        occasion=now.date(),
        due_at=now,
        timezone="Asia/Shanghai",
        rule="plain",
        tzdata=TZDATA_VERSION,
        type_version=1,
    )
    return Group((NewEvents("messages", message_id(user_id, f"TYPE_{number}", now.date()), 0, (event,)),))


def _commits(parts: Parts, after: int) -> int:
    """Behind this position. Every commit leaves its own transaction ID on the rows it wrote."""
    with parts.database.cursor() as cursor:
        row = cursor.execute("SELECT count(DISTINCT xmin::text) FROM messages WHERE notification_id > %b", (after,)).fetchone()
    return int(row[0]) if row else 0
