"""Does a sample of what `make prove` proves in full hold?"""

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import pytest

from domain.timezones import NAMES
from tests.prove import decade
from tests.prove.any_life import try_lives
from tests.prove.decade import Outage
from tests.prove.every_zone import prove_zone

RANDOM = Random(9)
SAMPLE = RANDOM.sample(sorted(NAMES), 60)
YEARS = {name: RANDOM.randrange(1970, 2036) for name in SAMPLE}
OUTAGE = Outage(datetime(2028, 2, 28, 8, 30, tzinfo=UTC), datetime(2028, 2, 29, 20, 30, tzinfo=UTC))


def test_every_send_time_of_sixty_zones_has_its_instant_over_two_years() -> None:
    found: Counter[str] = Counter()
    for name, year in YEARS.items():
        found += prove_zone(name, date(year, 1, 1), date(year + 1, 12, 31), ordinary_days=2)

    assert found["plain"] > 10_000
    assert found["gap"] > 50
    assert found["overlap"] > 50


@pytest.mark.parametrize(
    ("name", "year", "rule"),
    [
        ("Pacific/Apia", 2011, "skipped_day"),
        ("Pacific/Kwajalein", 1993, "skipped_day"),
        ("Australia/Lord_Howe", 2027, "gap"),
        ("Antarctica/Troll", 2027, "overlap"),
        ("Africa/Monrovia", 1972, "gap"),
        ("Asia/Gaza", 2030, "overlap"),
    ],
)
def test_the_odd_years_of_odd_zones_hold(name: str, year: int, rule: str) -> None:
    assert prove_zone(name, date(year, 1, 1), date(year, 12, 31), ordinary_days=2)[rule]


def test_a_hundred_lives_of_a_year_end_well() -> None:
    ended = try_lives(100, start_from=2)

    assert ended["sent"] > 20
    assert len(ended) > 5


@pytest.mark.parametrize("outage", [None, OUTAGE], ids=["nothing-happens", "an-outage-over-the-leap-day"])
def test_the_days_around_a_leap_day_are_as_the_script_says(tmp_path: Path, outage: Outage | None) -> None:
    first, after, out = date(2028, 2, 27), date(2028, 3, 2), tmp_path / "days.csv"
    decade.simulated(out, first, after, outage)

    ended = decade.judge(out, first, after, outage)
    assert ended["sent"] > 50
    assert not outage or (ended["sent late"] and ended["expired late_window"])
