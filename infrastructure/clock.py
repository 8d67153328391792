"""What time is it? The only reader of clocks."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock, Thread
from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

from application.ports import Clock

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
A_MILLISECOND: Final = timedelta(milliseconds=1)
READ_EVERY_SECONDS: Final = 1.0
SLOWEST_ANSWER_SECONDS: Final = 1.0
LARGEST_CORRECTION: Final = timedelta(seconds=5)
WAIT_BEFORE_BELIEVING_SECONDS: Final = 60.0

logger = logging.getLogger(__name__)


def in_a_thread(read: Callable[[], None]) -> None:
    """Nothing is held up by a database that does not answer: event loops ask for the time, too."""
    Thread(target=read, name="clock", daemon=True).start()


class DatabaseClock:
    """The database's time, read at most once a second and advanced by the monotonic clock.

    Small corrections never make it go backwards. After a jump it goes on along the old timeline for a minute, not steady; if the
    jump is still there then, the database is believed. Safe to share among threads: it is read aside, nobody waits.
    """

    def __init__(
        self,
        fetch: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        aside: Callable[[Callable[[], None]], None] = in_a_thread,
    ) -> None:
        """`fetch` asks the database for its time; the first call of it is made here, and what it raises is raised."""
        self._fetch = fetch
        self._monotonic = monotonic
        self._aside = aside
        self._lock = Lock()
        self._reading = Lock()
        self._read_at = monotonic()
        self._zero, _ = self._zero_now()  # the instant at which the monotonic clock stood at 0
        self._last = self._zero + timedelta(seconds=self._read_at)
        self._jumped_to: datetime | None = None
        self._jumped_at = 0.0

    def now(self) -> datetime:
        """An aware UTC instant. A database that does not answer is no error: the monotonic clock goes on."""
        self._read_if_old()
        with self._lock:
            self._last = max(self._last, self._zero + timedelta(seconds=self._monotonic()))
            return self._last

    def steady(self) -> bool:
        """False from a jump of the database's clock until it is taken back, or believed."""
        self._read_if_old()
        return self._jumped_to is None

    def _read_if_old(self) -> None:
        if self._monotonic() - self._read_at < READ_EVERY_SECONDS or not self._reading.acquire(blocking=False):
            return
        self._read_at = self._monotonic()
        self._aside(self._read)

    def _read(self) -> None:
        try:
            zero, seconds = self._zero_now()
            if seconds <= SLOWEST_ANSWER_SECONDS:
                with self._lock:
                    self._correct(zero)
        except Exception as error:  # noqa: BLE001  whatever a driver raises, time goes on
            logger.warning("the database's clock can't be read (%s)", type(error).__name__)
        finally:
            self._reading.release()

    def _zero_now(self) -> tuple[datetime, float]:
        """As the database tells, and how long it took to: the longer, the less it says."""
        asked = self._monotonic()
        told = self._fetch().astimezone(UTC)
        answered = self._monotonic()
        return told - timedelta(seconds=(asked + answered) / 2), answered - asked

    def _correct(self, zero: datetime) -> None:
        if abs(zero - self._zero) <= LARGEST_CORRECTION:
            if self._jumped_to is not None:
                logger.error("the database's clock has jumped back to where it was")
            self._zero, self._jumped_to = zero, None
        elif self._jumped_to is None or abs(zero - self._jumped_to) > LARGEST_CORRECTION:
            self._jumped_to, self._jumped_at = zero, self._read_at
            seconds = (zero - self._zero).total_seconds()
            logger.error("the database's clock has jumped by %.1f s: nothing is found due or late for a minute", seconds)
        elif self._read_at - self._jumped_at >= WAIT_BEFORE_BELIEVING_SECONDS:
            logger.error("the database's clock is believed after its jump by %.1f s", (zero - self._zero).total_seconds())
            self._zero, self._jumped_to = zero, None
            self._last = zero + timedelta(seconds=self._monotonic())


def id_of_now(clock: Clock) -> UUID:
    """A UUIDv7 (RFC 9562, 5.7) that tells this clock's time, so that its age can be told by the same clock.

    Of the same millisecond in no order.
    """
    return uuid7(nanoseconds=(clock.now() - EPOCH) // A_MILLISECOND * 1_000_000)


class SimulatedClock:
    """Stands where it is put."""

    def __init__(self, now: datetime) -> None:
        """Raises ValueError for a naive instant."""
        self.set(now)

    def now(self) -> datetime:
        return self._now

    def steady(self) -> bool:
        return True

    def set(self, now: datetime) -> None:
        """Raises ValueError for a naive instant."""
        if now.tzinfo is None:
            raise ValueError("an instant has a time zone")
        self._now = now.astimezone(UTC)

    def advance(self, by: timedelta) -> None:
        self._now += by


class SystemClock:
    """This machine's clock, for processes without a database: the sink."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def steady(self) -> bool:
        return True
