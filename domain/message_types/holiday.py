"""Which public holidays does a user's country keep, and with which words are they greeted?"""

import re
import warnings
from datetime import date
from functools import cache, lru_cache
from typing import ClassVar, Final

from domain.message_type import NoSuchOccasion, Occasion
from domain.template import Template, Templated, Words
from domain.user import User

_TRAILING_PARENTHESES: Final = re.compile(r"(?:\s*\([^()]*\))+$")


class HolidayGreeting(Templated, frozen=True, kw_only=True):
    """Every public holiday of the country as a whole, one message a date; which those are the `holidays` package says."""

    name: str = "HOLIDAY_GREETING"
    annual: bool = False
    template: ClassVar = Template("Happy {{ holiday }}!", "Happy {{ holiday }}, {{ first_name }}!")
    samples: ClassVar[tuple[Words, ...]] = (
        {"first_name": "Ada", "last_name": "Lovelace", "holiday": "New Year's Day"},
        {"first_name": "Ada", "last_name": "", "holiday": "Eid al-Fitr"},
    )

    def occasions(self, user: User, start: date, end: date) -> list[Occasion]:
        if not user.country:
            return []
        kept = (day for year in range(start.year, end.year + 1) for day in holidays_of(user.country, year))
        return [Occasion(day) for day in kept if start <= day < end]

    def validate(self, user: User) -> str | None:
        if not user.country:
            return "No country is known."
        return None if _is_known(user.country) else f"No public holidays are known of {user.country}."

    def words(self, user: User, occasion: date) -> Words:
        """`holiday` is its English name."""
        holiday = holidays_of(user.country, occasion.year).get(occasion) if user.country else None
        if holiday is None:
            raise NoSuchOccasion("no public holiday on that date")
        return {"first_name": user.first_name, "last_name": user.last_name, "holiday": holiday}


@lru_cache(maxsize=4096)
def holidays_of(country: str, year: int) -> dict[date, str]:
    """The country's public holidays of a year by date, in order, in English; none for a country unknown to the package."""
    import holidays

    if not _is_known(country):
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a far year it knows only some, and warns; the rest is not guessed
        found = holidays.country_holidays(country, years=year, language="en_US", observed=False, expand=False)
    return {day: _greeted_name(found.get_list(day)) for day in sorted(found) if day.year == year}


def _is_known(country: str) -> bool:
    return country in _countries()


@cache
def _countries() -> frozenset[str]:
    from holidays.registry import EntityLoader  # `holidays.list_supported_countries` imports all 250 of them

    return frozenset(EntityLoader.get_country_codes())


def _greeted_name(names: list[str]) -> str:
    """ "Eid al-Fitr (estimated)" is greeted as Eid al-Fitr; names that share the day are joined."""
    return " and ".join(dict.fromkeys(_TRAILING_PARENTHESES.sub("", name) for name in names))


HOLIDAY_GREETING: Final = HolidayGreeting()
