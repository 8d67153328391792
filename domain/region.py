"""Through which region's queue does a zone's mail go?"""

from functools import cache
from types import MappingProxyType
from typing import Final

from domain.timezones import canonical

REGIONS: Final = ("americas", "europe", "africa", "asia", "oceania")

REGION_BY_PREFIX: Final = MappingProxyType(
    {
        "America": "americas",
        "US": "americas",
        "Canada": "americas",
        "Brazil": "americas",
        "Mexico": "americas",
        "Chile": "americas",
        "Atlantic": "americas",
        "Europe": "europe",
        "Arctic": "europe",
        "Africa": "africa",
        "Asia": "asia",
        "Indian": "asia",
        "Pacific": "oceania",
        "Australia": "oceania",
        "Antarctica": "oceania",
    }
)


@cache
def region_of(timezone: str) -> str:
    """The region of a zone by its own spelling; a bare name goes by its canonical zone; what is on no map is europe's."""
    named = timezone if "/" in timezone else canonical(timezone)
    return REGION_BY_PREFIX.get(named.partition("/")[0], "europe")


def seen_to_by(region: str) -> str:
    """The region itself; what is none is europe's to see to."""
    return region if region in REGIONS else "europe"
