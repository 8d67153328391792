"""Does time go on as the database says, whatever its clock does?"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from threading import Event

import psycopg
import pytest

from application.ports import Clock
from infrastructure.clock import DatabaseClock, SimulatedClock, SystemClock

START = datetime(2027, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class TwoClocks:
    """A database's clock and a monotonic one, both moved by hand."""

    def __init__(self) -> None:
        self.database = START
        self.monotonic = 1000.0
        self.reads = 0
        self.away = False

    def fetch(self) -> datetime:
        self.reads += 1
        if self.away:
            raise psycopg.OperationalError
        return self.database

    def pass_by(self, seconds: float) -> None:
        self.database += seconds * SECOND
        self.monotonic += seconds


def at_once(read: Callable[[], None]) -> None:
    read()


@pytest.fixture
def clocks() -> TwoClocks:
    return TwoClocks()


@pytest.fixture
def clock(clocks: TwoClocks) -> DatabaseClock:
    return DatabaseClock(clocks.fetch, lambda: clocks.monotonic, at_once)


def pass_by(clocks: TwoClocks, clock: DatabaseClock, seconds: int) -> Iterator[datetime]:
    """Ask each second."""
    for _ in range(seconds):
        clocks.pass_by(1)
        yield clock.now()


def test_the_database_is_read_at_most_once_a_second(clocks: TwoClocks, clock: DatabaseClock) -> None:
    for _ in range(25):
        clocks.pass_by(0.125)
        assert (clock.now(), clock.steady()) == (clocks.database, True)
    assert clocks.reads == 1 + 3


def test_a_small_correction_is_taken_over(clocks: TwoClocks, clock: DatabaseClock) -> None:
    clocks.database += 4 * SECOND
    clocks.pass_by(1)
    assert (clock.now(), clock.steady()) == (clocks.database, True)


def test_it_stands_still_rather_than_go_back(clocks: TwoClocks, clock: DatabaseClock) -> None:
    clocks.pass_by(10)
    before = clock.now()
    clocks.database -= 4 * SECOND
    told = list(pass_by(clocks, clock, 6))
    assert told == [before, before, before, before, before + SECOND, before + 2 * SECOND]


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1), timedelta(seconds=6)], ids=str)
def test_after_a_jump_it_goes_on_along_the_old_timeline_then_believes_it(
    clocks: TwoClocks, clock: DatabaseClock, jump: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    clocks.database += jump
    for second, told in enumerate(pass_by(clocks, clock, 60), 1):
        assert told == START + second * SECOND
        assert not clock.steady()
    clocks.pass_by(1)
    assert (clock.now(), clock.steady()) == (clocks.database, True)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def test_a_jump_that_is_taken_back_was_none(clocks: TwoClocks, clock: DatabaseClock) -> None:
    clocks.database += timedelta(hours=1)
    list(pass_by(clocks, clock, 30))
    assert not clock.steady()
    clocks.database -= timedelta(hours=1)
    list(pass_by(clocks, clock, 1))
    assert (clock.now(), clock.steady()) == (START + 31 * SECOND, True)


def test_a_clock_that_jumps_again_is_watched_for_another_minute(clocks: TwoClocks, clock: DatabaseClock) -> None:
    clocks.database += timedelta(hours=1)
    list(pass_by(clocks, clock, 50))
    clocks.database += timedelta(hours=1)
    list(pass_by(clocks, clock, 60))
    assert not clock.steady()
    list(pass_by(clocks, clock, 1))
    assert (clock.now(), clock.steady()) == (clocks.database, True)


def test_while_the_database_is_away_the_monotonic_clock_goes_on(clocks: TwoClocks, clock: DatabaseClock) -> None:
    clocks.away = True
    told = list(pass_by(clocks, clock, 100))
    assert told[-1] == START + 100 * SECOND
    assert clocks.reads == 101
    clocks.away = False
    clocks.pass_by(1)
    assert (clock.now(), clock.steady()) == (clocks.database, True)


def test_an_answer_that_took_long_corrects_nothing(clocks: TwoClocks) -> None:
    took = [0.0]

    def slow_fetch() -> datetime:
        told = clocks.fetch()
        clocks.pass_by(took[0])
        return told

    clock = DatabaseClock(slow_fetch, lambda: clocks.monotonic, at_once)
    clocks.pass_by(5)
    took[0] = 8.0
    assert clock.now() == clocks.database == START + 13 * SECOND


def test_without_a_first_answer_there_is_no_clock(clocks: TwoClocks) -> None:
    clocks.away = True
    with pytest.raises(psycopg.OperationalError):
        DatabaseClock(clocks.fetch, lambda: clocks.monotonic, at_once)


def test_nobody_waits_while_the_database_is_read(clocks: TwoClocks) -> None:
    asked, answer = Event(), Event()
    answered = []

    def slow_fetch() -> datetime:
        if clocks.reads:
            asked.set()
            answered.append(answer.wait(10))
        return clocks.fetch()

    clock = DatabaseClock(slow_fetch, lambda: clocks.monotonic)
    clocks.pass_by(2)
    assert clock.now() == START + 2 * SECOND
    assert asked.wait(10)
    clocks.pass_by(2)
    assert clock.now() == START + 4 * SECOND
    assert answered == []
    answer.set()


def test_it_tells_the_time_of_a_real_database(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:

        def fetch() -> datetime:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
            assert row
            told: datetime = row[0]
            return told

        clock = DatabaseClock(fetch)
        earlier, between, later = fetch(), clock.now(), fetch()
    assert between.tzinfo is UTC
    assert earlier - SECOND < between < later + SECOND


def test_a_simulated_clock_stands_where_it_is_put() -> None:
    clock = SimulatedClock(START)
    clock.advance(SECOND)
    assert clock.now() == START + SECOND
    clock.set(START.astimezone(timezone(timedelta(hours=5))))
    assert (clock.now(), clock.now().tzinfo, clock.steady()) == (START, UTC, True)
    with pytest.raises(ValueError, match="time zone"):
        clock.set(START.replace(tzinfo=None))


@pytest.mark.parametrize("make", [SystemClock, lambda: SimulatedClock(START)], ids=["system", "simulated"])
def test_every_clock_speaks_utc_and_never_goes_back(make: type[Clock]) -> None:
    clock = make()
    first, second = clock.now(), clock.now()
    assert first.utcoffset() == second.utcoffset() == timedelta()
    assert first <= second
    assert clock.steady()
