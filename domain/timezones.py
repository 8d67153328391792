"""Which time zones exist, what is each really called, and which local date is it there?"""

import re
import zoneinfo
from datetime import date, datetime
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

# Only the pinned package is read: the operating system's copy may be years older, and every machine must find the same instant.
zoneinfo.reset_tzpath(to=())
ZoneInfo.clear_cache()

_SOURCE: Final = files("tzdata").joinpath("zoneinfo", "tzdata.zi").read_text(encoding="utf-8").splitlines()
_LINKS: Final = {alias: target for line in _SOURCE if line.startswith("L ") for _, target, alias in [line.split()]}

TZDATA_VERSION: Final = _SOURCE[0].removeprefix("# version ")
"""The IANA version in use, e.g. "2026f"."""

NAMES: Final = frozenset(zoneinfo.available_timezones()) - {"Factory"}
"""Every name a person may live under: the zones and links of the pinned package, spelled exactly so."""

_FIXED_OFFSET: Final = re.compile(r"(?:utc|gmt|z)?\s*([+-])0?(\d{1,2})(?::?00)?")
_BY_LOWER: Final = {name.lower(): name for name in sorted(NAMES)}
_BY_CITY: Final = {name.lower().rpartition("/")[2]: name for name in sorted(NAMES) if "/" in name and name not in _LINKS}
_CITY_ALIASES: Final = {name.lower().rpartition("/")[2]: name for name in sorted(NAMES) if "/" in name}
_LONGEST_GUESS: Final = 64
_CLOSE: Final = 0.75  # at difflib's own 0.6 PST would be taken for MST


def canonical(name: str) -> str:
    """The zone that a link finally points to; a zone is its own. The source is `tzdata.zi` of the pinned package."""
    while name in _LINKS:
        name = _LINKS[name]
    return name


@lru_cache(maxsize=1024)
def nearest(name: str) -> str | None:
    """The accepted name that was probably meant, for an error message; None where any guess would mislead."""
    wanted = name.strip().lower().replace(" ", "_")
    if not wanted or len(wanted) > _LONGEST_GUESS:
        return None
    if wanted in _BY_LOWER:
        return _BY_LOWER[wanted]
    if offset := _FIXED_OFFSET.fullmatch(wanted):
        return _fixed_offset(*offset.groups())
    city = wanted.rpartition("/")[2]
    if city in _CITY_ALIASES:
        return _BY_CITY.get(city, _CITY_ALIASES[city])
    close = get_close_matches(wanted, _BY_LOWER, n=1, cutoff=_CLOSE)
    return _BY_LOWER[close[0]] if close else None


def _fixed_offset(sign: str, hours: str) -> str | None:
    # POSIX counts westwards: five hours east of Greenwich is Etc/GMT-5.
    name = f"Etc/GMT{'-' if sign == '+' else '+'}{int(hours)}"
    return name if name in NAMES else None


@cache
def zone(name: str) -> ZoneInfo:
    """The rules of the zone `name`. Raises zoneinfo.ZoneInfoNotFoundError."""
    return ZoneInfo(name)


def local_date(now: datetime, timezone: str) -> date:
    """Which date the calendar on the wall shows in `timezone` at the instant `now`."""
    return now.astimezone(zone(timezone)).date()
