"""Is what waits for a worker counted as the dispatcher's tables have it?"""

from collections.abc import Iterator

import pytest

from application.pause_sending import EVERYTHING
from application.scale_workers import LOOK_AHEAD, Backlog
from infrastructure.backlog import read_backlog
from tests.application.dispatch_stories import DUE, SECOND
from tests.dispatcher_desks import WORKER, PostgresDesk, due, flight, open_desk, put


@pytest.fixture
def desk(migrated_database: str) -> Iterator[PostgresDesk]:
    with open_desk(migrated_database) as desk:
        yield desk


def backlog(desk: PostgresDesk, most: int = 1_000) -> Backlog:
    return read_backlog(desk.store.database, ["sink", "post"], [5, 100], DUE, most)


def test_nothing_waits_where_nothing_is(desk: PostgresDesk) -> None:
    assert backlog(desk) == Backlog(0, 0)


def test_what_is_due_and_what_no_worker_has_started_waits(desk: PostgresDesk) -> None:
    started = flight(2, worker=WORKER[0], incarnation=WORKER[1])
    put(desk, due(1), due(2, channel="post", priority=5), due(3, channel="gone"), flight(1, members=7), started)
    assert backlog(desk) == Backlog(2 + 7, 0)


def test_what_falls_due_within_the_look_ahead_comes(desk: PostgresDesk) -> None:
    put(desk, due(1, ready_at=DUE + SECOND), due(2, ready_at=DUE + LOOK_AHEAD), due(3, ready_at=DUE + LOOK_AHEAD + SECOND))
    assert backlog(desk) == Backlog(0, 2)


def test_no_more_is_counted_than_matters(desk: PostgresDesk) -> None:
    put(desk, *(due(number) for number in range(20)), *(due(number, priority=5) for number in range(20, 40)))
    assert backlog(desk, most=15) == Backlog(30, 0)


def test_what_is_paused_wants_no_worker(desk: PostgresDesk) -> None:
    put(desk, due(1), due(2, message_type="HOLIDAY"), due(3, channel="post"), flight(1, members=7))
    desk.pause("BIRTHDAY")
    assert backlog(desk) == Backlog(1 + 7, 0)
    desk.pause("post")
    desk.pause("sink")
    assert backlog(desk) == Backlog(7, 0)


def test_nothing_wants_a_worker_where_everything_is_paused(desk: PostgresDesk) -> None:
    put(desk, due(1), due(2, channel="post", ready_at=DUE + SECOND))
    desk.pause(EVERYTHING)
    assert backlog(desk) == Backlog(0, 0)
