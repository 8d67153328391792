"""Does every send time of a day have exactly one instant in every zone? Judged only by what clocks there show (UTC → local)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from math import gcd
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from domain.send_time import DueInstant, due_instant

FIRST: Final = date(1970, 1, 1)
LAST: Final = date(2037, 12, 31)
ORDINARY_DAYS: Final = 50
QUARTERS: Final = tuple(time(hour, minute) for hour in range(24) for minute in (0, 15, 30, 45))
A_DAY: Final = timedelta(days=1)
A_SECOND: Final = timedelta(seconds=1)
COARSE: Final = timedelta(hours=6)
AROUND: Final = timedelta(days=3)  # no clock was ever set further than a day
QUARTER_SECONDS: Final = 900

Shown = dict[datetime, list[datetime]]
"""Wall time → the instants at which the clocks show it, in order."""


def prove_zone(name: str, first: date = FIRST, last: date = LAST, ordinary_days: int = ORDINARY_DAYS) -> Counter[str]:
    """Try every quarter of every day around each change of the clocks and of some seeded ordinary days; how many of each rule.

    Raises AssertionError with the zone, the day and the time.
    """
    zone, found = ZoneInfo(name), Counter[str]()
    changes = list(clock_changes(zone, first, last))
    found["transitions"] = len(changes)
    days = {day + A_DAY * step for change in changes for day in dates_around(zone, change) for step in (-1, 0, 1)}
    random = Random(name)
    days |= {first + A_DAY * random.randrange((last - first).days + 1) for _ in range(ordinary_days)}
    for run in runs(days):
        found += _prove_run(name, zone, run)
    return found


def wall(zone: ZoneInfo, instant: datetime) -> datetime:
    """What the clocks show at an instant."""
    return instant.astimezone(zone).replace(tzinfo=None)


def clock_changes(zone: ZoneInfo, first: date, last: date) -> Iterator[datetime]:
    """The instants from which on the clocks run differently, to the second."""
    instant, end = _midnight(first), _midnight(last) + A_DAY
    while instant < end:
        after = instant + COARSE
        if wall(zone, after) - wall(zone, instant) != COARSE:
            low, high = instant, after
            while high - low > A_SECOND:
                middle = low + (high - low) // 2
                middle = middle.replace(microsecond=0)
                still = wall(zone, middle) - wall(zone, low) == middle - low
                low, high = (middle, high) if still else (low, middle)
            yield high
        instant = after


def dates_around(zone: ZoneInfo, change: datetime) -> set[date]:
    return {wall(zone, change - A_SECOND).date(), wall(zone, change).date()}


def runs(days: Iterable[date]) -> Iterator[list[date]]:
    """The days in order, those that follow each other together."""
    run: list[date] = []
    for day in sorted(days):
        if run and day - run[-1] > A_DAY:
            yield run
            run = []
        run.append(day)
    if run:
        yield run


def shown_around(zone: ZoneInfo, run: list[date]) -> Shown:
    """Everything the clocks show at every instant at which they may show a quarter of an hour."""
    start, end = _midnight(run[0]) - AROUND, _midnight(run[-1]) + AROUND
    offsets = {_offset_seconds(zone, start + COARSE * step) for step in range((end - start) // COARSE + 1)}
    step = timedelta(seconds=gcd(QUARTER_SECONDS, *offsets))
    shown: Shown = defaultdict(list)
    for count in range((end - start) // step):
        instant = start + step * count
        shown[wall(zone, instant)].append(instant)
    return dict(shown)


def expected(shown: Shown, day: date, at: time) -> tuple[datetime, str]:
    """When that send time is due, by the page's cases 2 to 4, and by which rule."""
    asked = datetime.combine(day, at)
    if instants := shown.get(asked):
        return instants[0], "plain" if len(instants) == 1 else "overlap"
    if not any(each.date() == day for each in shown):
        after = min(each for each in shown if each > asked and each.time() == at)
        return shown[after][0], "skipped_day"
    before, after = _edges(shown, asked)
    gap = (after - before) - (shown[after][0] - shown[before][-1])
    return shown[asked + gap][0], "gap"


def _edges(shown: Shown, asked: datetime) -> tuple[datetime, datetime]:
    """What the clocks show last before, and first after, a time they never show."""
    return max(each for each in shown if each < asked), min(each for each in shown if each > asked)


def _prove_run(name: str, zone: ZoneInfo, run: list[date]) -> Counter[str]:
    shown, found = shown_around(zone, run), Counter[str]()
    for at in QUARTERS:
        dues = [(day, due_instant(day, at, name)) for day in run]
        for day, due in dues:
            assert (due.due_at, due.rule) == expected(shown, day, at), f"{name} {day} {at}: {due}"
            assert wall(zone, due.due_at) >= datetime.combine(day, at), f"{name} {day} {at}: before the local time was reached"
            found[due.rule] += 1
        _never_twice(name, at, dues)
    return found


def _never_twice(name: str, at: time, dues: list[tuple[date, DueInstant]]) -> None:
    """Each day's instant comes after the last one's; only a skipped day's meets the day after it."""
    for (day, due), (_, following) in pairwise(dues):
        meets = due.rule == "skipped_day" and due.due_at == following.due_at
        assert meets or due.due_at < following.due_at, f"{name} {day} {at}: the same instant as the day after"


def _offset_seconds(zone: ZoneInfo, instant: datetime) -> int:
    return int((wall(zone, instant) - instant.replace(tzinfo=None)).total_seconds())


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
