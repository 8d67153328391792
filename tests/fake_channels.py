"""What would everybody know of a provider if it were kept in memory?"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from application.channel_states import OPEN_SECONDS, UNTROUBLED, ChannelState, Used, crept_up, hold_seconds, lowered, state_of
from application.provider_limit import Grant, ProviderLimit, Usage, take

START = datetime(2027, 5, 15, 8, tzinfo=UTC)
LONG_AGO = -1e9


class _Known:
    def __init__(self) -> None:
        self.open_until: float | None = None
        self.hold_until, self.lowered_at, self.share = LONG_AGO, LONG_AGO, 1.0
        self.usage = Usage()


class MemoryChannels:
    """SharedChannels whose clock a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.away: Exception | None = None
        self.trips = 0
        self._known: dict[str, _Known] = {}

    def state(self, channel: str) -> ChannelState:
        if self.away:
            raise self.away
        known = self._known.get(channel)
        return self._shown(known) if known else UNTROUBLED

    def states(self) -> Mapping[str, ChannelState]:
        return {channel: self._shown(known) for channel, known in self._known.items()}

    def used(self, channels: Sequence[str]) -> Mapping[str, Used]:
        known = {channel: self._known.get(channel, _Known()) for channel in channels}
        return {
            channel: Used(one.usage, crept_up(one.share, self.seconds - one.lowered_at), self._now)
            for channel, one in known.items()
        }

    def take(self, channel: str, limit: ProviderLimit, calls: Sequence[int]) -> Grant:
        if self.away:
            raise self.away
        known = self._of(channel)
        known.usage, grant = take(known.usage, limit, calls, self._now, crept_up(known.share, self.seconds - known.lowered_at))
        return grant

    def trip(self, channel: str) -> ChannelState:
        known = self._of(channel)
        if self._shown(known).breaker != "open":
            known.open_until = self.seconds + OPEN_SECONDS
            self.trips += 1
        return self.state(channel)

    def close(self, channel: str) -> ChannelState:
        known = self._of(channel)
        if self._shown(known).breaker == "half_open":
            known.open_until = None
        return self.state(channel)

    def throttled(self, channel: str, retry_after_seconds: float | None) -> ChannelState:
        known = self._of(channel)
        share = lowered(known.share, self.seconds - known.lowered_at)
        if share is not None:
            known.share, known.lowered_at = share, self.seconds
        hold = max(self._shown(known).hold_seconds, hold_seconds(retry_after_seconds, known.share))
        known.hold_until = self.seconds + hold
        return self.state(channel)

    @property
    def _now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def _of(self, channel: str) -> _Known:
        return self._known.setdefault(channel, _Known())

    def _shown(self, known: _Known) -> ChannelState:
        opens = None if known.open_until is None else known.open_until - self.seconds
        return state_of(opens, known.hold_until - self.seconds, known.share, self.seconds - known.lowered_at)
