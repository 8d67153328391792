"""What is a message type, and which ones are there?"""

from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

from domain.errors import Unknown

if TYPE_CHECKING:
    from domain.user import User

LeapDay = Literal["feb28", "mar1", "skip"]
Doubt = Literal["prefer_no_duplicate", "prefer_delivery"]


class NoSuchOccasion(Unknown):
    """The user's facts give no occasion on that date (any more)."""


class TypeFailed(Exception):
    """A message type's own code failed on a user; `error` is the kind of its exception, whose text might quote the user."""

    def __init__(self, message_type: str, error: str) -> None:
        super().__init__(f"{message_type}: {error}")
        self.message_type, self.error = message_type, error


class Occasion(Struct, frozen=True):
    """A local date on which a message is due, and the calendar rule that put it there."""

    date: date
    rule: Literal["plain", "leap_feb28", "leap_mar1"] = "plain"


class Rendered(Struct, frozen=True):
    """A message's words, ready for a channel."""

    subject: str
    body: str
    template_version: int


class MessageType(Protocol):
    """The contract. Settings are read-only; everything is computed from the arguments alone."""

    @property
    def name(self) -> str:
        """As people write it: BIRTHDAY."""

    @property
    def version(self) -> int:
        """Raised when `occasions` answers differently, so that what is planned is derived again."""

    @property
    def annual(self) -> bool:
        """Whether one message per user and local year is the most."""

    @property
    def send_time(self) -> time:
        """Local; a user's preferred time stands above it."""

    @property
    def spread_minutes(self) -> int:
        """Over how many minutes from the send time on its messages are spread, 0 to 60; each person keeps their place."""

    @property
    def late_window(self) -> timedelta | None:
        """How long after the due instant it may still go out; None is to the end of the local day, at least 12 h."""

    @property
    def priority(self) -> int:
        """Lower goes first; 100 is usual."""

    @property
    def leap_day(self) -> LeapDay:
        """Where Feb 29 goes in a common year."""

    @property
    def doubt(self) -> Doubt:
        """What to do when nobody can say whether it was accepted."""

    def occasions(self, user: "User", start: date, end: date) -> list[Occasion]:
        """The occasions whose local date is in [start, end), sorted; whether the user takes this type is not asked here."""

    def validate(self, user: "User") -> str | None:
        """Why nothing will ever come, in one sentence without personal data; None if something will."""

    def render(self, user: "User", occasion: date) -> Rendered:
        """The words for this user on this date. Raises NoSuchOccasion."""


class Settings(Struct, frozen=True, kw_only=True):
    """What every built-in type can be told; `msgspec.structs.replace` tells it otherwise."""

    name: str
    version: int = 1
    annual: bool = True
    send_time: time = time(9)
    spread_minutes: int = 0
    late_window: timedelta | None = None
    priority: int = 100
    leap_day: LeapDay = "feb28"
    doubt: Doubt = "prefer_no_duplicate"


class MessageTypes(Mapping[str, MessageType]):
    """The types in use, by name, in the order given."""

    def __init__(self, *types: MessageType) -> None:
        """Raises ValueError when two have one name."""
        self._types = {kind.name: kind for kind in types}
        if len(self._types) < len(types):
            raise ValueError(f"two message types have one name among {', '.join(kind.name for kind in types)}")
        self.annual = frozenset(kind.name for kind in types if kind.annual)

    def __getitem__(self, name: str) -> MessageType:
        """Raises KeyError."""
        return self._types[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._types)

    @property
    def priorities(self) -> dict[str, int]:
        return {name: kind.priority for name, kind in self._types.items()}


def registry() -> MessageTypes:
    """The built-in types with their usual settings."""
    # Here and not above: the types are written in this file's words.
    from domain.message_types.anniversary import ANNIVERSARY
    from domain.message_types.birthday import BIRTHDAY
    from domain.message_types.holiday import HOLIDAY_GREETING

    return MessageTypes(BIRTHDAY, ANNIVERSARY, HOLIDAY_GREETING)
