"""Through which channels may a message type go, in which order, and what must be known of each?"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from application.provider_limit import ProviderLimit
from domain.dispatch import MOST_MEMBERS
from domain.message_type import MessageTypes

USUAL_PRIORITY: Final = 100
"""Of a message whose type is no longer known."""


class ChannelTraits(Struct, frozen=True):
    """What must be known of a channel without calling it."""

    name: str
    idempotent: bool
    askable: bool
    concurrency: int  # calls a worker has open at once
    bulk: int = 1  # messages a call
    call_timeout_seconds: float = 10.0
    key_lifetime: timedelta = timedelta(hours=24)  # how long an idempotent provider knows a key
    limit: ProviderLimit | None = None

    @property
    def clears_doubt(self) -> bool:
        """Without a person: it deduplicates by key, or can be asked."""
        return self.idempotent or self.askable

    @property
    def most_members(self) -> int:
        """Of one dispatch. Where doubt can't be cleared, only what a worker's open calls hold: no others end in doubt."""
        return MOST_MEMBERS if self.clears_doubt else max(1, min(MOST_MEMBERS, self.concurrency * self.bulk))


class ChannelPlan:
    """The channels there are, and those that each type goes through; what is not said goes through the first."""

    def __init__(self, channels: Sequence[ChannelTraits], by_type: Mapping[str, Sequence[str]] | None = None) -> None:
        """`by_type`: channels in the order of fail-over.

        Raises ValueError without a channel, or when a type goes through one that is not there.
        """
        self._channels = {channel.name: channel for channel in channels}
        self._by_type = {message_type: tuple(names) for message_type, names in (by_type or {}).items() if names}
        if not channels or not self._channels.keys() >= {name for names in self._by_type.values() for name in names}:
            raise ValueError(f"no such channel among {', '.join(self._channels) or 'none'}")
        self._usual = (channels[0].name,)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._channels)

    @property
    def channels(self) -> tuple[ChannelTraits, ...]:
        return tuple(self._channels.values())

    @property
    def that_may_stop(self) -> dict[str, tuple[ChannelTraits, ProviderLimit]]:
        """Those whose limit may let nothing out for longer than anybody waits."""
        return {one.name: (one, one.limit) for one in self.channels if one.limit is not None and one.limit.may_stop}

    @property
    def longest_call_seconds(self) -> float:
        return max(channel.call_timeout_seconds for channel in self.channels)

    def traits(self, channel: str) -> ChannelTraits:
        """Raises KeyError."""
        return self._channels[channel]

    def bulk_by_key(self, channel: str) -> int:
        """How many messages a call in doubt is made again with; 1 where each has its own key, or is asked about."""
        traits = self._channels.get(channel)
        return 1 if traits is None or (traits.askable and not traits.idempotent) else traits.bulk

    def limited_to(self, limit: ProviderLimit) -> "ChannelPlan":
        """The same, with this limit on every channel."""
        return ChannelPlan([replace(channel, limit=limit) for channel in self.channels], self._by_type)

    def channel_of(self, message_type: str, chosen: str = "") -> str:
        """The type's first channel, or the one chosen before (by a fail-over), if it still exists."""
        return chosen if chosen in self._channels else self._of_type(message_type)[0]

    def next_channel(self, message_type: str, channel: str, shut: Collection[str] = ()) -> str | None:
        """Where a message goes that this channel did not take: on through the type's list and round again; not to `shut` ones."""
        names = self._of_type(message_type)
        place = names.index(channel) if channel in names else -1
        following = (*names[place + 1 :], *names[: max(place, 0)])
        return next((name for name in following if name != channel and name not in shut), None)

    def failing_over(self, channel: str, message_types: Collection[str], shut: Collection[str]) -> list[str]:
        """Those types that need not wait for this channel while it is shut."""
        return [one for one in message_types if self.next_channel(one, channel, shut)]

    def clears_doubt(self, channel: str, message_type: str, types: MessageTypes) -> bool:
        """Whether a message in doubt may be requested again, with the same key.

        The provider deduplicates, or is asked before anything is sent, or the type prefers delivery.
        """
        traits, kind = self._channels.get(channel), types.get(message_type)
        return (traits is not None and traits.clears_doubt) or (kind is not None and kind.doubt == "prefer_delivery")

    def _of_type(self, message_type: str) -> tuple[str, ...]:
        return self._by_type.get(message_type, self._usual)
