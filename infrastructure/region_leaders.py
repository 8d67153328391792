"""Which regions does this process lead, of those that it may?"""

import logging
import time
from collections.abc import Callable, Sequence
from threading import Condition, Event, Thread
from types import TracebackType
from typing import Final, Self

from msgspec import Struct
from psycopg import Cursor

from application.ports import Deposed
from domain.region import REGIONS
from infrastructure.database import Database, Row
from infrastructure.leader import BUMP_SECONDS, LOOK_SECONDS, SILENCE_SECONDS, STOP_SECONDS, Elector, Leadership

logger = logging.getLogger(__name__)


class Term(Struct, frozen=True):
    """The regions that are led together until any is lost or comes to them."""

    regions: tuple[str, ...]
    guard: Callable[[], Sequence[Leadership]]
    """To begin work with. Raises Deposed once they are not these any more."""


class RegionLeaders:
    """One Elector for each region, driven by one thread, so that what is taken over at a start is taken over together."""

    def __init__(
        self, database: Database, role: str, regions: Sequence[str] = REGIONS, *, take_over_at_once: bool = False
    ) -> None:
        self._role = role
        self._electors: Final = {
            region: Elector(database, role_in(role, region), take_over_at_once=take_over_at_once) for region in regions
        }
        self._bumped_at: dict[str, float] = {}
        self._led: dict[str, Leadership] = {}
        self._changed = Condition()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name=f"electors of {role}", daemon=True)

    @property
    def leadership(self) -> Sequence[Leadership] | None:
        """None while standing by for all of them."""
        return tuple(self._led.values()) or None

    def wait(self, timeout_seconds: float, regions: int = 1) -> bool:
        """Whether we lead so many, waiting for it if need be."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._led) >= regions, timeout_seconds)

    def term(self) -> Term:
        """Of what is led now. Raises Deposed while that is nothing."""
        led = self._led
        if not led:
            raise Deposed(self._role)

        def guard() -> Sequence[Leadership]:
            if self._led != led:
                raise Deposed(self._role)
            return tuple(led.values())

        return Term(tuple(led), guard)

    def step(self, monotonic_seconds: float) -> None:
        """Bump what is led, then look after the rest, where a takeover may have to wait. Raises StoreUnavailable."""
        try:
            for region, elector in sorted(self._electors.items(), key=lambda one: one[1].leadership is None):
                if elector.leadership is None or monotonic_seconds - self._bumped_at[region] >= BUMP_SECONDS:
                    elector.step(monotonic_seconds)
                    self._bumped_at[region] = monotonic_seconds
        except Exception:
            for elector in self._electors.values():
                elector.hears_nothing()
            raise
        finally:
            self._publish()

    def stop(self) -> None:
        """Hand every region over."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        for elector in self._electors.values():
            elector.stop()
        self._publish()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.step(time.monotonic())
            except Exception as error:  # noqa: BLE001  whatever it was, a thread that died of it would never look again
                kind = type(error.__cause__ or error).__name__
                logger.warning("%s can't see the leaders' bumps (%s)", self._thread.name, kind)
            self._stopping.wait(LOOK_SECONDS)

    def _publish(self) -> None:
        led = {region: led for region, elector in self._electors.items() if (led := elector.leadership)}
        if led != self._led:
            logger.info("%s: leading %s", self._role, ", ".join(led) or "no region")
            with self._changed:
                self._led = led
                self._changed.notify_all()


def role_in(role: str, region: str) -> str:
    """As `leaders` and `positions` name it."""
    return f"{role}/{region}"


ROLES: Final = ("planner", *(role_in("dispatcher", region) for region in REGIONS))


class Heard(Struct, frozen=True):
    """When a role's leader was last heard."""

    seconds_ago: float  # infinite if it never had one
    released: bool  # and then handed the role over

    @property
    def leads(self) -> bool:
        return not self.released and self.seconds_ago < SILENCE_SECONDS


def leaders_heard(cursor: Cursor[Row]) -> dict[str, Heard]:
    """Of every role that one must lead."""
    cursor.execute("SELECT role, extract(epoch FROM clock_timestamp() - bumped_at)::float8, released FROM leader_bumps")
    found = {role: Heard(ago, released) for role, ago, released in cursor}
    return {role: found.get(role, Heard(float("inf"), released=True)) for role in ROLES}
