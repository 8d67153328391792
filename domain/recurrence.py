"""On which dates does a day that comes once a year fall?"""

from calendar import isleap
from datetime import date

from domain.message_type import LeapDay, Occasion


def yearly(month: int, day: int, start: date, end: date, leap_day: LeapDay) -> list[Occasion]:
    """The occasions of `month`/`day` in [start, end), sorted; Feb 29 in a common year goes by `leap_day`."""
    years = range(start.year, end.year + 1)
    found = (_in_year(year, month, day, leap_day) for year in years)
    return [occasion for occasion in found if occasion and start <= occasion.date < end]


def _in_year(year: int, month: int, day: int, leap_day: LeapDay) -> Occasion | None:
    if (month, day) != (2, 29) or isleap(year):
        return Occasion(date(year, month, day))
    if leap_day == "skip":
        return None
    return Occasion(date(year, 2, 28), "leap_feb28") if leap_day == "feb28" else Occasion(date(year, 3, 1), "leap_mar1")
