"""Are exactly the pinned database's zones accepted, and grouped under their own names? (docs/calendar.md 5, 6, 7)"""

import zoneinfo
from datetime import UTC, date, datetime
from importlib import import_module
from importlib.resources import files

import pytest

from domain.timezones import NAMES, TZDATA_VERSION, canonical, local_date, nearest, zone


def test_the_names_are_those_of_the_pinned_package_without_factory() -> None:
    pinned = files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()

    assert set(pinned) - {"Factory"} == NAMES
    assert zoneinfo.TZPATH == ()


def test_the_version_is_the_one_of_the_pinned_package() -> None:

    assert import_module("tzdata").IANA_VERSION == TZDATA_VERSION


def test_the_operating_systems_older_rules_are_not_read() -> None:
    # Alberta stays on UTC-6 from 2026 on: 2025b, which operating systems still carry, says 16:00Z.
    due = datetime(2026, 12, 15, 9, tzinfo=zone("America/Edmonton"))

    assert due.astimezone(UTC).hour == 15


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_resolves_and_its_canonical_zone_keeps_the_same_time(name: str) -> None:
    now = datetime(2027, 7, 1, 12, tzinfo=UTC)

    assert canonical(canonical(name)) == canonical(name) in NAMES
    assert now.astimezone(zone(name)).replace(tzinfo=None) == now.astimezone(zone(canonical(name))).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("Europe/Kiev", "Europe/Kyiv"),
        ("US/Eastern", "America/New_York"),
        ("UTC", "Etc/UTC"),
        ("Japan", "Asia/Tokyo"),
        ("Asia/Kolkata", "Asia/Kolkata"),
    ],
)
def test_a_renamed_or_linked_zone_is_grouped_under_its_canonical_name(name: str, target: str) -> None:
    assert name in NAMES
    assert canonical(name) == target


@pytest.mark.parametrize(
    ("refused", "guess"),
    [
        ("europe/paris", "Europe/Paris"),
        ("europe/paris ", "Europe/Paris"),
        ("UTC+5", "Etc/GMT-5"),
        ("UTC+05:00", "Etc/GMT-5"),
        ("GMT-3:00", "Etc/GMT+3"),
        ("GMT+14", "Etc/GMT-14"),
        ("America/Calcutta", "Asia/Calcutta"),
        ("new york", "America/New_York"),
        ("Us/Estern", "US/Eastern"),
        ("Europe/Kyiw", "Europe/Kyiv"),
        ("UTC+5:30", None),
        ("UTC+15", None),
        ("PST", None),
        ("Mars/Olympus", None),
        ("", None),
        ("A" * 5000, None),
    ],
)
def test_a_refused_zone_comes_with_the_name_that_was_meant(refused: str, guess: str | None) -> None:
    assert refused not in NAMES
    assert nearest(refused) == guess


@pytest.mark.parametrize(
    ("timezone", "there"),
    [
        ("Pacific/Kiritimati", date(2027, 3, 2)),
        ("Pacific/Chatham", date(2027, 3, 2)),
        ("Asia/Kathmandu", date(2027, 3, 1)),
        ("Etc/GMT+12", date(2027, 2, 28)),
    ],
)
def test_the_same_instant_has_another_date_elsewhere(timezone: str, there: date) -> None:
    assert local_date(datetime(2027, 3, 1, 10, 30, tzinfo=UTC), timezone) == there
