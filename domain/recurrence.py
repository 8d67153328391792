"""On which dates does a day that comes once a year fall?"""

from calendar import isleap
from datetime import date
from functools import lru_cache

from domain.message_type import LeapDay, Occasion


def yearly(month: int, day: int, start: date, end: date, leap_day: LeapDay) -> list[Occasion]:
    """The occasions of `month`/`day` in [start, end), sorted; Feb 29 in a common year goes by `leap_day`."""
    return list(_yearly(month, day, start, end, leap_day))


@lru_cache(maxsize=65_536)  # whoever is planned in one go is asked about the same few days
def _yearly(month: int, day: int, start: date, end: date, leap_day: LeapDay) -> tuple[Occasion, ...]:
    years = range(start.year, end.year + 1)
    found = (_in_year(year, month, day, leap_day) for year in years)
    return tuple(occasion for occasion in found if occasion and start <= occasion.date < end)


def _in_year(year: int, month: int, day: int, leap_day: LeapDay) -> Occasion | None:
    if (month, day) != (2, 29) or isleap(year):
        return Occasion(date(year, month, day))
    if leap_day == "skip":
        return None
    return Occasion(date(year, 2, 28), "leap_feb28") if leap_day == "feb28" else Occasion(date(year, 3, 1), "leap_mar1")
