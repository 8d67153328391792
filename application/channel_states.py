"""What does everybody who calls a provider know of it: is its breaker open, was it throttled, how much may be asked of it?"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

from msgspec import Struct

from application.provider_limit import Grant, ProviderLimit, Usage

OPEN_SECONDS: Final = 30.0
LEAST_SHARE: Final = 1 / 16
WHOLE_AGAIN_SECONDS: Final = 60.0
ONE_THROTTLING_SECONDS: Final = 1.0
LONGEST_HOLD_SECONDS: Final = 60.0
SMALL_STEP_SECONDS: Final = 5.0  # by which a clock is corrected without having been wrong


Breaker = Literal["closed", "open", "half_open"]


class ChannelState(Struct, frozen=True):
    """Seconds are counted from when it was read."""

    breaker: Breaker = "closed"
    open_seconds: float = 0.0  # until the breaker lets a trial through
    hold_seconds: float = 0.0  # until the provider, which throttled us, may be called again
    share: float = 1.0  # of its limit and of the open calls: less after a throttling, creeping up again

    @property
    def shut(self) -> bool:
        """No call may be begun."""
        return self.breaker == "open" or self.hold_seconds > 0

    @property
    def shut_seconds(self) -> float:
        return max(self.open_seconds, self.hold_seconds)


UNTROUBLED: Final = ChannelState()
"""Of a channel that nobody has called yet."""


class Used(Struct, frozen=True):
    """What of a channel's limit is used up."""

    usage: Usage
    share: float  # of the limit that may be used
    at: datetime  # when it was read, by the clock that limits go by


class SharedChannels(Protocol):
    """The state of every channel, one for all workers and dispatchers. Blocks; every method may raise StoreUnavailable."""

    def state(self, channel: str) -> ChannelState: ...

    def states(self) -> Mapping[str, ChannelState]:
        """Of the channels that were ever in trouble, or have a limit."""

    def used(self, channels: Sequence[str]) -> Mapping[str, Used]:
        """Of each of these."""

    def take(self, channel: str, limit: ProviderLimit, calls: Sequence[int]) -> Grant:
        """What of the limit there is for these calls, each given by its number of messages."""

    def trip(self, channel: str) -> ChannelState:
        """Open the breaker for OPEN_SECONDS; one that is open stays so, and no longer."""

    def close(self, channel: str) -> ChannelState:
        """A trial went well."""

    def throttled(self, channel: str, retry_after_seconds: float | None) -> ChannelState:
        """Leave the provider alone for as long as it says, a minute at most; then ask less of it."""


def left(ahead_seconds: float | None, longest_seconds: float) -> float:
    """Seconds until an instant that was set so far ahead at the most; 0 when it is past, or nothing was set.

    One that lies further ahead is of a clock that has been put back since: an hour's step must not shut a channel for an hour.
    """
    return ahead_seconds if ahead_seconds is not None and 0 < ahead_seconds <= longest_seconds + SMALL_STEP_SECONDS else 0.0


def state_of(
    open_ahead_seconds: float | None, hold_ahead_seconds: float | None, share: float, lowered_seconds: float
) -> ChannelState:
    """The breaker is open or left alone until so far ahead (None: closed, never), the share was lowered so long ago."""
    open_seconds = left(open_ahead_seconds, OPEN_SECONDS)
    breaker: Breaker = "closed" if open_ahead_seconds is None else "open" if open_seconds else "half_open"
    return ChannelState(breaker, open_seconds, left(hold_ahead_seconds, LONGEST_HOLD_SECONDS), crept_up(share, lowered_seconds))


def crept_up(share: float, seconds: float) -> float:
    """What a share has become so many seconds after it was lowered; the whole again if the clock was put back since."""
    return 1.0 if seconds < -SMALL_STEP_SECONDS else min(1.0, share + max(0.0, seconds) / WHOLE_AGAIN_SECONDS)


def lowered(share: float, seconds: float) -> float | None:
    """Half of what a share has become; None within a second of its last lowering, as that is the same throttling."""
    return None if -SMALL_STEP_SECONDS <= seconds < ONE_THROTTLING_SECONDS else max(LEAST_SHARE, crept_up(share, seconds) / 2)


def hold_seconds(retry_after_seconds: float | None, share: float) -> float:
    """How long to leave it alone; where the provider does not say, the longer the oftener it throttles."""
    return min(LONGEST_HOLD_SECONDS, 1 / share if retry_after_seconds is None else retry_after_seconds)
