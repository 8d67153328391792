"""May this worker call this provider now? Its circuit breaker, its limit, and how it was throttled, as all workers share them."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol, TypeVar

from msgspec import Struct

from application.channel_states import ChannelState, SharedChannels
from application.delivery_ports import KEY_CONFLICT, Ambiguous, Answer, NotAccepted, Throttled
from application.provider_limit import LONGEST_WAIT_SECONDS, Grant, ProviderLimit

LOOK_EVERY_SECONDS: Final = 1.0
TALLY_SECONDS: Final = 30.0
FEWEST_CALLS: Final = 10
MOST_CALLS: Final = 40  # the last: counted against the half minute of a herd, a provider could fail for as long again
FAILING_SHARE: Final = 0.5
NEVER: Final = float("-inf")
NOT_TOLD: Final = Grant((), 0.0, LOOK_EVERY_SECONDS)

Refusal = Literal["breaker_open", "throttled", "limit", "stopped"]
R = TypeVar("R")
Turn = tuple[float, float]
"""From when, and until when, a call may be begun."""

log: Final = logging.getLogger(__name__)


class Entered(Struct, frozen=True):
    """A call may be begun now. A trial is what a half-open breaker lets through: its failure burns no try."""

    trial: bool


class Gate(Protocol):
    """What stands between a worker and the provider."""

    async def enter(self, messages: int) -> Entered | Refusal:
        """Returns when a call with so many messages may be begun; or why none may be for a good while."""

    async def leave(self, answers: Sequence[Answer] = ()) -> None:
        """The call that was let in has ended with these answers; with none, it was not made after all."""

    def stop(self) -> None:
        """Let nobody in any more: who waits is told so."""


class OpenGate:
    """Of a provider that takes whatever comes."""

    def __init__(self) -> None:
        self._stopped = False

    async def enter(self, messages: int) -> Entered | Refusal:
        return "stopped" if self._stopped else Entered(trial=False)

    async def leave(self, answers: Sequence[Answer] = ()) -> None:
        pass

    def stop(self) -> None:
        self._stopped = True


class ChannelGate:
    """One worker's way to one provider, on its event loop. `monotonic` is in seconds."""

    def __init__(
        self,
        channel: str,
        shared: SharedChannels,
        *,
        limit: ProviderLimit | None,
        concurrency: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._channel, self._shared, self._limit = channel, shared, limit
        self._concurrency, self._monotonic = concurrency, monotonic
        self._state, self._read_at = ChannelState(), NEVER
        self._reading: asyncio.Task[None] | None = None
        self._tally: deque[tuple[float, bool]] = deque(maxlen=MOST_CALLS)  # when a call ended, and whether it failed
        self._throttled_at = NEVER
        self._asking: deque[tuple[int, asyncio.Future[Turn | float]]] = deque()
        self._leasing: asyncio.Task[None] | None = None
        self._open_calls, self._one_left = 0, asyncio.Event()
        self._stopped = False

    async def enter(self, messages: int) -> Entered | Refusal:
        """See Gate."""
        patience_ends = self._monotonic() + LONGEST_WAIT_SECONDS
        while not self._stopped:
            state = await self._current()
            if state.shut:
                return "breaker_open" if state.breaker == "open" else "throttled"
            if self._open_calls >= max(1, int(self._concurrency * state.share)):
                self._one_left.clear()
                await self._one_left.wait()
            elif not (pause := await self._turn(self._limit, messages) if self._limit else 0.0):
                self._open_calls += 1
                return Entered(trial=state.breaker == "half_open")
            elif self._monotonic() + pause > patience_ends:
                return "limit"
            else:
                await asyncio.sleep(min(pause, LOOK_EVERY_SECONDS))
        return "stopped"

    def stop(self) -> None:
        """See Gate. Who waits for the limit hears of it within LOOK_EVERY_SECONDS."""
        self._stopped = True
        self._one_left.set()

    async def leave(self, answers: Sequence[Answer] = ()) -> None:
        """See Gate. Whatever it means for all, they are told before this returns."""
        self._open_calls -= 1
        self._one_left.set()
        if not answers:
            return
        failed = all(map(_is_failure, answers))
        throttling = [answer.retry_after_seconds for answer in answers if isinstance(answer, Throttled)]
        now = self._monotonic()
        if throttling:
            if now - self._throttled_at >= LOOK_EVERY_SECONDS:
                self._throttled_at = now
                await self._tell(self._shared.throttled, throttling[0])
        elif self._state.breaker == "half_open":
            await self._tell(self._shared.trip if failed else self._shared.close)
        elif self._state.breaker == "closed":
            self._tally.append((now, failed))
            if failed and self._failing(now):
                await self._tell(self._shared.trip)

    def _failing(self, now: float) -> bool:
        while self._tally[0][0] < now - TALLY_SECONDS:
            self._tally.popleft()
        failures = sum(failed for _, failed in self._tally)
        return len(self._tally) >= FEWEST_CALLS and failures >= FAILING_SHARE * len(self._tally)

    async def _tell(self, what: Callable[..., ChannelState], *details: object) -> None:
        """Everybody, and take up what they know then. Untold, the next failure tells it."""
        if (state := await self._shared_by(what, *details)) is not None:
            self._take_up(state)

    async def _shared_by(self, what: Callable[..., R], *details: object) -> R | None:
        """None where it can't be shared just now: whatever it was that failed, the calls and those who wait go on."""
        try:
            return await asyncio.to_thread(what, self._channel, *details)
        except Exception as error:  # noqa: BLE001  what is known of a message's fate must not be lost with it
            kind = type(error.__cause__ or error).__name__
            log.warning("the state of channel %s could not be shared (%s)", self._channel, kind)
            return None

    # what all know

    async def _current(self) -> ChannelState:
        age = self._monotonic() - self._read_at
        if age >= LOOK_EVERY_SECONDS or (self._state.shut and age >= self._state.shut_seconds):
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
            if self._read_at == NEVER or self._state.shut:
                await asyncio.shield(self._reading)
        return self._state

    async def _read(self) -> None:
        try:
            # Without the store what was known holds on: no lease covers a call for long then.
            self._take_up(await self._shared_by(self._shared.state) or self._state)
        finally:
            self._reading = None

    def _take_up(self, state: ChannelState) -> None:
        if state.breaker != self._state.breaker:
            log.warning("the circuit breaker of channel %s is %s", self._channel, state.breaker.replace("_", " "))
            self._tally.clear()
        self._state, self._read_at = state, self._monotonic()

    # what the limit grants

    async def _turn(self, limit: ProviderLimit, messages: int) -> float:
        """0 in a turn of ours, else after how many seconds to ask again."""
        answer: asyncio.Future[Turn | float] = asyncio.get_running_loop().create_future()
        self._asking.append((messages, answer))
        if self._leasing is None:
            self._leasing = asyncio.create_task(self._lease(limit))
        found = await answer
        if isinstance(found, float):
            return found
        begins, ends = found
        if (early := begins - self._monotonic()) > 0:
            await asyncio.sleep(early)
        return 0.0 if self._monotonic() < ends else 0.001  # too late: the provider might count it in a later window

    async def _lease(self, limit: ProviderLimit) -> None:
        """For all who ask at once, as long as anybody does."""
        try:
            while self._asking:
                asking = list(self._asking)
                self._asking.clear()
                asked_at = self._monotonic()
                calls = [messages for messages, _ in asking]
                grant = await self._shared_by(self._shared.take, limit, calls) or NOT_TOLD
                granted_at = self._monotonic()
                turns: list[Turn | float] = [
                    (granted_at + wait, asked_at + wait + grant.use_within_seconds) for wait in grant.delays
                ]
                turns += [grant.wait_seconds or 0.001] * (len(asking) - len(turns))
                for (_, answer), turn in zip(asking, turns, strict=False):
                    if not answer.done():
                        answer.set_result(turn)
        finally:
            self._leasing = None


def _is_failure(answer: Answer) -> bool:
    """Of the provider's, not of the message."""
    if isinstance(answer, Ambiguous):
        return not answer.error.startswith(KEY_CONFLICT)
    return isinstance(answer, NotAccepted)
