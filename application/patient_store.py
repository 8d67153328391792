"""How does a worker use the store, through outages and around what can't be read?"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, ParamSpec, TypeVar
from uuid import UUID

from application.ports import Broken, BrokenStreams, EventStore, Group, Log, Origin, StoreUnavailable, Stream
from application.readable import readable
from domain.dispatch import Dispatch
from domain.scheduled_message import ScheduledMessage
from domain.user import User

log: Final = logging.getLogger(__name__)
WORKER: Final = "worker"
FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 5.0
S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


class PatientStore:
    """Waits for the store until told to end, then raises StoreUnavailable. What can't be read is parked and left out."""

    def __init__(self, store: EventStore, told_to_end: threading.Event) -> None:
        self._store, self._told_to_end = store, told_to_end

    def users(self, ids: Iterable[UUID]) -> dict[UUID, Stream[User]]:
        return readable(lambda wanted: self._parking(self._store.load_users, wanted), ids)

    def messages(self, ids: Iterable[UUID]) -> dict[UUID, Stream[ScheduledMessage]]:
        return readable(lambda wanted: self._parking(self._store.load_messages, wanted), ids)

    def dispatches(self, ids: Iterable[UUID]) -> dict[UUID, Stream[Dispatch]]:
        return readable(lambda wanted: self._parking(self._store.load_dispatches, wanted), ids)

    def append(self, groups: Sequence[Group], now: datetime) -> frozenset[int]:
        """Those that lost."""
        return self.patiently(self._store.append, groups, Origin(WORKER), now).lost if groups else frozenset()

    def park(self, log_name: Log, broken: Sequence[Broken]) -> None:
        """For a person to see."""
        self.patiently(self._store.park, WORKER, log_name, broken)

    def patiently(self, use_store: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Again and again while the store is not there."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return use_store(*args, **kwargs)
            except StoreUnavailable:
                log.warning("the store is not there; trying again in %.2f s", pause)
                if self._told_to_end.wait(pause):
                    raise
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _parking(self, load: Callable[[Iterable[UUID]], dict[UUID, Stream[S]]], wanted: Iterable[UUID]) -> dict[UUID, Stream[S]]:
        try:
            return self.patiently(load, wanted)
        except BrokenStreams as error:
            self.park(error.log, error.broken)
            raise
