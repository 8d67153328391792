"""How many of the messages have which outcome: by day, zone, type, or several of these together?"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, Final, Literal, get_args

from msgspec import UNSET, Struct, UnsetType

from domain.scheduled_message import PENDING, Status

Grouping = Literal["day", "zone", "type"]
Column = Literal["scheduled", "sent", "late", "cancelled", "expired", "abandoned", "in_doubt", "pending"]
COLUMNS: Final[tuple[Column, ...]] = get_args(Column)
FIELDS: Final[dict[Grouping, str]] = {"day": "day", "zone": "timezone", "type": "message_type"}


class Alike(Struct, frozen=True, kw_only=True):
    """Messages of one day that are alike, counted by where their last event led."""

    timezone: str  # canonical
    message_type: str
    status: Status | None  # None when nobody can say
    late: bool = False  # sent a minute or more after its due instant
    begun: bool = True  # its stream begins by being scheduled
    messages: int


class Sum(Struct, frozen=True, kw_only=True, rename={"message_type": "type"}):
    """scheduled = sent + cancelled + expired + abandoned + in_doubt + pending, or something is wrong."""

    day: date | UnsetType = UNSET  # of the occasions; each of the three stands only where the sum is for one of it
    timezone: str | UnsetType = UNSET  # canonical
    message_type: str | UnsetType = UNSET
    scheduled: int
    sent: int
    late: int  # of those sent
    cancelled: int
    expired: int
    abandoned: int
    in_doubt: int
    pending: int  # scheduled, requested or retrying

    @property
    def unaccounted(self) -> int:
        """How many messages the two sides of the equation are apart."""
        outcomes = self.sent + self.cancelled + self.expired + self.abandoned + self.in_doubt
        return abs(self.scheduled - outcomes - self.pending)


class Tally:
    """Adds up what it is given, by each of several groupings at once."""

    def __init__(self, *groupings: tuple[Grouping, ...]) -> None:
        self._counts: dict[tuple[Grouping, ...], dict[tuple[Any, ...], Counter[Column]]] = {each: {} for each in groupings}

    def add(self, day: date, alike: Sequence[Alike]) -> None:
        for one in alike:
            named = {"day": day, "zone": one.timezone, "type": one.message_type}
            columns = list(_columns(one))
            for grouping, counts in self._counts.items():
                counted = counts.setdefault(tuple(named[each] for each in grouping), Counter())
                for column in columns:
                    counted[column] += one.messages

    def sums(self, grouping: tuple[Grouping, ...]) -> list[Sum]:
        """In the order of what they are for. Raises KeyError for a grouping that was not announced."""
        fields = [FIELDS[each] for each in grouping]
        return [_sum(counted, **dict(zip(fields, key, strict=True))) for key, counted in sorted(self._counts[grouping].items())]


def total(alike: Sequence[Alike]) -> Sum:
    """The sum of one day."""
    tally = Tally(())
    tally.add(date.min, alike)
    return next(iter(tally.sums(())), nothing())


def nothing() -> Sum:
    """The sum of no messages."""
    return _sum(Counter())


def _sum(counted: Counter[Column], **of: Any) -> Sum:
    numbers: dict[str, Any] = {column: counted[column] for column in COLUMNS}
    return Sum(**of, **numbers)


def _columns(alike: Alike) -> Iterator[Column]:
    if alike.begun:
        yield "scheduled"
    if alike.status in PENDING:
        yield "pending"
    elif alike.status is not None:
        yield alike.status  # type: ignore[misc]  # those that are not pending have columns of their own
    if alike.late:
        yield "late"
