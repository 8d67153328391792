"""How does a worker show that it is alive, and know that others still believe it?"""

import logging
import time
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self
from uuid import UUID, uuid4

from msgspec import Struct

from infrastructure.database import Database

BUMPS_A_LEASE: Final = 10
STOP_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)


def seconds_since_boot() -> float:
    """Monotonic, and where the system can tell, going on while the machine is suspended: others' clocks go on, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class _Lease(Struct, frozen=True):
    """Replaced as a whole, so that no reader sees half of two."""

    incarnation: UUID
    from_seconds: float  # when the last acknowledged bump was begun


class WorkerLiveness:
    """Liveness by a counter in `workers`, bumped from a thread ten times a lease.

    After a silence as long as the lease (a frozen process, a lost database) recovery may have taken what was claimed: the worker
    goes on under a new incarnation, and calls for no claim of the old one any more.
    """

    def __init__(
        self,
        database: Database,
        worker: str,
        *,
        lease_seconds: float,
        call_timeout_seconds: float,
        monotonic: Callable[[], float] = seconds_since_boot,
    ) -> None:
        """Raises ValueError for a lease not above the call time-out: no call would ever be covered."""
        if lease_seconds <= call_timeout_seconds:
            raise ValueError(f"a lease of {lease_seconds:g} s is not above the call time-out of {call_timeout_seconds:g} s")
        self.worker = worker
        self._database, self._monotonic = database, monotonic
        self._lease_seconds, self._covered_seconds = lease_seconds, lease_seconds - call_timeout_seconds
        self._lease: _Lease | None = None
        self._stopping = Event()
        self._thread = Thread(target=self._run, name=f"liveness of {worker}", daemon=True)

    @property
    def incarnation(self) -> UUID:
        """Known once the first bump is acknowledged."""
        assert self._lease is not None, "not started"
        return self._lease.incarnation

    def may_call(self) -> bool:
        """A call begun now ends, at the latest by its time-out, while the lease still holds."""
        lease = self._lease
        return lease is not None and self._monotonic() - lease.from_seconds < self._covered_seconds

    def bump(self) -> None:
        """Be alive a lease longer. Raises StoreUnavailable."""
        lease, begun = self._lease, self._monotonic()
        if lease is not None and self._counted_up(lease.incarnation):
            # Only now is it known when the counter moved at the latest: was that in time?
            if self._monotonic() - lease.from_seconds < self._lease_seconds:
                self._lease = _Lease(lease.incarnation, begun)
                return
            logger.warning(
                "%s was silent for %.1f s; what it claimed before is released", self.worker, begun - lease.from_seconds
            )
        self._lease = self._reborn()

    def start(self) -> Self:
        """Returns once the first bump is acknowledged, then goes on in a thread. Raises StoreUnavailable."""
        self.bump()
        self._thread.start()
        return self

    def stop(self, *, idle: bool = True) -> None:
        """`idle`: nothing is claimed any more, so nobody needs to watch this worker's counter."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        lease, self._lease = self._lease, None
        if idle and lease is not None:
            with self._database.cursor() as cursor:
                cursor.execute("DELETE FROM workers WHERE worker = %b AND incarnation = %b", (self.worker, lease.incarnation))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop(idle=error is None)

    def _run(self) -> None:
        while not self._stopping.wait(self._lease_seconds / BUMPS_A_LEASE):
            try:
                self.bump()
            except Exception as error:  # noqa: BLE001  whatever it was, a thread that died of it would never bump again
                kind = type(error.__cause__ or error).__name__
                logger.warning("%s can't show that it is alive (%s)", self.worker, kind)

    def _counted_up(self, incarnation: UUID) -> bool:
        """False if the row is gone."""
        with self._database.cursor() as cursor:
            cursor.execute(
                "UPDATE workers SET counter = counter + 1 WHERE worker = %b AND incarnation = %b",
                (self.worker, incarnation),
                prepare=True,
            )
            return cursor.rowcount == 1

    def _reborn(self) -> _Lease:
        lease = _Lease(uuid4(), self._monotonic())
        with self._database.cursor() as cursor:
            cursor.execute(
                "INSERT INTO workers (worker, incarnation, counter) VALUES (%b, %b, 1)", (self.worker, lease.incarnation)
            )
        return lease
