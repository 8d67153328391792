"""How is a position in the logs written in the header Ninebell-Position?"""

import re
from typing import Final

from application.ports import LOGS, Position

HEADER: Final = "Ninebell-Position"

_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)


class BadPosition(Exception):
    """Not a position that an answer gave out."""


def encode(position: Position) -> str:
    """As in `users=123,messages=456`. Dispatches are left out: no query depends on them."""
    parts = [f"{log}={number}" for log in ("users", "messages") if (number := getattr(position, log))]
    return ",".join(parts) or "users=0"


def decode(header: str) -> Position:
    """Raises BadPosition."""
    numbers: dict[str, int] = {}
    for part in header.split(","):
        log, _, number = part.strip().partition("=")
        if log not in LOGS or log in numbers or not _NUMBER.fullmatch(number):
            raise BadPosition
        numbers[log] = int(number)
    return Position(**numbers)
