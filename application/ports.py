"""What the use cases need from outside, in our own words: event store, work of a process manager, bus, channel, clock."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
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


class Origin(Struct, frozen=True):
    """Who caused an event, and the story it belongs to."""

    who: str  # `key:NAME`, `cli`, or the role
    correlation_id: str = ""
    causation_id: str = ""


class Recorded(Struct, Generic[E_co], frozen=True):
    """An event as it stands in a log."""

    position: int
    stream_id: UUID
    version: int  # 1 is the stream's first
    at: datetime
    event: E_co
    origin: Origin


class Stream(Struct, Generic[S], frozen=True):
    """An aggregate as folded from its events; version 0 and no state when there are none."""

    state: S | None
    version: int


class NewEvents(Struct, frozen=True):
    """Events for one stream, to stand right after `version`. An empty tuple only checks the version."""

    log: Log
    stream_id: UUID
    version: int
    events: tuple[Event, ...]


class Group(Struct, frozen=True):
    """What lands whole or not at all: usually one stream; a withdrawal with its cancel; outcomes with their finish."""

    appends: tuple[NewEvents, ...]
    origin: Origin | None = None  # else that of the whole append
    readmit: bool = False  # may register under an erased person's external ID


class Appended(Struct, frozen=True):
    """Which groups (by index) lost a race and must be decided again, and the last position written to each log."""

    lost: frozenset[int]
    position: Position


class EventReader(Protocol):
    """Streams, folded from the store itself: no view, no cache."""

    def load_users(self, ids: Iterable[UUID]) -> dict[UUID, Stream[User]]: ...

    def load_messages(self, ids: Iterable[UUID]) -> dict[UUID, Stream[ScheduledMessage]]: ...

    def load_dispatches(self, ids: Iterable[UUID]) -> dict[UUID, Stream[Dispatch]]: ...


class EventStore(EventReader, Protocol):
    """The three logs, for callers with nothing else to write. Every ID asked for is in the answer of a load."""

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


class StoreUnavailable(Exception):
    """The store can't be reached just now; whether the append was written is not known. The same append again is safe."""


class Followed(Struct, frozen=True):
    """A stretch of a log: its events of the kinds asked for, and where the stretch ends."""

    events: list[Recorded[Event]]
    position: int
    more: bool  # the log goes on


class Work(EventReader, Protocol):
    """One transaction of one process manager, begun by checking that it still leads.

    Nothing of it is seen by others before it is committed, and all of it is, or none.
    """

    def follow(self, log: Log, limit: int, kinds: frozenset[type[Event]] | None = None) -> Followed:
        """Up to `limit` events of any kind after this manager's position; decoded only those of `kinds` (all if None)."""

    def followed(self, log: Log, position: int) -> None:
        """Commit to having read up to `position`. Raises PositionLost if someone else moved it."""

    def followed_own(self, log: Log, appended: Appended, events: int) -> None:
        """Count so many events, all that this work just appended to `log`, as read; unless others stand before them unread."""

    def append(self, groups: Sequence[Group], origin: Origin, now: datetime) -> Appended: ...


class PositionLost(Exception):
    """Another instance moved this follower's position: reload and go on from there."""


class Deposed(Exception):
    """Another instance leads now: nothing of this transaction was kept."""


# --- planner ---------------------------------------------------------------------------------------------------------


class PlannedMessage(Struct, frozen=True):
    """The planner's own row for an occasion it has planned, kept 400 days."""

    user_id: UUID
    message_type: str
    occasion: date
    message_id: UUID
    tzdata: str
    type_version: int


class NextOccasion(Struct, frozen=True):
    """The planner's own row for the next occasion of a user's type that is not planned yet."""

    user_id: UUID
    message_type: str
    occasion: date


class ParkedType(Struct, frozen=True):
    """The planner's own row for a message type whose code failed on a person: it is asked again, from `first` on."""

    user_id: UUID
    message_type: str
    first: date
    error: str  # the exception's kind


class Derived(Struct, frozen=True):
    """The planner's own row for what its tables were last derived from."""

    rules: str
    reached: UUID | None  # people up to this ID are derived from them
    done: bool


class PlannerWork(Work, Protocol):
    """The planner's transaction: a Work and its tables."""

    def planned(self, user_ids: Sequence[UUID], since: date) -> list[PlannedMessage]:
        """Planned occasions of these users from `since` on; the rows are locked."""

    def users_planned(self, message_ids: Sequence[UUID]) -> dict[UUID, UUID]:
        """Message ID → user ID, for those it planned."""

    def put_planned(self, rows: Sequence[PlannedMessage]) -> None: ...

    def put_occasions(self, user_ids: Sequence[UUID], rows: Sequence[NextOccasion]) -> None:
        """Replace all next occasions of these users by `rows`."""

    def occasions_until(self, last: date, limit: int) -> list[NextOccasion]:
        """The next occasions dated up to and including `last`, oldest first, rows locked."""

    def planned_under_other(self, tzdata: str, since: date, after: UUID | None, limit: int) -> list[PlannedMessage]:
        """Planned rows dated from `since` on that an older tzdata made, by message ID after `after`."""

    def parked(self, user_ids: Sequence[UUID]) -> list[ParkedType]:
        """Types that fail on these users."""

    def parked_after(self, after: UUID | None, limit: int) -> list[ParkedType]:
        """Types that fail, by user ID after `after`."""

    def put_parked(self, user_ids: Sequence[UUID], rows: Sequence[ParkedType], now: datetime) -> None:
        """Replace all parked types of these users by `rows`."""

    def derived(self) -> Derived | None:
        """What its tables were last derived from; None before anything was."""

    def put_derived(self, derived: Derived) -> None: ...

    def everybody_after(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """Everybody who is not erased, by ID after `after`."""

    def count_moved(self, tzdata: str, messages: int) -> None:
        """So many pending messages more have another instant under this version."""

    def forget(self, user_ids: Sequence[UUID], before: date) -> None:
        """Drop every row of erased users, and planned rows dated before `before`."""


# --- dispatcher ------------------------------------------------------------------------------------------------------


class DueMessage(Struct, frozen=True):
    """The dispatcher's own row for a message to be sent: everything its SendRequested says, so that no stream is read."""

    message_id: UUID
    version: int
    message_type: str
    timezone: str
    due_at: datetime
    region: str
    channel: str
    priority: int  # lower goes first
    ready_at: datetime  # due_at, or retry_at
    send_before: datetime
    attempt: int


class InFlight(Struct, frozen=True):
    """The dispatcher's own row for a dispatch neither finished nor wholly withdrawn."""

    dispatch_id: UUID
    channel: str
    region: str
    members: int
    requested_at: datetime
    worker: str = ""  # empty until started
    incarnation: UUID | None = None


class Route(Struct, frozen=True):
    """Where due messages of a type go, as the settings say today."""

    message_type: str
    channel: str
    priority: int


class Glance(Struct, frozen=True):
    """What the dispatcher would find, in one look."""

    messages_moved: bool  # the log may have gone on since this manager read it
    dispatches_moved: bool
    first_ready_at: datetime | None  # of all that is due or will be


class DispatcherWork(Work, Protocol):
    """The dispatcher's transaction: a Work and its two tables."""

    def glance(self, channels: Sequence[str], priorities: Sequence[int]) -> Glance: ...

    def put_due(self, rows: Sequence[DueMessage]) -> None:
        """Insert or replace, unless the row there has a higher version."""

    def drop_due(self, message_ids: Sequence[UUID]) -> None: ...

    def reroute(self, routes: Sequence[Route], channels: Sequence[str], usual: Route) -> None:
        """Bring what is due in line with today's settings: the priority of its type, and a channel out of `channels`.

        `usual` is for types without a route of their own.
        """

    def due(self, channel: str, priorities: Sequence[int], now: datetime, limit: int) -> list[DueMessage]:
        """Ready by `now`, by (priority, ready_at, message ID)."""

    def due_count(self) -> int:
        """Messages waiting for their instant, or for room in their channel."""

    def put_in_flight(self, rows: Sequence[InFlight]) -> None:
        """Insert, unless known already."""

    def started(self, claims: Sequence[tuple[UUID, str, UUID]]) -> None:
        """(dispatch ID, worker, incarnation) of each claim."""

    def withdrawn(self, members: Mapping[UUID, int]) -> None:
        """So many members less, by dispatch."""

    def finished(self, dispatch_ids: Sequence[UUID]) -> None: ...

    def members_in_flight(self) -> dict[str, int]:
        """Channel → members of dispatches in flight."""

    def unstarted(self, now: datetime, limit: int) -> list[UUID]:
        """Dispatches no worker has started, whose next publication is due, the longest waiting first."""

    def published(self, dispatch_ids: Sequence[UUID], now: datetime) -> None:
        """Published once more: the next time is put off, doubling from 30 s up to 8 minutes."""

    def claimed_by(self, workers: Sequence[tuple[str, UUID]]) -> list[UUID]:
        """Started dispatches of these (worker, incarnation)s, with their rows locked; without those another work has locked."""

    def claimants(self) -> list[tuple[str, UUID]]:
        """Every (worker, incarnation) with a started dispatch in flight."""

    def counters(self) -> dict[tuple[str, UUID], int]:
        """Every worker's (worker, incarnation) → its counter, bumped while it is alive."""


# --- bus -------------------------------------------------------------------------------------------------------------


class SendCommand(Struct, frozen=True):
    """What goes over the bus: names of things in the store, never personal data."""

    dispatch_id: UUID
    channel: str
    region: str
    message_ids: tuple[UUID, ...]


class Delivery(Protocol):
    """A send command taken from the bus, to be acknowledged once its outcomes are stored."""

    command: SendCommand

    async def acknowledge(self) -> None: ...

    async def put_back(self) -> None:
        """Let another worker have it."""


class Deliveries(Protocol):
    """An asynchronous iterator over what comes from the bus. A cancelled `anext` loses nothing."""

    def __aiter__(self) -> AsyncIterator[Delivery]: ...

    async def __anext__(self) -> Delivery: ...

    async def aclose(self) -> None:
        """Take no more, and give back what is not acknowledged."""


class Bus(Protocol):
    """At-least-once transport of send commands. Holds only what workers can take in the next seconds."""

    @property
    def connected(self) -> bool:
        """Whether it can be reached now."""

    async def connect(self, wait_seconds: float) -> None:
        """Returns once it can be reached, from the event loop that will use it. Raises BusUnavailable."""

    async def close(self) -> None: ...

    async def publish(self, commands: Sequence[SendCommand]) -> None:
        """Returns once every command is safely with the broker. Raises BusUnavailable: then any of them may or may not be."""

    def consume(self, channel: str, prefetch: int) -> Deliveries:
        """Deliveries of every region of a channel; goes on after reconnecting.

        `prefetch` of them may be unacknowledged: split evenly over the regions, at least one each, so that none starves.
        """

    async def depth(self, channel: str) -> int:
        """Commands waiting, over all regions."""


class BusUnavailable(Exception):
    """The broker did not confirm: not reachable, or it refused."""


# --- channel ---------------------------------------------------------------------------------------------------------


class Letter(Struct, frozen=True):
    """One message as a channel sends it. Lives in memory only."""

    message_id: UUID
    message_type: str
    email: str
    subject: str
    body: str


class Accepted(Struct, frozen=True):
    response_code: int
    provider_id: str = ""


class Rejected(Struct, frozen=True):
    """Permanent: `error` is a code of ours with the status, e.g. "rejected:400"."""

    error: str


class Throttled(Struct, frozen=True):
    """Not accepted, and no try burnt. `retry_after_seconds` as the provider asked, else None."""

    error: str
    retry_after_seconds: float | None


class NotAccepted(Struct, frozen=True):
    """Transient: known as not accepted."""

    error: str


class Ambiguous(Struct, frozen=True):
    """May have been accepted."""

    error: str


Answer = Accepted | Rejected | Throttled | NotAccepted | Ambiguous


class Channel(Protocol):
    """An outside sender."""

    name: str
    idempotent: bool  # the provider deduplicates by key
    askable: bool
    bulk: int  # messages a call, 1 for single calls
    concurrency: int  # calls open at once
    call_timeout_seconds: float

    async def send(self, letter: Letter, *, key: str, repeat: bool) -> Answer:
        """One call with `key` as its Idempotency-Key. `repeat`: the key may have been used before. Never raises."""

    async def send_bulk(self, letters: Sequence[Letter], *, key: str, repeat: bool) -> Mapping[UUID, Answer]:
        """One call for many. A provider without bulk calls has `bulk` 1 and is never asked."""

    async def close(self) -> None: ...


# --- time ------------------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """The database's time, advanced by the monotonic clock."""

    def now(self) -> datetime:
        """An aware UTC instant."""

    def steady(self) -> bool:
        """False for a minute after the database's clock jumped: due and expiry decisions wait."""


class Liveness(Protocol):
    """Whether this worker's lease still covers a call begun now."""

    @property
    def worker(self) -> str: ...

    @property
    def incarnation(self) -> UUID: ...

    def may_call(self) -> bool:
        """The last acknowledged bump is younger than lease − call time-out."""


Begin = Callable[[], AbstractContextManager[S]]
"""Opens one transaction of a process manager."""
