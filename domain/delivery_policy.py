"""How long do we keep trying, and from when on is it too late?"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final

from domain.send_time import end_of_local_day
from domain.timezones import local_date

MAX_RETRIES: Final = 5
"""Tries after the first one."""

WINDOW: Final = timedelta(hours=48)
"""How far ahead occasions are scheduled, at least."""

ITS_MINUTE: Final = timedelta(minutes=1)
"""A message sent this long after its due instant, or longer, was late."""

SHORTEST_LATE_WINDOW: Final = timedelta(hours=12)
FIRST_RETRY_WITHIN: Final = timedelta(seconds=5)
LONGEST_DELAY: Final = timedelta(hours=1)


def retry_delay(retry_count: int, random: Callable[[], float]) -> timedelta:
    """How long to wait before the next retry when `retry_count` were made before it: uniform in [0, min(1 h, 5 s · 4ⁿ)].

    `random` draws from [0, 1).
    """
    growth: int = 4 ** min(retry_count, 10)  # capped, or a large count would overflow
    return min(LONGEST_DELAY, FIRST_RETRY_WITHIN * growth) * random()


@lru_cache(maxsize=65_536)
def send_before(occasion: date, timezone: str, due_at: datetime, late_window: timedelta | None) -> datetime:
    """The instant from which a message is too late.

    Without a window of its own that is the end of the local day, at least 12 h after `due_at`. A send time carried into another
    date by a gap or a skipped day counts by that date.
    """
    if late_window is not None:
        return due_at + late_window
    day = max(occasion, local_date(due_at, timezone))
    return max(end_of_local_day(day, timezone), due_at + SHORTEST_LATE_WINDOW)
