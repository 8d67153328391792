"""What the use cases need from outside, in our own words: event store, work of a process manager, clock."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Generic, Literal, Protocol, TypeVar
from uuid import UUID

from msgspec import Struct

from domain.dispatch import Dispatch
from domain.event import Event
from domain.scheduled_message import ScheduledMessage
from domain.user import User

S = TypeVar("S")
E_co = TypeVar("E_co", bound=Event, covariant=True)

Log = Literal["users", "messages", "dispatches"]
LOGS: tuple[Log, ...] = ("users", "messages", "dispatches")
"""The three logs, in the one order in which their locks are taken."""


class Position(Struct, frozen=True):
    """How far each log has been written, or read; 0 is before the first event."""

    users: int = 0
    messages: int = 0
    dispatches: int = 0


class Origin(Struct, frozen=True, gc=False):
    """Who caused an event, and the story it belongs to."""

    who: str  # `key:NAME`, `cli`, or the role
    correlation_id: str = ""  # left empty, the event goes on with its stream's story (see `origin_of`)
    causation_id: str = ""


class Recorded(Struct, Generic[E_co], frozen=True, gc=False):
    """An event as it stands in a log."""

    position: int
    stream_id: UUID
    version: int  # 1 is the stream's first
    at: datetime
    event: E_co
    origin: Origin
    sealed: bytes = b""  # its personal fields as they are stored


class Stream(Struct, Generic[S], frozen=True):
    """An aggregate as folded from its events; version 0 and no state when there are none."""

    state: S | None
    version: int
    story: str = ""  # the correlation ID of its last event


class NewEvents(Struct, frozen=True):
    """Events for one stream, to stand right after `version`. An empty tuple only checks the version."""

    log: Log
    stream_id: UUID
    version: int
    events: tuple[Event, ...]
    story: str = ""  # that the stream tells so far


class Group(Struct, frozen=True):
    """What lands whole or not at all: usually one stream; a withdrawal with its cancel; outcomes with their finish."""

    appends: tuple[NewEvents, ...]
    origin: Origin | None = None  # else that of the whole append
    readmit: bool = False  # may register under an erased person's external ID


class Appended(Struct, frozen=True):
    """Which groups (by index) lost a race and must be decided again, and the last position written to each log."""

    lost: frozenset[int]
    position: Position


def origin_of(new: NewEvents, cause: Origin) -> Origin:
    """What nobody asked for goes on with the story that its stream tells, and begins one of the stream's own ID."""
    if cause.correlation_id:
        return cause
    return Origin(cause.who, new.story or str(new.stream_id), cause.causation_id)


class Broken(Struct, frozen=True):
    """The event on which the reading of a stream fails."""

    stream_id: UUID
    version: int
    error: str  # its kind alone


class BrokenStreams(Exception):
    """Streams that can't be read to their end: nothing may be decided about them until somebody has seen to it."""

    def __init__(self, log: Log, broken: Sequence[Broken]) -> None:
        super().__init__(f"{log}: {', '.join(f'{one.stream_id} ({one.error})' for one in broken)}")
        self.log, self.broken = log, tuple(broken)

    @property
    def stream_ids(self) -> frozenset[UUID]:
        return frozenset(one.stream_id for one in self.broken)


class EventReader(Protocol):
    """Streams, folded from the store itself: no view, no cache; each that is asked for, in that order.

    Every load raises BrokenStreams naming all it can't read.
    """

    def load_users(self, ids: Iterable[UUID]) -> dict[UUID, Stream[User]]: ...

    def load_messages(self, ids: Iterable[UUID]) -> dict[UUID, Stream[ScheduledMessage]]: ...

    def load_dispatches(self, ids: Iterable[UUID]) -> dict[UUID, Stream[Dispatch]]: ...


class EventStore(EventReader, Protocol):
    """The three logs, for callers with nothing else to write."""

    def append(self, groups: Sequence[Group], origin: Origin, now: datetime) -> Appended:
        """Write every group whose versions still hold, shared with whoever else appends now; blocks until it is durable.

        A group that registers a user whose external ID is taken, or erased without `readmit`, is lost. A registration makes
        the user's key, an erasure destroys it.
        """

    def user_of(self, external_id: str) -> UUID | None:
        """The user whom this external ID belongs to. Raises UserErasedError."""

    def users_of(self, external_ids: Sequence[str]) -> dict[str, UUID | Literal["erased"]]:
        """Whom each belongs to; one that was never seen is left out."""

    def history(self, log: Log, stream_id: UUID) -> list[Recorded[Event]]: ...

    def head(self) -> Position: ...

    def park(self, follower: str, log: Log, broken: Sequence[Broken]) -> None:
        """Keep, for a person to see, what `follower` had to leave alone; known already, it is kept once."""


class StoreUnavailable(Exception):
    """The store can't be reached just now; whether the append was written is not known. The same append again is safe."""


class Followed(Struct, frozen=True):
    """A stretch of a log: its events of the kinds asked for, and where the stretch ends."""

    events: list[Recorded[Event]]
    position: int
    more: bool  # the log goes on


class Work(EventReader, Protocol):
    """One transaction of one process manager, begun by checking that it still leads.

    Nothing of it is seen by others before it is committed, and all of it is, or none. What a load finds broken is parked.
    """

    def follow(self, log: Log, limit: int, kinds: frozenset[type[Event]] | None = None) -> Followed:
        """Up to `limit` events of any kind after this manager's position; decoded only those of `kinds` (all if None).

        They tell that something was said of a person, and personal data not at all: who decides on it loads the streams.
        """

    def followed(self, log: Log, position: int) -> None:
        """Commit to having read up to `position`. If someone else moved it, PositionLost is raised, at the latest at the end."""

    def followed_own(self, log: Log, appended: Appended, events: int) -> None:
        """Count so many events, all that this work just appended to `log`, as read; unless others stand before them unread."""

    def append(self, groups: Sequence[Group], origin: Origin, now: datetime) -> Appended: ...

    def park(self, log: Log, stream_id: UUID, error: str) -> None:
        """Keep, for a person to see, that this manager leaves a stream alone as it stands; `error` is a kind and no text."""


class PositionLost(Exception):
    """Another instance moved this follower's position: reload and go on from there."""


class Deposed(Exception):
    """Another instance leads now: nothing of this transaction was kept."""


class Clock(Protocol):
    """The database's time, advanced by the monotonic clock."""

    def now(self) -> datetime:
        """An aware UTC instant."""

    def steady(self) -> bool:
        """False for a minute after the database's clock jumped: due and expiry decisions wait."""


Begin = Callable[[], AbstractContextManager[S]]
"""Opens one transaction of a process manager."""
