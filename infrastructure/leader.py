"""Which of the processes that could lead a role does, and how is it told once it doesn't any more?"""

import logging
import time
from contextlib import suppress
from threading import Condition, Event, Thread
from types import TracebackType
from typing import Final, Self

from msgspec import Struct
from psycopg import Cursor
from psycopg.errors import LockNotAvailable

from application.ports import Deposed, StoreUnavailable
from infrastructure.database import Database, Row

BUMP_SECONDS: Final = 5.0
SILENCE_SECONDS: Final = 15.0
LOOK_SECONDS: Final = 1.0
STOP_SECONDS: Final = 5.0
PATIENCE: Final = "SET LOCAL lock_timeout = '2s'"  # so that who leads other roles, too, bumps for them before 15 s are over

logger = logging.getLogger(__name__)


class Leadership(Struct, frozen=True):
    """A role, and the epoch in which its holder leads. Worth something only while `leaders` has that epoch."""

    role: str
    epoch: int


class Elector:
    """Leads a role, or stands by until its leader has been silent for long: no clocks are compared, only bumps are watched."""

    def __init__(
        self,
        database: Database,
        role: str,
        *,
        bump_seconds: float = BUMP_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        look_seconds: float = LOOK_SECONDS,
        take_over_at_once: bool = False,
    ) -> None:
        """`take_over_at_once`: nobody else can be leading, as the data directory has one owner."""
        self._database, self._role = database, role
        self._bump_seconds, self._silence_seconds, self._look_seconds = bump_seconds, silence_seconds, look_seconds
        self._at_once = take_over_at_once
        self._seen: tuple[int, int] | None = None
        self._seen_at = 0.0
        self._leadership: Leadership | None = None
        self._changed = Condition()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name=f"elector of {role}", daemon=True)

    @property
    def leadership(self) -> Leadership | None:
        """None while standing by."""
        return self._leadership

    def guard(self) -> Leadership:
        """To begin work with. Raises Deposed while standing by."""
        if self._leadership is None:
            raise Deposed(self._role)
        return self._leadership

    def wait(self, timeout_seconds: float) -> bool:
        """Whether we lead, waiting for it if need be."""
        with self._changed:
            return self._changed.wait_for(lambda: self._leadership is not None, timeout_seconds)

    def step(self, monotonic_seconds: float) -> Leadership | None:
        """Bump while leading, else look whether the leader is silent. Raises StoreUnavailable."""
        try:
            with self._database.transaction() as cursor:
                found = self._bump(cursor) if self._leadership else self._look(cursor, monotonic_seconds)
        except Exception as error:
            if self._leadership is None and isinstance(error.__cause__, LockNotAvailable):
                return None  # it has something in flight yet: the next look tries again
            self.hears_nothing()
            raise
        self._become(found)
        return found

    def hears_nothing(self) -> None:
        """Silence counts only while we can hear: for as long as it takes from now on."""
        self._seen = None

    def start(self) -> Self:
        """Go on in a thread."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Hand the role over: a standby need not wait for our silence."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        if leadership := self._leadership:
            self._become(None)
            with suppress(StoreUnavailable):  # then our silence tells
                self._release(leadership)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.step(time.monotonic())
            except Exception as error:  # noqa: BLE001  whatever it was, a thread that died of it would never look again
                kind = type(error.__cause__ or error).__name__
                logger.warning("%s can't see the leader's bumps (%s)", self._thread.name, kind)
            self._stopping.wait(self._bump_seconds if self._leadership else self._look_seconds)

    def _become(self, leadership: Leadership | None) -> None:
        if leadership != self._leadership:
            logger.info("%s: %s", self._role, f"leading in epoch {leadership.epoch}" if leadership else "standing by")
            with self._changed:
                self._leadership = leadership
                self._changed.notify_all()

    def _bump(self, cursor: Cursor[Row]) -> Leadership | None:
        cursor.execute(
            "UPDATE leader_bumps SET counter = counter + 1, bumped_at = clock_timestamp() WHERE role = %b AND epoch = %b",
            (self._role, self._leadership and self._leadership.epoch),
        )
        return self._leadership if cursor.rowcount == 1 else None

    def _release(self, leadership: Leadership) -> None:
        with self._database.cursor() as cursor:
            cursor.execute(
                "UPDATE leader_bumps SET released = true WHERE role = %b AND epoch = %b", (leadership.role, leadership.epoch)
            )

    def _look(self, cursor: Cursor[Row], monotonic_seconds: float) -> Leadership | None:
        cursor.execute("SELECT epoch, counter, released FROM leader_bumps WHERE role = %b", (self._role,))
        row = cursor.fetchone()
        if row is None:
            return self._take_over(cursor, 0)
        epoch, counter, released = row
        if self._seen != (epoch, counter):
            self._seen, self._seen_at = (epoch, counter), monotonic_seconds
        if self._at_once or released or monotonic_seconds - self._seen_at >= self._silence_seconds:
            return self._take_over(cursor, epoch)
        return None

    def _take_over(self, cursor: Cursor[Row], from_epoch: int) -> Leadership | None:
        """Waits for what the old leader has in flight, but not for long. Only one of two standbys finds the epoch it saw."""
        cursor.execute(PATIENCE)
        cursor.execute("INSERT INTO leaders (role, epoch) VALUES (%b, 0) ON CONFLICT DO NOTHING", (self._role,))
        cursor.execute("UPDATE leaders SET epoch = epoch + 1 WHERE role = %b AND epoch = %b", (self._role, from_epoch))
        self._at_once = False
        if cursor.rowcount != 1:
            return None
        cursor.execute(
            "INSERT INTO leader_bumps (role, epoch, counter, released) VALUES (%b, %b, 0, false)"
            " ON CONFLICT (role) DO UPDATE SET"
            " epoch = excluded.epoch, counter = 0, released = false, bumped_at = clock_timestamp()",
            (self._role, from_epoch + 1),
        )
        return Leadership(self._role, from_epoch + 1)
