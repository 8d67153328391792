"""Which vectors does the documentation's page name? They are read from it, so that what it says is what is tested."""

import re
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Struct
from msgspec.structs import replace

from domain.message_type import MessageTypes, registry
from domain.user import User

PAGE: Final = Path(__file__).parents[2] / "docs" / "calendar.md"
OLD_ENOUGH: Final = date(1970, 1, 1)


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading, the cells without white space."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def vectors(heading: str) -> list[Any]:
    """One parameter set for each row, named by its case: case_09-..."""
    return [pytest.param(*row[1:], id=f"case_{int(row[0]):02}-{_words(row[1:])}") for row in table(heading)]


def cases(heading: str) -> set[int]:
    return {int(row[0]) for row in table(heading)}


def _words(cells: list[str]) -> str:
    return re.sub(r"[^\w:+-]+", "_", "-".join(cells)).strip("-_")


class Who(Struct, frozen=True):
    """A person as the page describes one, and the types as they are set for the vector."""

    facts: dict[str, Any]
    types: MessageTypes

    @property
    def user(self) -> User:
        details: dict[str, Any] = {"first_name": "Ada", "email": "ada@example.org"} | self.facts
        return User(**details)


def who(text: str, **facts: Any) -> Who:
    """Read "birthday 1992-02-29, zone Europe/Kiev, at 02:30"; all types are taken."""
    types = registry()
    said: dict[str, Any] = {"timezone": "Europe/London", "message_types": types.names, "first_occasion": OLD_ENOUGH} | facts
    for pair in filter(None, text.split(", ")):
        name, value = pair.split(" ")
        if name == "leap_day":
            kinds: tuple[Any, ...] = tuple(types.values())
            types = MessageTypes(*(replace(kind, leap_day=value) for kind in kinds))
        else:
            field, read = FIELDS[name]
            said[field] = read(value)
    return Who(said, types)


FIELDS: Final[dict[str, tuple[str, Any]]] = {
    "birthday": ("birthday", str),
    "anniversary": ("anniversary", date.fromisoformat),
    "zone": ("timezone", str),
    "country": ("country", str),
    "at": ("preferred_time", time.fromisoformat),
}


def instant(text: str) -> datetime:
    """Read "2027-05-14 12:00:30" or "2027-05-14T12:00Z"."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
