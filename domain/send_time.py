"""At which instant does a local send time fall: through gaps, overlaps and skipped days?"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from domain.timezones import local_date, zone

ClockRule = Literal["plain", "gap", "overlap", "skipped_day"]
_ONE_DAY: Final = timedelta(days=1)
_TICK: Final = timedelta(microseconds=1)


class DueInstant(Struct, frozen=True):
    """When a send time falls, and why then."""

    due_at: datetime  # UTC
    utc_offset: timedelta  # in force there at that instant
    rule: ClockRule


@lru_cache(maxsize=65_536)
def due_instant(occasion: date, local_time: time, timezone: str) -> DueInstant:
    """The instant of `local_time` on `occasion` in `timezone`.

    In a gap it moves forward by the gap's length; in an overlap it is the first of the two; on a day that the zone skips as a
    whole it is the first send time after the skip. The changes are read as zoneinfo does (PEP 495), from the pinned tzdata.
    """
    first, second = _instants(datetime.combine(occasion, local_time), timezone)
    if second < first and _is_skipped(occasion, timezone):
        after = due_instant(occasion + _ONE_DAY, local_time, timezone)
        return DueInstant(after.due_at, after.utc_offset, "skipped_day")
    rule: ClockRule = "plain" if first == second else "gap" if second < first else "overlap"
    offset = first.astimezone(zone(timezone)).utcoffset()
    return DueInstant(first, offset or timedelta(), rule)


@lru_cache(maxsize=65_536)
def end_of_local_day(day: date, timezone: str) -> datetime:
    """The UTC instant at which the next local day starts, and from which it is never `day` again in `timezone`.

    Where midnight falls in a gap, that is the end of the gap; a skipped day ends the instant it would have begun.
    """
    first, second = _instants(datetime.combine(day + _ONE_DAY, time()), timezone)
    if second > first:  # midnight comes twice; a clock set back past it shows the old date again in between
        return first if local_date(second - _TICK, timezone) > day else second
    while first - second > _TICK:  # midnight is in a gap, whose edge lies in (second, first]
        middle = second + (first - second) / 2
        first, second = (middle, second) if local_date(middle, timezone) > day else (first, middle)
    return first


def _instants(wall: datetime, timezone: str) -> tuple[datetime, datetime]:
    """The wall time read by the offset before, and by the one after, the change it lies in; the same where there is none.

    In a gap the first is the later instant (PEP 495).
    """
    local = wall.replace(tzinfo=zone(timezone))
    return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)


def _is_skipped(day: date, timezone: str) -> bool:
    """Whether no instant at all lies on `day`."""
    return local_date(end_of_local_day(day - _ONE_DAY, timezone), timezone) > day
