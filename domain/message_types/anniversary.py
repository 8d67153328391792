"""When is an anniversary greeted, and with which words?"""

from datetime import date
from typing import ClassVar, Final

from domain.message_type import NoSuchOccasion, Occasion
from domain.recurrence import yearly
from domain.template import Template, Templated, Words
from domain.user import User


class Anniversary(Templated, frozen=True, kw_only=True):
    """Every year after the one it happened in."""

    name: str = "ANNIVERSARY"
    template: ClassVar = Template("Happy {{ years }} year anniversary!", "Happy {{ years }} year anniversary, {{ first_name }}!")
    samples: ClassVar[tuple[Words, ...]] = (
        {"first_name": "Ada", "last_name": "Lovelace", "years": 1},
        {"first_name": "Ada", "last_name": "", "years": 50},
    )

    def occasions(self, user: User, start: date, end: date) -> list[Occasion]:
        if user.anniversary is None:
            return []
        first_full_year = date(user.anniversary.year + 1, 1, 1)
        return yearly(user.anniversary.month, user.anniversary.day, max(start, first_full_year), end, self.leap_day)

    def validate(self, user: User) -> str | None:
        return None if user.anniversary else "No anniversary is known."

    def words(self, user: User, occasion: date) -> Words:
        if user.anniversary is None or user.anniversary.year >= occasion.year:
            raise NoSuchOccasion("no full year has passed")
        years = occasion.year - user.anniversary.year
        return {"first_name": user.first_name, "last_name": user.last_name, "years": years}


ANNIVERSARY: Final = Anniversary()
