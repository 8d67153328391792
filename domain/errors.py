"""What Ninebell refuses, as one tree.

Refusal
├── Unknown            UserUnknown, MessageUnknown, DispatchUnknown
├── Gone               UserErasedError, MonthArchived
├── Conflict           UserExists, AlreadyScheduled, AlreadyClaimed, BeingSent, AlreadySent, YearTaken
│   └── NotAllowed     a command that this state does not take
└── Invalid            fields that break a rule, every one of them named
"""

from datetime import date
from uuid import UUID

from msgspec import Struct


class Refusal(Exception):
    """A rule was broken; nothing happened."""


class Unknown(Refusal):
    """No such thing."""


class UserUnknown(Unknown):
    """No user has this ID."""


class MessageUnknown(Unknown):
    """No scheduled message has this ID."""


class DispatchUnknown(Unknown):
    """No dispatch has this ID."""


class Gone(Refusal):
    """It existed and is out of reach."""


class UserErasedError(Gone):
    """The user was erased; the ID is never used again."""


class MonthArchived(Gone):
    """What was planned for this month was archived, and can be restored."""

    def __init__(self, month: date) -> None:
        super().__init__(f"the messages of {month:%Y-%m} were archived: ninebell restore {month:%Y-%m} brings them back")
        self.month = month


class Conflict(Refusal):
    """It clashes with what is already so."""


class UserExists(Conflict):
    """The ID, or the external ID, belongs to a user already."""

    def __init__(self, user_id: UUID) -> None:
        super().__init__(f"user {user_id} exists")
        self.user_id = user_id


class AlreadyScheduled(Conflict):
    """This occasion has its message already."""


class AlreadyClaimed(Conflict):
    """Another worker started this dispatch, or it is finished."""


class BeingSent(Conflict):
    """The dispatch has been claimed: the outcome decides."""


class AlreadySent(Conflict):
    """The message went out."""


class YearTaken(Conflict):
    """Another message of its type was sent, is on its way or is in doubt for this year, and one a year is the most."""


class NotAllowed(Conflict):
    """This state does not take that command."""

    def __init__(self, command: str, status: str, why: str = "") -> None:
        super().__init__(f"cannot {command} a message that is {status}" + (f": {why}" if why else ""))
        self.command, self.status = command, status


class Problem(Struct, frozen=True):
    """One wrong field: its name, and the reason with the fix. Never a name or an address."""

    field: str
    reason: str


class Invalid(Refusal):
    """Fields that break a rule."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.reason}" for problem in problems))
        self.problems = problems
