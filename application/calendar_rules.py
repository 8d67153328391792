"""What are the planner's tables derived from, beside people's facts; and must they be derived again?"""

from importlib.metadata import version
from typing import Final

import msgspec
from msgspec import Struct

from application.planner_ports import Derived
from domain.message_type import MessageType, MessageTypes

STEERING: Final = ("annual", "send_time", "spread_minutes", "late_window", "leap_day")
"""The settings of a type that move its dates and instants."""


class TypeRules(Struct, frozen=True, array_like=True):
    """A type's own version, and the settings it has in this installation."""

    version: int
    settings: str


class CalendarRules(Struct, frozen=True):
    """tzdata is not among them: every planned row knows its own."""

    holidays: str
    types: dict[str, TypeRules]


def rules_of(types: MessageTypes) -> CalendarRules:
    """As this process would plan."""
    return CalendarRules(version("holidays"), {name: _rules(kind) for name, kind in sorted(types.items())})


def to_derive(before: Derived | None, rules: CalendarRules) -> Derived:
    """What is to be done where the tables were derived from `before`; a planner older than that leaves them alone.

    Tables that nothing is known of were made by these rules.
    """
    mine = msgspec.json.encode(rules).decode()
    if before is None:
        return Derived(mine, None, done=True)
    if before.rules == mine:
        return before
    theirs = msgspec.json.decode(before.rules, type=CalendarRules)
    return before if _is_older(rules, theirs) else Derived(mine, None, done=False)


def _rules(kind: MessageType) -> TypeRules:
    return TypeRules(kind.version, " ".join(f"{name}={getattr(kind, name)}" for name in STEERING))


def _is_older(mine: CalendarRules, theirs: CalendarRules) -> bool:
    known = mine.types.keys() & theirs.types.keys()
    return any(mine.types[name].version < theirs.types[name].version for name in known)
