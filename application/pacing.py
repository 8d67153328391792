"""How many messages may be handed to the workers now?"""

from collections.abc import Mapping
from typing import Final

STOP_AT: Final = 8_000
RESUME_BELOW: Final = 4_000
MOST_IN_ALL: Final = 10_000


class Pacing:
    """Per channel: full at STOP_AT members in flight, open again below RESUME_BELOW; all channels together hold MOST_IN_ALL."""

    def __init__(self) -> None:
        self._full: set[str] = set()

    def room(self, channel: str, in_flight: Mapping[str, int]) -> int:
        """How many more members this channel takes, given the members in flight of each."""
        flying = in_flight.get(channel, 0)
        if flying >= STOP_AT:
            self._full.add(channel)
        elif flying < RESUME_BELOW:
            self._full.discard(channel)
        return 0 if channel in self._full else max(0, min(STOP_AT - flying, MOST_IN_ALL - sum(in_flight.values())))
