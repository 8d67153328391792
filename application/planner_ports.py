"""What the planner needs from outside: a transaction, and in it the tables that are its own."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from application.ports import Followed, Log, Work
from domain.event import Event


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


class Todo(Struct, frozen=True):
    """What the planner would find to do, in one look."""

    occasions: bool  # a date has come into the window
    users_behind: int  # so many events at most has the log gone on since the planner read it
    messages_moved: bool  # it may have gone on
    asked_again: bool
    derived: Derived | None


class PlannerWork(Work, Protocol):
    """The planner's transaction: a Work and its tables."""

    def todo(self, last: date) -> Todo:
        """`last` is the end of the window."""

    def notice(self, log: Log, limit: int, kinds: frozenset[type[Event]]) -> Followed:
        """As `follow`, of who said something of whom, and not what: each event is a mere Event."""

    def planned(
        self, user_ids: Sequence[UUID], since: date, *, earlier: date | None = None, annual: Collection[str] = ()
    ) -> list[PlannedMessage]:
        """Planned occasions of these users from `since` on, those of `annual` types from `earlier` on; the rows are locked."""

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

    def people_asked_again(self, limit: int) -> dict[UUID, datetime]:
        """Users left alone whom somebody wants looked at again, and since when they were; each is told once.

        By up to `limit` of the events and types that were left alone, always in the same order.
        """

    def ask_no_more(self, limit: int) -> None:
        """Whom `people_asked_again` would tell of stays left alone, until somebody asks once more."""

    def derived(self) -> Derived | None:
        """What its tables were last derived from; None before anything was."""

    def put_derived(self, derived: Derived) -> None: ...

    def everybody_after(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """Everybody who is not erased, by ID after `after`."""

    def count_moved(self, tzdata: str, messages: int) -> None:
        """So many pending messages more have another instant under this version."""

    def forget(self, user_ids: Sequence[UUID]) -> None:
        """Drop every row of erased users."""

    def forget_old(self, before: date, after: UUID | None, limit: int) -> UUID | None:
        """Drop planned rows dated before `before`, by message ID after `after`: the last one dropped, None if there was none."""
