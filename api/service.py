"""What do the routes need of the rest?"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from msgspec import Struct
from starlette.responses import Response
from uuid_utils.compat import uuid7

from application.channel_plan import ChannelPlan
from application.edit_templates import EditTemplates
from application.import_users import Staging
from application.planner_ports import PlannerWork
from application.ports import Begin, Clock, EventStore, Log, Origin, Position
from application.rebuild_read_model import WantedRebuilds
from domain.message_type import MessageTypes
from projections.projection import Cursor, Projection, Sealer

MEBIBYTE: Final = 1024 * 1024


class Followers(Protocol):
    """How far the read models and process managers have come."""

    def status(self, now: datetime) -> Sequence[Struct]:
        """One of each, with the fields of `http_wire.FollowerShown`. Raises StoreUnavailable."""

    def wait_for(self, read_model: Projection, position: Position, timeout_seconds: float) -> bool:
        """Whether the read model has seen these positions within the time. Raises StoreUnavailable."""

    def wait_for_log(self, log: Log, position: Position, timeout_seconds: float) -> bool:
        """Whether what reads a log's events sees these positions within the time: on a replica it does later, and of messages
        once the planner was told. Raises StoreUnavailable.
        """


class Measure(Protocol):
    """One gauge, and its value for each set of labels."""

    @property
    def name(self) -> str: ...
    @property
    def means(self) -> str: ...
    @property
    def labels(self) -> Sequence[str]: ...
    @property
    def values(self) -> Mapping[tuple[str, ...], float]: ...


class Keys(Protocol):
    """Who may call."""

    def name_of(self, key: str) -> str | None:
        """The name of this key, None for an unknown one. Raises StoreUnavailable."""


Reading = Callable[[], AbstractContextManager[tuple[Cursor, Sealer]]]
"""Opens one transaction on the read models. Raises StoreUnavailable."""


class Service(Struct, frozen=True, kw_only=True):
    """Everything the routes call. All of it may block, none of it is called on the event loop."""

    store: EventStore
    clock: Clock
    types: MessageTypes
    channels: ChannelPlan
    reading: Reading
    followers: Followers
    keys: Keys
    staging: Callable[[Origin, datetime], AbstractContextManager[Staging]]
    """Room for an import of that origin and instant."""
    planning: Begin[PlannerWork]
    """Opens one transaction on the planner's tables, for whoever must not plan what the planner plans at that moment."""
    templates: EditTemplates
    rebuilds: WantedRebuilds
    ready: Callable[[], Sequence[str]]
    """What is not as it should be, by name: database, broker, projections."""
    moved_by_tzdata: Callable[[], Mapping[str, int]]
    """How many pending messages each version of tzdata has moved. Raises StoreUnavailable."""
    measures: Callable[[datetime], Sequence[Measure]] = lambda _now: ()
    """What there is to watch. Raises StoreUnavailable."""
    notes: Callable[[], Sequence[str]] = lambda: ()
    """What a person should see to, though everything runs. Raises StoreUnavailable."""
    dead_commands: Callable[[], int | None] = lambda: None
    """How many send commands no worker could take; None where nobody can tell."""
    ask_replica: "Callable[[Callable[[Service], Response]], Response] | None" = None
    """Answers a query with the service of a replica, or one that stands in for it; None where there is no replica."""
    note_caller_id: Callable[[str, datetime], None] = lambda _correlation_id, _at: None
    """Keeps when a caller's own ID was brought. Raises StoreUnavailable."""
    new_id: Callable[[], UUID] = uuid7
    max_body_bytes: int = MEBIBYTE
    wait_seconds: float = 5.0
    """How long a query waits for the positions it was given."""
    stall_seconds: float = 60.0
    """How long a client may pause in the middle of its request."""
