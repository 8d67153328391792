"""How much may be asked of a provider now, by everybody who calls it together, and when may more be asked?"""

import math
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

LONGEST_WAIT_SECONDS: Final = 60.0
"""How long a worker waits for its turn. What a limit holds back for longer is given back untried."""

LONGEST_SLACK_SECONDS: Final = 1.0
BUCKETS: Final = 60  # of a window: what was taken within one of them is remembered as one
BURST_SECONDS: Final = 1.0
DAY_SECONDS: Final = 86_400.0
PACE_SECONDS: Final = 30.0
FEWEST_AHEAD: Final = 10


class ProviderLimit(Struct, frozen=True, kw_only=True):
    """What a provider takes. `most`, of calls or of messages, within any `per_seconds`; `burst` of the same within any second."""

    unit: Literal["calls", "messages"] = "calls"
    most: int | None = None
    per_seconds: float = 1.0
    burst: int | None = None
    spacing_seconds: float = 0.0  # between the beginnings of two calls
    daily_quota: int | None = None  # messages a UTC day

    @property
    def windows(self) -> tuple[tuple[int, float], ...]:
        """(the most, seconds) of each."""
        both = ((self.most, self.per_seconds), (self.burst, BURST_SECONDS))
        return tuple((most, seconds) for most, seconds in both if most is not None)

    @property
    def may_stop(self) -> bool:
        """It may let nothing out for longer than anybody waits for a turn."""
        longest = max([self.spacing_seconds, *(seconds for _, seconds in self.windows)]) + 2 * slack_seconds(self)
        return self.daily_quota is not None or longest > LONGEST_WAIT_SECONDS

    def weight(self, messages: int) -> int:
        """What a call with so many messages takes of a window."""
        return messages if self.unit == "messages" else 1

    def messages_ahead(self, bulk: int) -> int | None:
        """How many messages to hand out at once, as many as leave in half a minute or so; None without a limit that says so."""
        found = [max(min(most, FEWEST_AHEAD), most * min(1.0, PACE_SECONDS / seconds)) for most, seconds in self.windows]
        if self.spacing_seconds:
            found.append(max(1.0, PACE_SECONDS / self.spacing_seconds))
        if not found:
            return None
        a_call = bulk if self.unit == "calls" else 1
        return max(bulk, math.ceil(min(found) * a_call))


class Taken(Struct, frozen=True, array_like=True):
    """So much was granted up to this instant, since the one before it."""

    at: float  # Unix seconds
    units: int


class Usage(Struct, frozen=True):
    """What of a limit is used up; kept in one place for everybody."""

    windows: dict[str, tuple[Taken, ...]] = {}  # a window's seconds → what was taken within it, oldest first
    next_call_at: float = 0.0
    day: int = 0  # since 1970
    of_quota: int = 0


class Grant(Struct, frozen=True):
    """The first `len(delays)` of the calls asked for may be made: each after its delay, and within `use_within_seconds` of it.

    When none may be made, ask again in `wait_seconds`.
    """

    delays: tuple[float, ...]  # seconds
    use_within_seconds: float
    wait_seconds: float


def slack_seconds(limit: ProviderLimit) -> float:
    """How long a grant may be used. The windows are reckoned longer by twice as much, for its use and its way to the provider."""
    return min([LONGEST_SLACK_SECONDS, *(seconds / 10 for _, seconds in limit.windows)])


def take(usage: Usage, limit: ProviderLimit, calls: Sequence[int], now: datetime, share: float = 1.0) -> tuple[Usage, Grant]:
    """Take what there is for these calls, each given by its number of messages, in their order.

    Of each window at most `share` is used, more than 0 and at most 1. Together the grants of all callers never let the provider
    see more than the limit within any window of its own.
    """
    at, slack = now.timestamp(), slack_seconds(limit)
    usage = _not_ahead(_today(usage, at), limit, at)
    delays: list[float] = []
    wait = 0.0
    for messages in calls:
        begins = max(at, usage.next_call_at) if limit.spacing_seconds else at
        too_far = begins - at if begins - at > slack else 0.0
        if wait := max(too_far, _quota_wait(usage, limit, messages, at), _windows_wait(usage, limit, messages, share, at)):
            break
        delays.append(begins - at)
        usage = _used(usage, limit, messages, begins)
    return usage, Grant(tuple(delays), slack, 0.0 if delays else wait)


def messages_left(usage: Usage, limit: ProviderLimit, bulk: int, now: datetime, share: float = 1.0) -> int:
    """How many more messages get a turn within LONGEST_WAIT_SECONDS, in calls of up to `bulk`, as far as the limit may stop."""
    at, ends = now.timestamp(), now.timestamp() + LONGEST_WAIT_SECONDS
    usage = _today(_not_ahead(usage, limit, at), ends)
    a_call = bulk if limit.unit == "calls" else 1
    found = [
        (max(1, int(most * share)) - sum(taken.units for taken in _inside(usage, limit, seconds, ends))) * a_call
        for most, seconds in limit.windows
        if _reckoned(limit, seconds) > LONGEST_WAIT_SECONDS  # of a shorter one all is free again by then
    ]
    if limit.daily_quota is not None:
        found.append(limit.daily_quota - usage.of_quota)
    if usage.next_call_at > ends:
        found.append(0)
    return max(0, min(found, default=sys.maxsize))


def stopped_until(usage: Usage, limit: ProviderLimit, now: datetime, share: float = 1.0) -> datetime | None:
    """When the next message gets a turn, where that is later than anybody waits for it."""
    _, grant = take(usage, limit, [1], now, share)
    return now + timedelta(seconds=grant.wait_seconds) if grant.wait_seconds > LONGEST_WAIT_SECONDS else None


def _today(usage: Usage, at: float) -> Usage:
    day = int(at // DAY_SECONDS)
    return usage if usage.day == day else replace(usage, day=day, of_quota=0)


def _not_ahead(usage: Usage, limit: ProviderLimit, at: float) -> Usage:
    """What stands further ahead than any grant does was taken before the clock was put back: it counts as if taken now."""
    furthest = at + slack_seconds(limit)
    ahead = [taken.at for window in usage.windows.values() for taken in window if taken.at > furthest]
    next_call_at = min(usage.next_call_at, furthest + limit.spacing_seconds)
    if not ahead and next_call_at == usage.next_call_at:
        return usage
    windows = {
        key: tuple(replace(taken, at=min(taken.at, furthest)) for taken in window) for key, window in usage.windows.items()
    }
    return replace(usage, windows=windows, next_call_at=next_call_at)


def _quota_wait(usage: Usage, limit: ProviderLimit, messages: int, at: float) -> float:
    """Seconds until the quota is whole again, where there is too little left of it."""
    if limit.daily_quota is None or usage.of_quota + messages <= limit.daily_quota:
        return 0.0
    return DAY_SECONDS - at % DAY_SECONDS


def _windows_wait(usage: Usage, limit: ProviderLimit, messages: int, share: float, at: float) -> float:
    """Seconds until every window has room for a call with so many messages."""
    weight, waits = limit.weight(messages), [0.0]
    for most, seconds in limit.windows:
        inside = _inside(usage, limit, seconds, at)
        free = max(weight, int(most * share)) - sum(taken.units for taken in inside)
        for taken in inside:
            if free >= weight:
                break
            free += taken.units
            waits.append(taken.at + _reckoned(limit, seconds) - at)
    return max(waits)


def _used(usage: Usage, limit: ProviderLimit, messages: int, begins: float) -> Usage:
    windows = dict(usage.windows)
    for _, seconds in limit.windows:
        taken = _inside(usage, limit, seconds, begins)
        units = limit.weight(messages)
        # What lies close together is counted as if it were all as late as the last of it.
        if len(taken) > 1 and begins - taken[-2].at < seconds / BUCKETS:
            units += taken.pop().units
        windows[_key(seconds)] = (*taken, Taken(begins, units))
    return replace(
        usage,
        windows=windows,
        next_call_at=begins + limit.spacing_seconds,
        of_quota=usage.of_quota + messages,
    )


def _inside(usage: Usage, limit: ProviderLimit, seconds: float, at: float) -> list[Taken]:
    """What was taken within the window that ends at this instant."""
    return [taken for taken in usage.windows.get(_key(seconds), ()) if taken.at > at - _reckoned(limit, seconds)]


def _reckoned(limit: ProviderLimit, seconds: float) -> float:
    """A window is reckoned longer than the provider's."""
    return seconds + 2 * slack_seconds(limit)


def _key(seconds: float) -> str:
    return f"{seconds:g}"
