"""What cannot be read or reckoned of one message or dispatch: is it left alone and shown, and does everything else go on?"""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.channel_plan import ChannelPlan
from application.channel_states import ChannelState
from application.dispatcher_ports import InFlight
from application.ports import Log
from application.publish_dispatches import Publisher
from application.recover_deliveries import Recovery
from application.repeat_doubt import REPEAT_AFTER, RepeatDoubt
from application.retry_parked import RetryParked
from domain.dispatch import DispatchFinished, DispatchRequested, DispatchStarted
from domain.scheduled_message import DeliveryInDoubt, MessageFailed, MessageReleased, SendRequested
from tests.application.dispatch_stories import (
    BLIND,
    DUE,
    SINK,
    TYPES,
    dispatcher,
    dispatches,
    events_of,
    message,
    repeated,
    run,
    schedule,
    scheduled,
)
from tests.fake_dispatcher_work import Memory

WORKER = ("w", UUID(int=77))
LATER = DUE + timedelta(minutes=1)
PLAN = ChannelPlan((SINK,))


def dispatch(number: int) -> UUID:
    return UUID(int=5000 + number)


def breaks(memory: Memory, log: Log, stream_id: UUID) -> None:
    memory.broken[log, stream_id] = "unknown"


def left_alone(memory: Memory) -> set[tuple[str, Log, UUID]]:
    return set(memory.left_alone)


def last(memory: Memory, number: int) -> type:
    return type(events_of(memory, message(number))[-1])


def asked(memory: Memory, *lifted: tuple[Log, UUID]) -> RetryParked:
    """An operator wants everything looked at again, of which these can be read by now."""
    for stream in lifted:
        del memory.broken[stream]
    memory.asked = list(memory.left_alone)
    return RetryParked(memory.begin(), TYPES, PLAN)


class TestDispatcher:
    @pytest.mark.parametrize(
        "odd",
        [
            replace(scheduled(1), timezone="Mars/Olympus"),
            replace(scheduled(1), message_type="BIRTH\x00DAY"),
            replace(scheduled(1), timezone="Europe/\x00London"),
        ],
        ids=["a zone that was dropped", "a type that no column takes", "a zone that no column takes"],
    )
    def test_what_cannot_be_reckoned_is_not_due_and_the_rest_is(self, odd: Any) -> None:
        memory = Memory()
        memory.write("messages", message(1), odd, now=DUE)
        schedule(memory, [2, 3])
        run(dispatcher(memory), DUE)
        assert {each for one in dispatches(memory) for each in one.message_ids} == {message(2), message(3)}
        assert left_alone(memory) == {("dispatcher", "messages", message(1))}

    def retrying(self) -> Memory:
        """Two messages that wait for their retry."""
        memory = Memory()
        schedule(memory, [1, 2])
        leader = dispatcher(memory)
        run(leader, DUE)
        for number in (1, 2):
            failed = MessageFailed(**repeated(), error="x", retry_count=1, retry_at=LATER, dispatch_id=UUID(int=1))
            memory.write("messages", message(number), failed, now=DUE)
        return memory

    def test_a_stream_that_cannot_be_read_holds_up_no_other(self) -> None:
        memory = self.retrying()
        breaks(memory, "messages", message(1))
        run(dispatcher(memory, first_id=100), LATER)
        assert [one.message_ids for one in dispatches(memory)[1:]] == [(message(2),)]
        assert left_alone(memory) == {("dispatcher", "messages", message(1))}

    def test_once_it_can_be_read_it_is_due_again(self) -> None:
        memory = self.retrying()
        breaks(memory, "messages", message(1))
        leader = dispatcher(memory, first_id=100)
        run(leader, LATER)
        assert asked(memory, ("messages", message(1))).step(LATER)
        run(leader, LATER)
        assert dispatches(memory)[-1].message_ids == (message(1),)
        assert left_alone(memory) == set()

    def test_asked_for_too_early_it_is_left_alone_again(self) -> None:
        memory = self.retrying()
        breaks(memory, "messages", message(1))
        run(dispatcher(memory, first_id=100), LATER)
        asked(memory).step(LATER)
        assert left_alone(memory) == {("dispatcher", "messages", message(1))}


def handed_out(*numbers: int) -> Memory:
    """A dispatch for each of these messages, in flight and not started."""
    memory = Memory()
    for number in numbers:
        schedule(memory, [number])
        request = SendRequested(**repeated(), attempt=1, channel="sink", dispatch_id=dispatch(number))
        memory.write("messages", message(number), request, now=DUE)
        memory.write("dispatches", dispatch(number), DispatchRequested("sink", "europe", (message(number),)), now=DUE)
    run(dispatcher(memory), DUE)
    return memory


class Bus:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.published: list[UUID] = []

    async def publish(self, commands: Any) -> None:
        self.published += [command.dispatch_id for command in commands]


class TestPublisher:
    def test_a_dispatch_that_cannot_be_read_holds_up_no_other(self) -> None:
        memory, bus = handed_out(1, 2), Bus()
        breaks(memory, "dispatches", dispatch(1))
        publisher = Publisher(memory.begin("publisher"), bus, bus_starts_empty=False)  # type: ignore[arg-type]
        asyncio.run(publisher.step(DUE))
        bus.published.clear()
        for second in range(200):
            asyncio.run(publisher.step(DUE + timedelta(seconds=second)))
        assert set(bus.published) == {dispatch(2)}
        assert left_alone(memory) == {("publisher", "dispatches", dispatch(1))}
        assert dispatch(1) not in memory.flights

    def test_once_it_can_be_read_it_is_published(self) -> None:
        memory, bus = handed_out(1), Bus()
        breaks(memory, "dispatches", dispatch(1))
        publisher = Publisher(memory.begin("publisher"), bus, bus_starts_empty=False)  # type: ignore[arg-type]
        for now in (DUE, LATER):
            asyncio.run(publisher.step(now))
        bus.published.clear()
        asked(memory, ("dispatches", dispatch(1))).step(LATER)
        asyncio.run(publisher.step(LATER + timedelta(seconds=30)))
        assert bus.published == [dispatch(1)]

    def test_one_that_cannot_be_read_passes_for_no_trial_of_its_channel(self) -> None:
        memory, bus = handed_out(1), Bus()
        breaks(memory, "dispatches", dispatch(1))
        memory.states["sink"] = ChannelState(breaker="half_open")
        publisher = Publisher(memory.begin("publisher"), bus, bus_starts_empty=False)  # type: ignore[arg-type]
        for now in (DUE, LATER):
            asyncio.run(publisher.step(now))
        schedule(memory, [2])
        run(dispatcher(memory), LATER)
        assert dispatches(memory)[-1].message_ids == (message(2),)

    def test_what_no_queue_would_take_holds_up_no_other(self) -> None:
        memory, bus = handed_out(2), Bus()
        memory.write("dispatches", dispatch(1), DispatchRequested("sink", "mars", (message(1),)), now=DUE)
        publisher = Publisher(memory.begin("publisher"), bus, bus_starts_empty=False)  # type: ignore[arg-type]
        asyncio.run(publisher.step(DUE))
        assert bus.published == [dispatch(2)]
        assert left_alone(memory) == {("publisher", "dispatches", dispatch(1))}


def claimed(*numbers: int) -> Memory:
    """A worker has started all of them, and died."""
    memory = handed_out(*numbers)
    for number in numbers:
        memory.write("dispatches", dispatch(number), DispatchStarted(*WORKER, claim_token=UUID(int=5)), now=DUE)
    run(dispatcher(memory), DUE)
    return memory


def recover(memory: Memory) -> None:
    ids = iter(range(900, 1000))
    recovery = Recovery(
        memory.begin("recovery"), TYPES, PLAN, lambda: UUID(int=next(ids)), lease_seconds=15, call_timeout_seconds=10
    )
    for second in range(40):
        recovery.step(DUE, second)


class TestRecovery:
    def test_a_dispatch_that_cannot_be_read_holds_up_no_other(self) -> None:
        memory = claimed(1, 2)
        breaks(memory, "dispatches", dispatch(1))
        recover(memory)
        assert (last(memory, 1), last(memory, 2)) == (SendRequested, SendRequested)
        assert isinstance(events_of(memory, message(2))[-2], DeliveryInDoubt)
        assert left_alone(memory) == {("recovery", "dispatches", dispatch(1))}
        assert dispatch(1) not in memory.flights

    def test_once_it_can_be_read_it_is_taken_over(self) -> None:
        memory = claimed(1, 2)
        breaks(memory, "dispatches", dispatch(1))
        recover(memory)
        asked(memory, ("dispatches", dispatch(1))).step(LATER)
        assert memory.flights[dispatch(1)].row.incarnation == WORKER[1]
        recover(memory)
        assert isinstance(events_of(memory, message(1))[-2], DeliveryInDoubt)

    def test_a_member_that_cannot_be_read_holds_up_no_other(self) -> None:
        memory = claimed(1)
        memory.write("messages", message(2), scheduled(2), now=DUE)
        request = SendRequested(**repeated(), attempt=1, channel="sink", dispatch_id=dispatch(3))
        memory.write("messages", message(2), request, now=DUE)
        memory.write("messages", message(3), scheduled(3), request, now=DUE)
        both = DispatchRequested("sink", "europe", (message(2), message(3)))
        memory.write("dispatches", dispatch(3), both, DispatchStarted(*WORKER, claim_token=UUID(int=5)), now=DUE)
        run(dispatcher(memory), DUE)
        breaks(memory, "messages", message(2))
        recover(memory)
        assert isinstance(events_of(memory, message(3))[-2], DeliveryInDoubt)
        assert left_alone(memory) == {("recovery", "messages", message(2))}
        asked(memory, ("messages", message(2))).step(LATER)
        assert last(memory, 2) is DeliveryInDoubt
        assert events_of(memory, message(2))[-1].reason == "parked"  # type: ignore[attr-defined]


class TestDoubt:
    def doubtful(self) -> Memory:
        memory = handed_out(1, 2)
        for number in (1, 2):
            doubt = DeliveryInDoubt(**repeated(), reason="timeout", channel="sink", dispatch_id=dispatch(number))
            memory.write("messages", message(number), doubt, now=DUE)
            finish = (DispatchStarted(*WORKER, claim_token=UUID(int=5)), DispatchFinished(how="recorded"))
            memory.write("dispatches", dispatch(number), *finish, now=DUE)
        return memory

    def repeat(self, memory: Memory) -> None:
        ids = iter(range(900, 1000))
        repeats = RepeatDoubt(memory.begin("doubt"), TYPES, PLAN, lambda: UUID(int=next(ids)))
        while repeats.step(DUE + REPEAT_AFTER):
            pass

    @pytest.mark.parametrize(
        "broken", [("dispatches", dispatch(1)), ("messages", message(1))], ids=["its dispatch", "the message itself"]
    )
    def test_what_cannot_be_read_is_repeated_once_it_can(self, broken: tuple[Log, UUID]) -> None:
        memory = self.doubtful()
        breaks(memory, *broken)
        self.repeat(memory)
        assert (last(memory, 1), last(memory, 2)) == (DeliveryInDoubt, SendRequested)
        assert left_alone(memory) == {("doubt", *broken)}
        asked(memory, broken)
        self.repeat(memory)
        assert last(memory, 1) is SendRequested
        assert left_alone(memory) == set()


def test_what_waits_for_a_shut_channel_fails_over_without_it() -> None:
    memory = Memory()
    memory.states["sink"] = ChannelState(breaker="open")
    schedule(memory, [1, 2])
    breaks(memory, "messages", message(1))
    run(dispatcher(memory, SINK, replace(SINK, name="spare"), by_type={"BIRTHDAY": ("sink", "spare")}), DUE)
    assert [one.message_ids for one in dispatches(memory)] == [(message(2),)]
    assert left_alone(memory) == {("dispatcher", "messages", message(1))}


def test_a_channel_that_is_gone_gives_the_others_back() -> None:
    memory = handed_out(1, 2)
    breaks(memory, "dispatches", dispatch(1))
    run(dispatcher(memory, BLIND), DUE)
    assert (last(memory, 1), MessageReleased in map(type, events_of(memory, message(2)))) == (SendRequested, True)
    assert dispatch(1) not in memory.flights


def test_a_dispatch_that_is_not_started_is_published_again_once_it_can_be_read() -> None:
    memory = handed_out(1)
    breaks(memory, "dispatches", dispatch(1))
    run(dispatcher(memory, BLIND), DUE)
    asked(memory, ("dispatches", dispatch(1))).step(LATER)
    assert memory.flights[dispatch(1)].row == InFlight(dispatch(1), "sink", "europe", 1, LATER)
