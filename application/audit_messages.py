"""Audit: has every message ever scheduled its outcome, or is it still to be sent, and do the read models say the same?"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Final, Protocol
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from application.audit_sums import Alike, Grouping, Sum, Tally, nothing, total

EACH: Final[tuple[tuple[Grouping, ...], ...]] = ((), ("day",), ("zone",), ("type",))
MOST_DIFFERENCES: Final = 20


class Fault(Struct, frozen=True):
    """Streams that can't be right."""

    what: str
    messages: int
    example: str  # the ID of one of them

    def __str__(self) -> str:
        return f"{self.what}: {self.messages} (such as {self.example})"


class Difference(Struct, frozen=True):
    """What a read model has otherwise than the events it has read say."""

    day: date
    read_model: str
    status: str
    events: int
    shown: int
    examples: tuple[UUID, ...] = ()

    def __str__(self) -> str:
        such = f" (such as {', '.join(map(str, self.examples))})" if self.examples else ""
        return f"{self.day}: the events say {self.events} {self.status}, {self.read_model} {self.shown}{such}"


class Day(Struct, frozen=True, kw_only=True):
    """What the books say of the messages whose occasions are on one day."""

    day: date
    alike: Sequence[Alike]
    faults: Sequence[Fault] = ()
    differences: Sequence[Difference] = ()
    oldest_doubt_at: datetime | None = None  # since when the first of those in doubt has been so

    @property
    def contradictions(self) -> int:
        """How many messages something is wrong with, as far as counting tells."""
        wrong = sum(fault.messages for fault in self.faults) + sum(abs(one.events - one.shown) for one in self.differences)
        return wrong + total(self.alike).unaccounted


class Books(Protocol):
    """The messages log and its read models, all at one and the same instant."""

    def days(self, start: date | None, end: date | None) -> list[date]:
        """Those in [start, end) that have any message."""

    def day(self, day: date, *, examples: bool) -> Day:
        """`examples`: name some of the messages in which a read model differs."""

    def strays(self) -> list[Fault]:
        """Streams that are no message's."""

    def transitions(self) -> list[Difference]:
        """What was not counted as it happened, by the day on which it was recorded."""

    def behind(self) -> dict[str, int]:
        """How many events each read model has yet to read, without those that have read them all."""


class Audit(Struct, frozen=True, kw_only=True):
    """The sums, and everything that contradicts them."""

    balanced: bool
    total: Sum
    days: list[Sum]
    zones: list[Sum]
    types: list[Sum]
    rows: list[Sum] | UnsetType = UNSET  # by all that was asked for, where that was more than one
    differences: list[str]  # the first MOST_DIFFERENCES
    behind: dict[str, int]  # read models with events yet to read: they are held to what they have read


def audit_messages(
    books: Books,
    start: date | None = None,
    end: date | None = None,
    by: tuple[Grouping, ...] = (),
    looked: Callable[[int, int], None] = lambda _done, _of: None,
) -> Audit:
    """Add up the days in [start, end), one by one, and name what does not fit; `looked` is told how many of the days are done.

    Only an audit of all days looks for strays, and at what is counted by the day on which it happened.
    """
    tally = Tally(*{*EACH, by})
    found: list[str] = []
    days = books.days(start, end)
    for done, each in enumerate(days, 1):
        day = books.day(each, examples=len(found) < MOST_DIFFERENCES)
        tally.add(each, day.alike)
        found += map(str, (*day.faults, *day.differences))
        looked(done, len(days))
    by_day = tally.sums(("day",))
    found += (
        f"{sum_.day}: of {sum_.scheduled} scheduled {sum_.unaccounted} are not accounted for"
        for sum_ in by_day
        if sum_.unaccounted
    )
    if start is end is None:
        found += map(str, (*books.strays(), *books.transitions()))
    return Audit(
        balanced=not found,
        total=next(iter(tally.sums(())), nothing()),
        days=by_day,
        zones=tally.sums(("zone",)),
        types=tally.sums(("type",)),
        rows=UNSET if by in EACH else tally.sums(by),
        differences=found[:MOST_DIFFERENCES],
        behind=books.behind(),
    )


def differing(day: date, read_model: str, events: Mapping[str, int], shown: Mapping[str, int]) -> list[Difference]:
    """The statuses of which a read model does not have as many messages as the events say."""
    return [
        Difference(day, read_model, status, events.get(status, 0), shown.get(status, 0))
        for status in sorted(events.keys() | shown.keys())
        if events.get(status, 0) != shown.get(status, 0)
    ]
