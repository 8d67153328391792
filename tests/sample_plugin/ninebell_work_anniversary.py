"""When has somebody been so many years with their company, by what the company says of them?"""

from datetime import date, time
from typing import ClassVar

from domain.message_type import NoSuchOccasion, Occasion
from domain.recurrence import yearly
from domain.template import Template, Templated, Words
from domain.user import User


class WorkAnniversary(Templated, frozen=True, kw_only=True):
    """Yearly from the first full year on. Of each user's attributes it reads `hired_on` (YYYY-MM-DD) and `team`."""

    name: str = "WORK_ANNIVERSARY"
    send_time: time = time(8, 30)
    template: ClassVar = Template(
        "{{ years }} years with us", "{{ first_name }}, the {{ team }} team has had you for {{ years }} years!"
    )
    samples: ClassVar[tuple[Words, ...]] = ({"first_name": "Ada", "team": "Engines", "years": 3},)

    def validate(self, user: User) -> str | None:
        return None if "hired_on" in user.attributes else "The attribute hired_on is not given."

    def occasions(self, user: User, start: date, end: date) -> list[Occasion]:
        hired_on = date.fromisoformat(user.attributes["hired_on"])
        return yearly(hired_on.month, hired_on.day, max(start, date(hired_on.year + 1, 1, 1)), end, self.leap_day)

    def words(self, user: User, occasion: date) -> Words:
        years = occasion.year - date.fromisoformat(user.attributes["hired_on"]).year
        if years < 1:
            raise NoSuchOccasion("no full year has passed")
        return {"first_name": user.first_name, "team": user.attributes["team"], "years": years}

    def on_register(self) -> None:
        """Ninebell calls it in each process that uses this type; a connection could be opened here."""

    def on_unregister(self) -> None:
        """Ninebell calls it when such a process ends in order."""
