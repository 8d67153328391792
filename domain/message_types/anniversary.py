"""When is an anniversary greeted, and with which words?"""

from datetime import date
from typing import Final

from domain.message_type import NoSuchOccasion, Occasion, Rendered, Settings
from domain.recurrence import yearly
from domain.user import User
from domain.wording import single_spaced

TEMPLATE_VERSION: Final = 1


class Anniversary(Settings, frozen=True, kw_only=True):
    """Every year after the one it happened in."""

    name: str = "ANNIVERSARY"

    def occasions(self, user: User, start: date, end: date) -> list[Occasion]:
        if user.anniversary is None:
            return []
        first_full_year = date(user.anniversary.year + 1, 1, 1)
        return yearly(user.anniversary.month, user.anniversary.day, max(start, first_full_year), end, self.leap_day)

    def validate(self, user: User) -> str | None:
        return None if user.anniversary else "No anniversary is known."

    def render(self, user: User, occasion: date) -> Rendered:
        if user.anniversary is None or user.anniversary.year >= occasion.year:
            raise NoSuchOccasion("no full year has passed")
        years = f"Happy {occasion.year - user.anniversary.year} year anniversary"
        return Rendered(f"{years}!", single_spaced(f"{years}, {user.first_name}!"), TEMPLATE_VERSION)


ANNIVERSARY: Final = Anniversary()
