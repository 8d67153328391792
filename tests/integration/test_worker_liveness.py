"""Does a worker that others may have taken for dead stop calling for what it claimed?"""

from collections.abc import Iterator
from uuid import UUID

import pytest

from application.ports import StoreUnavailable
from infrastructure.database import Database
from infrastructure.worker_liveness import WorkerLiveness

LEASE, CALL = 15.0, 10.0


class Seconds:
    """A monotonic clock that a test moves; `pass_at_look` more go by each time it is looked at."""

    def __init__(self) -> None:
        self.now, self.pass_at_look = 100.0, 0.0

    def __call__(self) -> float:
        self.now += self.pass_at_look
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def opened(migrated_database: str) -> Iterator[Database]:
    with Database(migrated_database, application_name="liveness", size=2) as database:
        yield database


def worker_on(database: Database, seconds: Seconds) -> WorkerLiveness:
    return WorkerLiveness(database, "ada-1", lease_seconds=LEASE, call_timeout_seconds=CALL, monotonic=seconds)


def counters(database: Database) -> dict[UUID, int]:
    with database.cursor() as cursor:
        cursor.execute("SELECT incarnation, counter FROM workers WHERE worker = 'ada-1'")
        return dict(cursor.fetchall())


def test_a_lease_not_above_the_call_timeout_is_refused(opened: Database) -> None:
    with pytest.raises(ValueError, match="not above the call time-out"):
        WorkerLiveness(opened, "ada-1", lease_seconds=10, call_timeout_seconds=10)


def test_each_bump_counts_and_covers_calls_for_lease_less_call_timeout(opened: Database, seconds: Seconds) -> None:
    liveness = worker_on(opened, seconds)
    assert not liveness.may_call()
    liveness.bump()
    first = liveness.incarnation
    seconds.now += LEASE - CALL - 0.1
    assert liveness.may_call()
    seconds.now += 0.1
    assert not liveness.may_call()
    liveness.bump()
    assert liveness.may_call()
    assert counters(opened) == {first: 2}
    assert liveness.incarnation == first


def test_a_worker_thawed_after_its_lease_goes_on_as_another(opened: Database, seconds: Seconds) -> None:
    liveness = worker_on(opened, seconds)
    liveness.bump()
    first = liveness.incarnation
    seconds.now += LEASE
    liveness.bump()
    assert liveness.incarnation != first
    assert liveness.may_call()
    assert counters(opened).keys() == {first, liveness.incarnation}


def test_a_bump_acknowledged_too_late_covers_nothing(opened: Database, seconds: Seconds) -> None:
    liveness = worker_on(opened, seconds)
    liveness.bump()
    first = liveness.incarnation
    seconds.pass_at_look = LEASE / 2  # the database takes so long
    liveness.bump()
    seconds.pass_at_look = 0
    assert liveness.incarnation != first


def test_a_worker_whose_row_is_gone_goes_on_as_another(opened: Database, seconds: Seconds) -> None:
    liveness = worker_on(opened, seconds)
    liveness.bump()
    first = liveness.incarnation
    with opened.cursor() as cursor:
        cursor.execute("DELETE FROM workers")
    liveness.bump()
    assert list(counters(opened)) == [liveness.incarnation]
    assert liveness.incarnation != first


def test_without_the_database_no_call_is_covered_for_long(opened: Database, seconds: Seconds) -> None:
    liveness = worker_on(opened, seconds)
    liveness.bump()
    opened.close()
    seconds.now += LEASE - CALL
    with pytest.raises(StoreUnavailable):
        liveness.bump()
    assert not liveness.may_call()


def test_a_clean_stop_leaves_no_row_and_an_unclean_one_does(opened: Database) -> None:
    with WorkerLiveness(opened, "ada-1", lease_seconds=LEASE, call_timeout_seconds=CALL) as liveness:
        assert list(counters(opened)) == [liveness.incarnation]
        assert liveness.may_call()
    assert counters(opened) == {}
    unclean = WorkerLiveness(opened, "ada-1", lease_seconds=LEASE, call_timeout_seconds=CALL).start()
    unclean.stop(idle=False)
    assert len(counters(opened)) == 1
    assert not unclean.may_call()
