"""How does a person write an instant, or a length of time, on a command line?"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from ops.settings import WrongSettings

_STRETCH: Final = re.compile(r"[1-9]\d{0,5}[smhd]", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def instant(text: str) -> datetime:
    """An ISO instant; without an offset it is UTC. Raises ValueError."""
    at = datetime.fromisoformat(text.strip())
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def given_instant(option: str, text: str | None) -> datetime | None:
    """What an option says, if it is there. Raises WrongSettings."""
    try:
        return None if text is None else instant(text)
    except (ValueError, OverflowError) as error:
        raise WrongSettings(f"{option}: {text} is not an instant such as 2027-05-15T08:00:00Z") from error


def given_stretch(option: str, text: str | None) -> timedelta | None:
    """What an option says, if it is there. Raises WrongSettings."""
    if text is None:
        return None
    if not _STRETCH.fullmatch(text):
        raise WrongSettings(f"{option}: {text} is not a length of time such as 90m, 36h or 2d")
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
