"""When is a birthday greeted, and with which words?"""

from datetime import date
from typing import ClassVar, Final

from domain.message_type import NoSuchOccasion, Occasion
from domain.recurrence import yearly
from domain.template import Template, Templated, Words
from domain.user import User


class Birthday(Templated, frozen=True, kw_only=True):
    """Every year from the day of birth itself on; without a birth year, every year."""

    name: str = "BIRTHDAY"
    template: ClassVar = Template("Happy birthday!", "Hey, {{ first_name }} {{ last_name }} it's your birthday")
    samples: ClassVar[tuple[Words, ...]] = (
        {"first_name": "Ada", "last_name": "Lovelace", "age": 36},
        {"first_name": "Ada", "last_name": "", "age": None},
    )

    def occasions(self, user: User, start: date, end: date) -> list[Occasion]:
        if not user.birthday:
            return []
        if user.birthday.startswith("--"):
            _, month, day = _parts(user.birthday)
            return yearly(month, day, start, end, self.leap_day)
        born = date.fromisoformat(user.birthday)
        return yearly(born.month, born.day, max(start, born), end, self.leap_day)

    def validate(self, user: User) -> str | None:
        return None if user.birthday else "No birthday is known."

    def words(self, user: User, occasion: date) -> Words:
        """`age` is None where the year of birth is not known."""
        if not user.birthday:
            raise NoSuchOccasion("no birthday is known")
        year, _, _ = _parts(user.birthday)
        age = occasion.year - year if year else None
        return {"first_name": user.first_name, "last_name": user.last_name, "age": age}


def _parts(birthday: str) -> tuple[int | None, int, int]:
    """Year if known, month, day of "1990-05-15" or "--05-15"."""
    year, month, day = birthday[:-6], birthday[-5:-3], birthday[-2:]
    return (int(year) if year != "-" else None), int(month), int(day)


BIRTHDAY: Final = Birthday()
