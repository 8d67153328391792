"""How does a person write an instant, or a length of time, on a command line?"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from ops.settings import WrongSettings

EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
_STRETCH: Final = re.compile(r"[1-9]\d{0,5}[smhd]", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def instant(text: str) -> datetime:
    """An ISO instant; without an offset it is UTC.

    Raises ValueError, also so near an end of the calendar that what is reckoned from it might lie outside.
    """
    at = datetime.fromisoformat(text.strip())
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if not EARLIEST <= at < LATEST:
        raise ValueError(f"must be from {EARLIEST:%Y} to {LATEST:%Y}")
    return at.astimezone(UTC)


def given_instant(option: str, text: str | None) -> datetime | None:
    """What an option says, if it is there. Raises WrongSettings."""
    try:
        return None if text is None else instant(text)
    except ValueError as error:
        raise WrongSettings(f"{option}: {text} is not an instant such as 2027-05-15T08:00:00Z") from error


def given_stretch(option: str, text: str | None) -> timedelta | None:
    """What an option says, if it is there. Raises WrongSettings."""
    if text is None:
        return None
    if not _STRETCH.fullmatch(text):
        raise WrongSettings(f"{option}: {text} is not a length of time such as 90m, 36h or 2d")
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
