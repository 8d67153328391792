"""Does every zone's mail have its queue?"""

import pytest

from domain.region import REGIONS, region_of, seen_to_by
from domain.timezones import NAMES


@pytest.mark.parametrize(
    ("timezone", "region"),
    [
        ("America/New_York", "americas"),
        ("America/Argentina/Buenos_Aires", "americas"),
        ("US/Hawaii", "americas"),
        ("Canada/Pacific", "americas"),
        ("Brazil/East", "americas"),
        ("Mexico/General", "americas"),
        ("Chile/EasterIsland", "americas"),
        ("Atlantic/Reykjavik", "americas"),
        ("Europe/London", "europe"),
        ("Arctic/Longyearbyen", "europe"),
        ("Africa/Lagos", "africa"),
        ("Asia/Kolkata", "asia"),
        ("Indian/Maldives", "asia"),
        ("Pacific/Apia", "oceania"),
        ("Australia/Sydney", "oceania"),
        ("Antarctica/Troll", "oceania"),
        ("Japan", "asia"),
        ("Cuba", "americas"),
        ("Egypt", "africa"),
        ("NZ", "oceania"),
        ("EST5EDT", "europe"),
        ("UTC", "europe"),
        ("Etc/GMT+12", "europe"),
    ],
)
def test_a_zones_mail_goes_through(timezone: str, region: str) -> None:
    assert region_of(timezone) == region


def test_what_is_no_region_is_seen_to_all_the_same() -> None:
    assert [seen_to_by(region) for region in ("asia", "atlantis", "")] == ["asia", "europe", "europe"]


def test_no_zone_is_without_a_region() -> None:
    assert {region_of(name) for name in NAMES} == set(REGIONS)
