"""Does a worker call a provider only while everybody may, no more often than it takes, and not at all while it fails?"""

import asyncio
from typing import Any

import pytest

from application.channel_gate import ChannelGate, Entered
from application.delivery_ports import Accepted, Ambiguous, Answer, NotAccepted, Rejected, Throttled
from application.ports import StoreUnavailable
from application.provider_limit import Grant, ProviderLimit
from tests.fake_channels import MemoryChannels

FAILED: Answer = NotAccepted("not_accepted:500")
WELL: Answer = Accepted(200)
TROUBLES = pytest.mark.parametrize("trouble", [StoreUnavailable(), ZeroDivisionError()], ids=["outage", "unforeseen"])


class Clocked:
    """Gates of several workers to one provider, under one clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.channels = MemoryChannels()

    def gate(self, limit: ProviderLimit | None = None, concurrency: int = 100) -> ChannelGate:
        return ChannelGate("sink", self.channels, limit=limit, concurrency=concurrency, monotonic=lambda: self.channels.seconds)


@pytest.fixture
def clocked() -> Clocked:
    return Clocked()


async def called(gate: ChannelGate, *answers: Answer) -> list[str]:
    """One call for each answer; what became of them."""
    found: list[str] = []
    for answer in answers:
        entered = await gate.enter(1)
        found.append("trial" if entered == Entered(trial=True) else "called" if isinstance(entered, Entered) else entered)
        if isinstance(entered, Entered):
            await gate.leave([answer])
    return found


async def test_a_breaker_opens_when_half_of_ten_calls_have_failed(clocked: Clocked) -> None:
    gate = clocked.gate()
    assert await called(gate, *[WELL] * 5) == ["called"] * 5
    assert await called(gate, *[FAILED] * 4) == ["called"] * 4
    assert clocked.channels.trips == 0
    assert await called(gate, FAILED, WELL) == ["called", "breaker_open"]
    assert clocked.channels.trips == 1


async def test_fewer_failures_than_half_open_nothing(clocked: Clocked) -> None:
    assert set(await called(clocked.gate(), *[WELL, WELL, FAILED] * 20)) == {"called"}


async def test_a_herd_that_went_well_does_not_keep_it_from_opening(clocked: Clocked) -> None:
    gate = clocked.gate()
    await called(gate, *[WELL] * 1_000)
    answers = await called(gate, *[FAILED] * 100)
    assert answers.index("breaker_open") == 20


async def test_failures_of_more_than_half_a_minute_ago_count_no_more(clocked: Clocked) -> None:
    gate = clocked.gate()
    await called(gate, *[FAILED] * 9)
    clocked.channels.seconds += 31
    assert await called(gate, *[FAILED] * 9, WELL) == ["called"] * 10


@pytest.mark.parametrize("answer", [Rejected("rejected:400"), Ambiguous("key_conflict:409")], ids=["rejected", "key-conflict"])
async def test_an_answer_about_the_message_is_no_failure_of_the_provider(clocked: Clocked, answer: Answer) -> None:
    assert set(await called(clocked.gate(), *[answer] * 20)) == {"called"}


async def test_calls_that_nobody_answers_are_failures(clocked: Clocked) -> None:
    assert (await called(clocked.gate(), *[Ambiguous("timeout")] * 11))[-1] == "breaker_open"


async def test_what_one_worker_finds_all_others_heed_within_a_second(clocked: Clocked) -> None:
    first, second = clocked.gate(), clocked.gate()
    await called(second, WELL)
    await called(first, *[FAILED] * 10)
    clocked.channels.seconds += 1
    found = []
    while "breaker_open" not in found:  # it looks while it goes on
        found = await called(second, WELL)
        await asyncio.to_thread(int)


async def test_after_half_a_minute_a_trial_decides(clocked: Clocked) -> None:
    gate = clocked.gate()
    await called(gate, *[FAILED] * 10)
    clocked.channels.seconds += 31
    assert await called(gate, FAILED, WELL) == ["trial", "breaker_open"]
    clocked.channels.seconds += 31
    assert await called(gate, WELL, FAILED, WELL) == ["trial", "called", "called"]


async def test_a_throttled_provider_is_called_no_more_until_it_said_and_then_by_fewer_at_once(clocked: Clocked) -> None:
    gate = clocked.gate(concurrency=2)
    assert await called(gate, Throttled("throttled:429", 10), WELL) == ["called", "throttled"]
    clocked.channels.seconds += 10.1
    assert isinstance(await gate.enter(1), Entered)
    waiting = asyncio.create_task(gate.enter(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    await gate.leave([WELL])
    assert isinstance(await waiting, Entered)


async def test_throttling_opens_no_breaker(clocked: Clocked) -> None:
    gate = clocked.gate()
    for _ in range(20):
        await called(gate, Throttled("throttled:429", 0))
        clocked.channels.seconds += 3
    assert clocked.channels.trips == 0


async def test_workers_share_a_limit(clocked: Clocked) -> None:
    limit = ProviderLimit(most=3, per_seconds=3_600)
    first, second = clocked.gate(limit), clocked.gate(limit)
    assert await called(first, WELL, WELL) == ["called"] * 2
    assert await called(second, WELL, WELL) == ["called", "limit"]


async def test_who_waits_for_the_limit_is_told_when_no_more_calls_are_made(clocked: Clocked) -> None:
    gate = clocked.gate(ProviderLimit(most=1, per_seconds=30))
    assert await called(gate, WELL) == ["called"]
    waiting = asyncio.create_task(gate.enter(1))
    await asyncio.sleep(0)
    gate.stop()
    assert await waiting == "stopped"
    assert await gate.enter(1) == "stopped"


async def test_a_call_given_up_in_line_takes_nobody_elses_turn(clocked: Clocked) -> None:
    gate = clocked.gate(ProviderLimit(most=1, per_seconds=30))
    given_up, waiting = (asyncio.create_task(gate.enter(1)) for _ in range(2))
    await asyncio.sleep(0)
    given_up.cancel()
    clocked.channels.seconds += 60
    assert isinstance(await waiting, Entered)


@TROUBLES
async def test_without_the_store_what_was_known_holds_on(clocked: Clocked, trouble: Exception) -> None:
    gate = clocked.gate()
    await called(gate, WELL)
    clocked.channels.away = trouble
    clocked.channels.seconds += 5
    assert await called(gate, WELL) == ["called"]
    limited = clocked.gate(ProviderLimit(most=1, per_seconds=30))
    asking = asyncio.create_task(limited.enter(1))
    await asyncio.sleep(0)
    clocked.channels.away = None
    assert isinstance(await asking, Entered)


@TROUBLES
async def test_what_others_could_not_be_told_hurts_no_call(clocked: Clocked, trouble: Exception) -> None:
    gate = clocked.gate()
    await called(gate, WELL)
    clocked.channels.away = trouble
    assert await called(gate, *[FAILED] * 20) == ["called"] * 20


@TROUBLES
async def test_whoever_waits_for_the_limit_is_answered(clocked: Clocked, trouble: Exception) -> None:
    class Stumbling(MemoryChannels):
        def take(self, *asked: Any) -> Grant:
            stumbled, self.away = self.away, None
            if stumbled:
                raise stumbled
            return super().take(*asked)

    clocked.channels = Stumbling()
    gate = clocked.gate(ProviderLimit(most=2, per_seconds=30))
    assert await called(gate, WELL) == ["called"]
    clocked.channels.away = trouble
    async with asyncio.timeout(30):
        assert isinstance(await gate.enter(1), Entered)
    assert clocked.channels.away is None
