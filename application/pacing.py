"""How many messages may be handed to the workers now?"""

import sys
from collections.abc import Mapping
from typing import Final

from application.channel_plan import ChannelPlan, ChannelTraits
from application.channel_states import ChannelState
from application.dispatcher_ports import DispatcherWork
from application.provider_limit import messages_left

STOP_AT: Final = 8_000
RESUME_BELOW: Final = 0.5  # of where it stops
MOST_IN_ALL: Final = 10_000


class Pacing:
    """Per channel: full at `most` members in flight, open again below half of it; all channels together hold MOST_IN_ALL."""

    def __init__(self) -> None:
        self._full: set[str] = set()

    def room(self, channel: ChannelTraits, state: ChannelState, in_flight: Mapping[str, int], left: int = sys.maxsize) -> int:
        """How many more members this channel takes, given the members in flight of each, and what its limit has left for them."""
        flying = in_flight.get(channel.name, 0)
        left = max(0, left - flying)
        if state.shut or (state.breaker == "half_open" and flying):
            return 0
        if state.breaker == "half_open":
            return min(channel.bulk, left)  # a trial
        most = most_in_flight(channel, state)
        if flying >= most:
            self._full.add(channel.name)
        elif flying < most * RESUME_BELOW:
            self._full.discard(channel.name)
        return 0 if channel.name in self._full else max(0, min(most - flying, left, MOST_IN_ALL - sum(in_flight.values())))


def left_by_limits(work: DispatcherWork, channels: ChannelPlan) -> dict[str, int]:
    """Channel → how many messages its limit lets out before a worker gives them back, where it may let out none for so long.

    Read it after the members in flight: what ends in between then counts twice, rather than not at all.
    """
    limited = channels.that_may_stop
    used = work.used(list(limited)) if limited else {}
    return {
        name: messages_left(used[name].usage, limit, channel.bulk, used[name].at, used[name].share)
        for name, (channel, limit) in limited.items()
    }


def most_in_flight(channel: ChannelTraits, state: ChannelState) -> int:
    """No more than leaves soon: the rest can still be moved, cancelled and overtaken by what is more urgent."""
    ahead = channel.limit.messages_ahead(channel.bulk) if channel.limit else None
    return max(channel.bulk, int(min(STOP_AT, STOP_AT if ahead is None else ahead) * state.share))
