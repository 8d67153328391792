"""What falls due when, and how long does each herd take to leave through the provider's rate limit?"""

import heapq
import math
import sys
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from application.channel_plan import USUAL_PRIORITY, ChannelPlan, ChannelTraits
from application.provider_limit import DAY_SECONDS
from domain.delivery_policy import ITS_MINUTE, WINDOW, send_before
from domain.message_type import MessageTypes
from domain.timezones import local_date


class Load(Struct, frozen=True):
    """How much of one type is pending in one zone for one UTC minute."""

    minute: datetime
    timezone: str  # canonical
    message_type: str
    messages: int


class RateLimit(Struct, frozen=True):
    """At most so many messages within any stretch of so many seconds."""

    messages: int
    per_seconds: float


UNLIMITED: Final = RateLimit(sys.maxsize, 1.0)


class DueInZone(Struct, frozen=True):
    """How much falls due in one minute in one zone."""

    minute: datetime
    timezone: str  # canonical
    messages: int


class Herd(Struct, frozen=True, kw_only=True):
    """Everything that falls due in one minute. Without a rate limit nobody can say when it is through."""

    minute: datetime
    messages: int
    drained_at: datetime | None = None  # nothing of it waits any more
    drain_seconds: int | None = None  # from the minute on, herds before it included
    late: int | None = None  # sent a minute after the due instant, or later
    expired: int | None = None  # not sent: past the late window


class Forecast(Struct, frozen=True, kw_only=True):
    """Due instants in [from, to). The planner is at least 48 hours ahead, so all of them are known up to `planned_until`."""

    start: datetime = msgspec.field(name="from")
    end: datetime = msgspec.field(name="to")
    planned_until: datetime
    rates: dict[str, RateLimit]  # of the channels that have one
    waiting: int  # due by now, and before all others where they are as urgent
    messages: int
    late: int | None
    expired: int | None
    peak: Herd | None  # the largest, the first of equals
    herds: list[Herd]
    items: list[DueInZone]


def rate_limit(channel: ChannelTraits) -> RateLimit | None:
    """The tightest of its limits in messages, whichever way the provider counts. No bulk call holds more than one dispatch."""
    limit = channel.limit
    if limit is None:
        return None
    calls_a_dispatch = math.ceil(channel.most_members / channel.bulk)
    in_calls = [(1, limit.spacing_seconds)] if limit.spacing_seconds else []
    in_calls += limit.windows if limit.unit == "calls" else ()
    found = [RateLimit(max(1, calls * channel.most_members // calls_a_dispatch), seconds) for calls, seconds in in_calls]
    found += [RateLimit(most, seconds) for most, seconds in limit.windows if limit.unit == "messages"]
    found += [RateLimit(limit.daily_quota, DAY_SECONDS)] if limit.daily_quota else []
    return min(found, key=lambda one: one.messages / one.per_seconds)


def forecast_load(
    loads: Sequence[Load], types: MessageTypes, channels: ChannelPlan, *, now: datetime, start: datetime, end: datetime
) -> Forecast:
    """`loads` is everything pending that is due before `end`, what is due already included, since it takes its part of the rate.

    Each goes through the first channel of its type. Calls take no time here and none is refused: the limits alone are reckoned
    with. Due instants count as their minute.
    """
    start = start.replace(second=0, microsecond=0)
    rates = {channel.name: rate for channel in channels.channels if (rate := rate_limit(channel))}
    through: dict[str, list[_Waiting]] = {name: [] for name in channels.names}
    for load in loads:
        through[channels.channel_of(load.message_type)].append(_Waiting.of(load, types, now))
    # Without any limit nobody can say; beside one, a channel without a limit holds nothing up.
    fates = [fate for name, waiting in through.items() for fate in _drained(waiting, rates.get(name, UNLIMITED))] if rates else []
    by_minute: dict[datetime, list[_Waiting]] = {}
    for fate in fates:
        by_minute.setdefault(fate.due_at, []).append(fate)
    sizes: Counter[datetime] = Counter()
    zones: Counter[tuple[datetime, str]] = Counter()
    for load in loads:
        if load.minute >= start:
            sizes[load.minute] += load.messages
            zones[load.minute, load.timezone] += load.messages
    herds = [_herd(minute, messages, by_minute.get(minute)) for minute, messages in sorted(sizes.items())]
    return Forecast(
        start=start,
        end=end,
        planned_until=now + WINDOW,
        rates=rates,
        waiting=sum(load.messages for load in loads if load.minute <= now),
        messages=sizes.total(),
        late=sum(herd.late or 0 for herd in herds) if rates else None,
        expired=sum(herd.expired or 0 for herd in herds) if rates else None,
        peak=max(herds, key=lambda herd: herd.messages, default=None),
        herds=herds,
        items=[DueInZone(*key, messages) for key, messages in sorted(zones.items())],
    )


def _herd(minute: datetime, messages: int, parts: Sequence["_Waiting"] | None) -> Herd:
    if parts is None:
        return Herd(minute=minute, messages=messages)
    drained_at = max(part.drained_at for part in parts)
    return Herd(
        minute=minute,
        messages=messages,
        drained_at=drained_at,
        drain_seconds=math.ceil((drained_at - minute).total_seconds()),
        late=sum(part.late for part in parts),
        expired=sum(part.expired for part in parts),
    )


class _Waiting(Struct):
    """A load on its way out."""

    priority: int
    due_at: datetime
    ready_at: datetime
    send_before: datetime
    left: int
    drained_at: datetime
    late: int = 0
    expired: int = 0

    @classmethod
    def of(cls, load: Load, types: MessageTypes, now: datetime) -> "_Waiting":
        kind = types.get(load.message_type)
        ready_at = max(load.minute, now)
        return cls(
            priority=types.priorities.get(load.message_type, USUAL_PRIORITY),
            due_at=load.minute,
            ready_at=ready_at,
            send_before=send_before(
                local_date(load.minute, load.timezone), load.timezone, load.minute, kind.late_window if kind else None
            ),
            left=load.messages,
            drained_at=ready_at,
        )


def _drained(loads: Iterable[_Waiting], rate: RateLimit) -> list[_Waiting]:
    """Each as it will be in the end: what is ready goes by urgency, as much at once as the window before that instant lets."""
    coming = sorted(loads, key=lambda load: load.ready_at)
    waiting: list[tuple[int, datetime, int]] = []
    per = timedelta(seconds=rate.per_seconds)
    sent: deque[tuple[datetime, int]] = deque()  # within the last `per`
    room, arrived, at = rate.messages, 0, datetime.min.replace(tzinfo=UTC)
    while waiting or arrived < len(coming):
        if not waiting:
            at = max(at, coming[arrived].ready_at)
        while arrived < len(coming) and coming[arrived].ready_at <= at:
            heapq.heappush(waiting, (coming[arrived].priority, coming[arrived].due_at, arrived))
            arrived += 1
        while sent and sent[0][0] + per <= at:
            room += sent.popleft()[1]
        load = coming[waiting[0][2]]
        if load.send_before <= at:
            load.expired, load.left = load.left, 0
            load.drained_at = max(load.drained_at, load.send_before)
        elif room:
            leaving = min(room, load.left)
            room, load.left, load.drained_at = room - leaving, load.left - leaving, at
            load.late += leaving if at - load.due_at >= ITS_MINUTE else 0
            sent.append((at, leaving))
        else:
            at = sent[0][0] + per
        if not load.left:
            heapq.heappop(waiting)
    return coming
