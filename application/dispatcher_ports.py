"""What the dispatcher needs from outside: a transaction, and in it the tables that are its own."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from application.channel_states import ChannelState, Used
from application.pause_sending import PausedNames
from application.ports import Log, Work


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
    story: str = ""  # empty if the message tells no other than its own


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
    troubled: bool = False  # some channel's state, or what is paused, is worth a look


class LostSpan(Struct, frozen=True):
    """What happened from `restored_to` on is not known; from `found_at` on it is again."""

    restored_to: datetime
    found_at: datetime

    def may_hold(self, ready_at: datetime, send_before: datetime) -> bool:
        """Whether a message that may go out within these two could have gone out then."""
        return ready_at < self.found_at and send_before > self.restored_to


class DispatcherWork(Work, Protocol):
    """The dispatcher's transaction: a Work and its two tables, of all regions or of those that it leads."""

    def glance(self, channels: Sequence[str], priorities: Sequence[int]) -> Glance: ...

    def put_due(self, rows: Sequence[DueMessage]) -> None:
        """Insert or replace, unless the row there has a higher version."""

    def drop_due(self, up_to_versions: Mapping[UUID, int]) -> None:
        """Those rows that were made from no later version of the message than this."""

    def reroute(self, routes: Sequence[Route], channels: Sequence[str], usual: Route) -> None:
        """Bring what is due in line with today's settings: the priority of its type, and a channel out of `channels`.

        `usual` is for types without a route of their own.
        """

    def channel_states(self) -> Mapping[str, ChannelState]:
        """Of the channels that were ever in trouble, or have a limit."""

    def used(self, channels: Sequence[str]) -> Mapping[str, Used]:
        """What of the limit of each of these is used up."""

    def paused(self) -> PausedNames:
        """What nothing is to be sent of for now."""

    def due(
        self,
        channel: str,
        priorities: Sequence[int],
        now: datetime,
        limit: int,
        only: Sequence[str] | None = None,
        without: Collection[str] = (),
    ) -> list[DueMessage]:
        """Ready by `now`, by (priority, ready_at, message ID); `only` of these message types, and of none of those."""

    def too_late(self, channels: Sequence[str], priorities: Sequence[int], now: datetime, limit: int) -> list[DueMessage]:
        """Ready, but past their late window by `now`, as their rows have it."""

    def lost_spans(self) -> list[LostSpan]: ...

    def record_lost_span(self, restored_to: datetime, who: str, now: datetime) -> LostSpan:
        """Up to now; one that was recorded before stays as it is."""

    def within(self, span: LostSpan, after: UUID, limit: int) -> list[DueMessage]:
        """What the span may hold of all that waits, by message ID, after this one."""

    def count_within(self, span: LostSpan) -> int: ...

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
        """Channel → members of dispatches in flight, but for those of regions that nobody leads, if these are not this work's.

        The next to ask waits for this work's end: two never fill the same room.
        """

    def unstarted(self, now: datetime, limit: int) -> list[UUID]:
        """Dispatches no worker has started, whose next publication is due, the longest waiting first."""

    def unstarted_elsewhere(self, channels: Sequence[str], limit: int) -> list[UUID]:
        """Dispatches no worker has started, through none of these channels."""

    def published(self, dispatch_ids: Sequence[UUID], now: datetime) -> None:
        """Published once more: the next time is put off, doubling from 30 s up to 8 minutes."""

    def claimed_by(self, workers: Sequence[tuple[str, UUID]]) -> list[UUID]:
        """Started dispatches of these (worker, incarnation)s, with their rows locked; without those another work has locked."""

    def claimants(self) -> list[tuple[str, UUID]]:
        """Every (worker, incarnation) with a started dispatch in flight."""

    def counters(self) -> dict[tuple[str, UUID], int]:
        """Every worker's (worker, incarnation) → its counter, bumped while it is alive."""

    def forget_workers(self, counters: Mapping[tuple[str, UUID], int]) -> None:
        """Drop the rows of these workers, but for one that has counted on."""

    def asked_again(self, followers: Sequence[str], limit: int) -> list[tuple[Log, UUID]]:
        """Streams that these left alone, and that somebody wants looked at again; each is told once."""
