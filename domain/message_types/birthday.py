"""When is a birthday greeted, and with which words?"""

from datetime import date
from typing import Final

from domain.message_type import NoSuchOccasion, Occasion, Rendered, Settings
from domain.recurrence import yearly
from domain.user import User
from domain.wording import single_spaced

TEMPLATE_VERSION: Final = 1


class Birthday(Settings, frozen=True, kw_only=True):
    """Every year from the day of birth itself on; without a birth year, every year."""

    name: str = "BIRTHDAY"

    def occasions(self, user: User, start: date, end: date) -> list[Occasion]:
        if not user.birthday:
            return []
        year, month, day = _parts(user.birthday)
        born = date(year, month, day) if year else date.min
        return yearly(month, day, max(start, born), end, self.leap_day)

    def validate(self, user: User) -> str | None:
        return None if user.birthday else "No birthday is known."

    def render(self, user: User, occasion: date) -> Rendered:
        if not user.birthday:
            raise NoSuchOccasion("no birthday is known")
        return Rendered(
            "Happy birthday!", single_spaced(f"Hey, {user.first_name} {user.last_name} it's your birthday"), TEMPLATE_VERSION
        )


def _parts(birthday: str) -> tuple[int | None, int, int]:
    """Year if known, month, day of "1990-05-15" or "--05-15"."""
    year, month, day = birthday[:-6], birthday[-5:-3], birthday[-2:]
    return (int(year) if year != "-" else None), int(month), int(day)


BIRTHDAY: Final = Birthday()
