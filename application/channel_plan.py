"""Through which channel does a message type go, and which channels may send now?"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from domain.dispatch import MOST_MEMBERS
from domain.message_type import MessageTypes

USUAL_PRIORITY: Final = 100
"""Of a message whose type is no longer known."""


class ChannelTraits(Struct, frozen=True):
    """What the dispatcher must know of a channel."""

    name: str
    idempotent: bool
    askable: bool
    concurrency: int  # calls open at once
    bulk: int = 1  # messages a call

    @property
    def most_members(self) -> int:
        """Of one dispatch. Where doubt can't be cleared, only what a worker's open calls hold: no others end in doubt."""
        clears_doubt = self.idempotent or self.askable
        return MOST_MEMBERS if clears_doubt else max(1, min(MOST_MEMBERS, self.concurrency * self.bulk))


class ChannelPlan:
    """The channels there are, and the one that each type goes through; what is not said goes through the first."""

    def __init__(self, channels: Sequence[ChannelTraits], by_type: Mapping[str, str] | None = None) -> None:
        """Raises ValueError without a channel, or when a type goes through one that is not there."""
        self._channels = {channel.name: channel for channel in channels}
        self._by_type = dict(by_type or {})
        if not channels or not self._channels.keys() >= set(self._by_type.values()):
            raise ValueError(f"no such channel among {', '.join(self._channels) or 'none'}")
        self._usual = channels[0].name

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._channels)

    def channel_of(self, message_type: str, chosen: str = "") -> str:
        """The type's channel, or the one chosen before (by a fail-over), if it still exists."""
        return chosen if chosen in self._channels else self._by_type.get(message_type, self._usual)

    def sending(self) -> tuple[ChannelTraits, ...]:
        """Those that may send now."""
        return tuple(self._channels.values())

    def clears_doubt(self, channel: str, message_type: str, types: MessageTypes) -> bool:
        """Whether a doubt may be sent again with the same key: the provider deduplicates or the type prefers delivery."""
        traits, kind = self._channels.get(channel), types.get(message_type)
        return (traits is not None and traits.idempotent) or (kind is not None and kind.doubt == "prefer_delivery")
