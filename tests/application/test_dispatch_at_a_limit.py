"""While a limit lets nothing out for hours, does what is due stay where it is, and goes it on as soon as there is room?"""

from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.channel_gate import ChannelGate, Entered
from application.channel_states import ChannelState
from application.provider_limit import ProviderLimit
from domain.dispatch import DispatchFinished, DispatchRequested
from domain.event import Event
from domain.message_type import MessageTypes
from domain.message_types.birthday import BIRTHDAY
from domain.scheduled_message import MessageExpired, MessageReleased, MessageSent, SendRequested
from tests.application.dispatch_stories import (
    DUE,
    SINK,
    dispatcher,
    dispatches,
    events_of,
    message,
    repeated,
    requested,
    run,
    schedule,
)
from tests.fake_dispatcher_work import Memory

HOUR = 3_600
A_WEEK = MessageTypes(replace(BIRTHDAY, late_window=timedelta(days=7)))
TWO_A_DAY = ProviderLimit(daily_quota=2)
TWO_AN_HOUR = ProviderLimit(most=2, per_seconds=HOUR)


class Sending:
    """A dispatcher and a worker of a channel with this limit, started anew with another; the clock stands until it is moved."""

    terms = count(1)

    def __init__(self, memory: Memory, limit: ProviderLimit | None, bulk: int = 1) -> None:
        self._memory, self._bulk = memory, bulk
        channel = replace(SINK, limit=limit, bulk=bulk)
        self._leader = dispatcher(memory, channel, types=A_WEEK, first_id=next(self.terms) * 1_000)
        self._gate = ChannelGate("sink", memory.channels, limit=limit, concurrency=50, monotonic=lambda: memory.channels.seconds)
        self._worked = len(requested(memory))

    async def go_on(self, steps: int = 1) -> None:
        """So often: what is due is handed out, called for as far as the gate lets, and all of it is recorded."""
        for _ in range(steps):
            run(self._leader, self._now)
            for recorded in requested(self._memory)[self._worked :]:
                assert isinstance(recorded.event, DispatchRequested)
                await self._work(recorded.stream_id, recorded.event.message_ids)

    async def _work(self, dispatch_id: UUID, members: tuple[UUID, ...]) -> None:
        self._worked += 1
        for start in range(0, len(members), self._bulk):
            call = members[start : start + self._bulk]
            entered = await self._gate.enter(len(call))
            for id_ in call:
                outcome: Event = MessageReleased(**repeated(), dispatch_id=dispatch_id, reason=str(entered))
                if isinstance(entered, Entered):
                    answer: dict[str, Any] = {
                        "sent_at": self._now,
                        "response_code": 200,
                        "provider_id": "",
                        "template_version": 1,
                    }
                    outcome = MessageSent(**repeated(), **answer, dispatch_id=dispatch_id)
                self._memory.write("messages", id_, outcome, now=self._now)
            if isinstance(entered, Entered):
                await self._gate.leave()
        self._memory.write("dispatches", dispatch_id, DispatchFinished(how="recorded"), now=self._now)

    @property
    def _now(self) -> datetime:
        return DUE + timedelta(seconds=self._memory.channels.seconds)


def sent(memory: Memory) -> int:
    return sum(isinstance(one.event, MessageSent) for one in memory.logs["messages"])


def tries(memory: Memory) -> int:
    return sum(isinstance(one.event, SendRequested) for one in memory.logs["messages"])


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.mark.parametrize("limit", [TWO_A_DAY, TWO_AN_HOUR], ids=["quota", "window"])
async def test_what_a_used_up_limit_holds_back_is_not_requested_again_and_again(memory: Memory, limit: ProviderLimit) -> None:
    schedule(memory, range(1, 6))
    sending = Sending(memory, limit)
    for _ in range(20):
        await sending.go_on(3)
        memory.channels.seconds += 60
    assert (sent(memory), tries(memory)) == (2, 2)


@pytest.mark.parametrize("limit", [TWO_A_DAY, TWO_AN_HOUR], ids=["quota", "window"])
async def test_as_soon_as_there_is_room_again_it_goes_on(memory: Memory, limit: ProviderLimit) -> None:
    schedule(memory, range(1, 6))
    sending = Sending(memory, limit)
    await sending.go_on(2)
    memory.channels.seconds = 16 * HOUR + 1  # one second past midnight
    await sending.go_on()
    assert (sent(memory), tries(memory)) == (4, 4)


async def test_a_limit_that_was_raised_lets_out_at_once_what_it_has_now(memory: Memory) -> None:
    schedule(memory, range(1, 6))
    await Sending(memory, TWO_A_DAY).go_on(2)
    await Sending(memory, ProviderLimit(daily_quota=3)).go_on(2)
    assert (sent(memory), tries(memory)) == (3, 3)
    await Sending(memory, None).go_on()
    assert sent(memory) == 5


@pytest.mark.parametrize("bulk", [1, 7, 100])
async def test_of_a_quota_exactly_what_is_left_goes_out_however_much_a_call_holds(memory: Memory, bulk: int) -> None:
    schedule(memory, range(1, 121), "Europe/London")
    schedule(memory, range(121, 151), "Asia/Tokyo")
    sending = Sending(memory, ProviderLimit(daily_quota=130), bulk)
    await sending.go_on(5)
    assert (sent(memory), tries(memory)) == (130, 130)


async def test_what_is_in_flight_counts_as_used(memory: Memory) -> None:
    schedule(memory, range(1, 6))
    leader = dispatcher(memory, replace(SINK, limit=TWO_A_DAY), types=A_WEEK)
    for _ in range(3):
        run(leader, DUE)
    assert tries(memory) == 2


def test_what_a_worker_can_wait_for_is_handed_out(memory: Memory) -> None:
    schedule(memory, [1])
    limited = replace(SINK, limit=TWO_AN_HOUR)
    memory.channels.take("sink", TWO_AN_HOUR, [1, 1])
    for seconds, handed in ((HOUR - 60, 0), (HOUR - 50, 1)):
        memory.channels.seconds = seconds
        run(dispatcher(memory, limited, types=A_WEEK), DUE)
        assert tries(memory) == handed, seconds


def test_a_half_open_channel_whose_quota_is_used_up_gets_no_trial(memory: Memory) -> None:
    memory.states["sink"] = ChannelState("half_open")
    memory.channels.take("sink", TWO_A_DAY, [2])
    schedule(memory, [1])
    run(dispatcher(memory, replace(SINK, limit=TWO_A_DAY)), DUE)
    assert dispatches(memory) == []


def test_what_becomes_too_late_behind_a_used_up_limit_expires(memory: Memory) -> None:
    memory.channels.take("sink", TWO_AN_HOUR, [1, 1])
    schedule(memory, [1])
    leader = dispatcher(memory, replace(SINK, limit=TWO_AN_HOUR))
    for now in (DUE, DUE + timedelta(hours=20)):
        run(leader, now)
    assert events_of(memory, message(1))[1:] == [MessageExpired(**repeated(), reason="late_window")]


def test_nothing_fails_over_to_a_channel_whose_quota_is_used_up_and_nothing_because_of_it(memory: Memory) -> None:
    spare = replace(SINK, name="spare", limit=TWO_A_DAY)
    memory.channels.take("spare", TWO_A_DAY, [2])
    schedule(memory, [1])
    for states, by_type in (({"sink": ChannelState("open", 20.0)}, ("sink", "spare")), ({}, ("spare", "sink"))):
        memory.states = states
        memory.due.clear()
        memory.positions.clear()
        run(dispatcher(memory, SINK, spare, by_type={"BIRTHDAY": by_type}), DUE)
        assert len(events_of(memory, message(1))) == 1
