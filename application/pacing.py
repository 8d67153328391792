"""How many messages may be handed to the workers now?"""

from collections.abc import Mapping
from typing import Final

from application.channel_plan import ChannelTraits
from application.channel_states import ChannelState

STOP_AT: Final = 8_000
RESUME_BELOW: Final = 0.5  # of where it stops
MOST_IN_ALL: Final = 10_000


class Pacing:
    """Per channel: full at `most` members in flight, open again below half of it; all channels together hold MOST_IN_ALL."""

    def __init__(self) -> None:
        self._full: set[str] = set()

    def room(self, channel: ChannelTraits, state: ChannelState, in_flight: Mapping[str, int]) -> int:
        """How many more members this channel takes, given the members in flight of each."""
        flying = in_flight.get(channel.name, 0)
        if state.shut or (state.breaker == "half_open" and flying):
            return 0
        if state.breaker == "half_open":
            return channel.bulk  # a trial
        most = most_in_flight(channel, state)
        if flying >= most:
            self._full.add(channel.name)
        elif flying < most * RESUME_BELOW:
            self._full.discard(channel.name)
        return 0 if channel.name in self._full else max(0, min(most - flying, MOST_IN_ALL - sum(in_flight.values())))


def most_in_flight(channel: ChannelTraits, state: ChannelState) -> int:
    """No more than leaves soon: the rest can still be moved, cancelled and overtaken by what is more urgent."""
    ahead = channel.limit.messages_ahead(channel.bulk) if channel.limit else None
    return max(channel.bulk, int(min(STOP_AT, STOP_AT if ahead is None else ahead) * state.share))
