"""`ninebell forecast`: what falls due in the next 48 hours, and does the provider's rate limit let it out in time?"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import msgspec
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from application.forecast_load import DueInZone, Forecast, Herd, forecast_load
from domain.delivery_policy import WINDOW
from ops.at_hand import at_hand
from ops.channel_settings import ChannelSettings
from ops.settings import Settings, WrongSettings
from ops.watching import limits_told
from ops.wiring import Parts
from projections import messages_by_timezone
from projections.messages_by_timezone import MESSAGES_BY_TIMEZONE

MOST_HERDS: Final = 20
NEEDED: Final = (MESSAGES_BY_TIMEZONE.name, "planner")


def forecast(settings: Settings, rate: str | None, *, as_json: bool) -> int:
    """Always 0. `rate` is CALLS/PER, in place of the configured one. Raises WrongSettings for another form."""
    limit = _supposed(rate).limit if rate else None
    with at_hand(settings, "forecast") as parts:
        now = parts.clock.now()
        with parts.database.transaction() as cursor:
            loads = messages_by_timezone.load(cursor, now + WINDOW)
        notes = _behind(parts, now) + ([] if limit else _used_up(parts))
        channels = parts.channels.limited_to(limit) if limit else parts.channels
    found = forecast_load(loads, parts.types, channels, now=now, start=now, end=now + WINDOW)
    for line in notes:
        print(line, file=sys.stderr)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    else:
        _show(found)
    return 0


def _supposed(rate: str) -> ChannelSettings:
    calls, _, per = rate.partition("/")
    try:
        return ChannelSettings.model_validate({"rate": {"calls": int(calls), "per": per}})
    except (ValidationError, ValueError) as error:
        raise WrongSettings("--rate must be CALLS/PER, as in 100/60s") from error


def _behind(parts: Parts, now: datetime) -> list[str]:
    """What has happened and is not in the numbers yet."""
    lags = {follower.name: follower.lag_events for follower in parts.followers.status(now)}
    return [f"{name} is behind by {lags[name]:,}: what these events bring is missing here" for name in NEEDED if lags[name]]


def _used_up(parts: Parts) -> list[str]:
    """Where nothing leaves yet, though the numbers suppose that nothing of a limit is used."""
    return [f"{name} {said}; the forecast does not know of that" for name, said in limits_told(parts).items()]


def _show(found: Forecast) -> None:
    console = Console(highlight=False)
    if found.peak is None:
        console.print(f"Nothing falls due up to {_minute(found.end)}; {found.waiting:,} messages are due by now.")
        return
    console.print(_table(found))
    if len(found.herds) > MOST_HERDS:
        console.print(f"The {MOST_HERDS} largest of {len(found.herds):,} minutes; --json has them all.")
    console.print(f"{found.messages:,} messages fall due from {_minute(found.start)} to {_minute(found.end)}, ", end="")
    console.print(f"at the peak {found.peak.messages:,} in the minute of {_minute(found.peak.minute)}.")
    console.print(f"{found.waiting:,} are due by now.")
    for line in _limits(found):
        console.print(line, markup=False, soft_wrap=True)


def _table(found: Forecast) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("UTC minute", no_wrap=True)
    for number in ("messages", "drained in", "late", "expired"):
        table.add_column(number, justify="right")
    table.add_column("zones")
    zones = defaultdict(list)
    for item in found.items:
        zones[item.minute].append(item)
    largest = sorted(found.herds, key=lambda herd: (-herd.messages, herd.minute))[:MOST_HERDS]
    for herd in sorted(largest, key=lambda herd: herd.minute):
        table.add_row(f"{herd.minute:%m-%d %H:%M}", f"{herd.messages:,}", *_fate(herd), _zones(zones[herd.minute]))
    return table


def _fate(herd: Herd) -> tuple[str, str, str]:
    if herd.drain_seconds is None:
        return "", "", ""
    minutes, seconds = divmod(herd.drain_seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}", f"{herd.late:,}", f"{herd.expired:,}"


def _zones(items: Iterable[DueInZone]) -> str:
    largest, *others = sorted(items, key=lambda item: (-item.messages, item.timezone))
    return f"{largest.timezone} {largest.messages:,}" + (f" and {len(others)} more" if others else "")


def _limits(found: Forecast) -> Iterator[str]:
    if not found.rates:
        yield "No channel has a rate: the provider alone decides how long a herd takes. --rate 100/60s supposes one."
        return
    for name, rate in found.rates.items():
        yield f"Through {name} go at most {rate.messages:,} within any {rate.per_seconds:g} s."
    yield f"With calls that take no time, {found.late:,} would be late and {found.expired:,} too late to be sent."


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"
