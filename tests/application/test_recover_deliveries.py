"""What becomes of the messages that a dead worker had claimed?"""

from itertools import count
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.channel_plan import ChannelPlan, ChannelTraits
from application.dispatcher_ports import InFlight
from application.recover_deliveries import FORGET_AFTER_SECONDS, Recovery
from domain.dispatch import DispatchFinished, DispatchRequested, DispatchStarted
from domain.message_type import MessageTypes
from domain.message_types.birthday import BIRTHDAY
from domain.scheduled_message import DeliveryInDoubt, LateResultRecorded, MessageSent, SendRequested
from tests.application.dispatch_stories import (
    ASKED,
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
)
from tests.fake_dispatcher_work import Memory

WORKER = ("w", UUID(int=77))
FIRST, AGAIN = UUID(int=1), UUID(int=900)
DEAD_AFTER = 15 + 10
FORGOTTEN_AFTER = int(FORGET_AFTER_SECONDS)


def claimed(*numbers: int, channel: ChannelTraits = SINK) -> Memory:
    """A worker has started the one dispatch of these messages, and the dispatcher knows."""
    memory = Memory()
    schedule(memory, numbers)
    leader = dispatcher(memory, channel)
    run(leader, DUE)
    memory.counters[WORKER] = 1
    memory.write("dispatches", FIRST, DispatchStarted(worker=WORKER[0], incarnation=WORKER[1], claim_token=UUID(int=5)), now=DUE)
    run(leader, DUE)
    return memory


def recovery(memory: Memory, channel: ChannelTraits = SINK, types: MessageTypes = TYPES) -> Recovery:
    ids = count(AGAIN.int)
    plan = ChannelPlan((channel,))
    new_id = lambda: UUID(int=next(ids))  # noqa: E731
    return Recovery(memory.begin(), types, plan, new_id, lease_seconds=15, call_timeout_seconds=10)


def watch(recovery: Recovery, start: int, end: int) -> None:
    """Look each second, on a monotonic clock that has nothing to do with the wall's."""
    for second in range(start, end):
        recovery.step(DUE, second)


def sent(number: int) -> MessageSent:
    return MessageSent(**repeated(), sent_at=DUE, response_code=200, provider_id="", template_version=1, dispatch_id=FIRST)


def finished(memory: Memory) -> list[DispatchFinished]:
    return [recorded.event for recorded in memory.logs["dispatches"] if isinstance(recorded.event, DispatchFinished)]


def test_a_worker_whose_counter_stands_still_for_lease_and_call_is_dead() -> None:
    memory = claimed(1)
    watching = recovery(memory)
    watch(watching, 0, DEAD_AFTER)
    assert not finished(memory)
    watch(watching, DEAD_AFTER, DEAD_AFTER + 1)
    assert finished(memory) == [DispatchFinished(how="worker_dead")]


def test_a_slow_worker_that_still_bumps_its_counter_is_alive() -> None:
    memory = claimed(1)
    watching = recovery(memory)
    for second in range(600):
        memory.counters[WORKER] += second % 14 == 0
        watching.step(DUE, second)
    assert not finished(memory)


def test_a_worker_that_never_had_a_counter_is_dead_a_lease_after_first_sight() -> None:
    memory = claimed(1)
    memory.counters.clear()
    watching = recovery(memory)
    watch(watching, 100, 100 + DEAD_AFTER)
    assert not finished(memory)
    watch(watching, 100 + DEAD_AFTER, 101 + DEAD_AFTER)
    assert finished(memory)


def test_time_in_which_nobody_looked_calls_nobody_dead() -> None:
    memory = claimed(1)
    watching = recovery(memory)
    watch(watching, 0, 20)
    watch(watching, 50, 50 + DEAD_AFTER)
    assert not finished(memory)


def test_an_outage_of_the_database_calls_nobody_dead() -> None:
    memory = claimed(1)
    watching = recovery(memory)
    watch(watching, 0, DEAD_AFTER - 1)
    memory.epoch = 2
    with pytest.raises(Exception):  # noqa: B017
        watching.step(DUE, DEAD_AFTER - 1)
    memory.epoch = 1
    watch(watching, DEAD_AFTER, 2 * DEAD_AFTER)
    assert not finished(memory)


def test_on_an_idempotent_channel_the_same_members_are_requested_again_at_once() -> None:
    memory = claimed(1, 2, 3)
    memory.write("messages", message(2), sent(2), now=DUE)
    watch(recovery(memory), 0, DEAD_AFTER + 1)
    left = tuple(member for member in dispatches(memory)[0].message_ids if member != message(2))
    assert dispatches(memory)[1:] == [DispatchRequested(channel="sink", region="europe", message_ids=left)]
    doubt = DeliveryInDoubt(**repeated(), reason="worker_dead", channel="sink", dispatch_id=FIRST)
    repeat = SendRequested(**repeated(), attempt=1, channel="sink", dispatch_id=AGAIN, repeat_of=FIRST)
    assert events_of(memory, message(1))[-2:] == [doubt, repeat]
    assert events_of(memory, message(3))[-2:] == [doubt, repeat]
    assert events_of(memory, message(2))[-1] == sent(2)
    assert {key: flight.row for key, flight in memory.flights.items()} == {AGAIN: InFlight(AGAIN, "sink", "europe", 2, DUE)}


def test_where_the_provider_can_be_asked_the_same_members_are_requested_again_at_once() -> None:
    memory = claimed(1, 2, channel=ASKED)
    watch(recovery(memory, ASKED), 0, DEAD_AFTER + 1)
    first, again = dispatches(memory)
    assert again.message_ids == first.message_ids
    assert isinstance(events_of(memory, message(1))[-1], SendRequested)


def test_where_nobody_deduplicates_the_doubt_waits_for_a_person() -> None:
    memory = claimed(1, channel=BLIND)
    watch(recovery(memory, BLIND), 0, DEAD_AFTER + 1)
    assert events_of(memory, message(1))[-1] == DeliveryInDoubt(
        **repeated(), reason="worker_dead", channel="blind", dispatch_id=FIRST
    )
    assert len(dispatches(memory)) == 1
    assert not memory.flights


def test_a_type_that_prefers_delivery_is_requested_again_all_the_same() -> None:
    memory = claimed(1, channel=BLIND)
    watch(recovery(memory, BLIND, MessageTypes(replace(BIRTHDAY, doubt="prefer_delivery"))), 0, DEAD_AFTER + 1)
    assert [handed.message_ids for handed in dispatches(memory)] == [(message(1),), (message(1),)]


def test_an_outcome_that_comes_in_the_race_is_kept_and_not_doubted() -> None:
    memory = claimed(1, 2)
    memory.before_append = lambda: memory.write("messages", message(1), sent(1), now=DUE)
    watch(recovery(memory), 0, DEAD_AFTER + 1)
    assert events_of(memory, message(1))[-1] == sent(1)
    assert dispatches(memory)[1].message_ids == (message(2),)


def test_a_dispatch_finished_in_the_race_is_left_alone() -> None:
    memory = claimed(1)
    watching = recovery(memory)
    watch(watching, 0, DEAD_AFTER)
    memory.write("messages", message(1), sent(1), now=DUE)
    memory.write("dispatches", FIRST, DispatchFinished(how="recorded"), now=DUE)
    watch(watching, DEAD_AFTER, DEAD_AFTER + 3)
    assert finished(memory) == [DispatchFinished(how="recorded")]
    assert events_of(memory, message(1))[-1] == sent(1)


def test_only_the_dead_workers_dispatches_are_taken_over() -> None:
    memory = claimed(1)
    schedule(memory, [2])
    leader = dispatcher(memory, first_id=2)
    run(leader, DUE)
    alive = ("v", UUID(int=78))
    memory.counters[alive] = 1
    memory.write("dispatches", UUID(int=2), DispatchStarted(worker="v", incarnation=alive[1], claim_token=UUID(int=6)), now=DUE)
    run(leader, DUE)
    watching = recovery(memory)
    for second in range(DEAD_AFTER + 5):
        memory.counters[alive] += 1
        watching.step(DUE, second)
    assert isinstance(events_of(memory, message(2))[-1], SendRequested)
    assert len(finished(memory)) == 1


def test_the_repeat_of_a_repeat_is_taken_over_as_well() -> None:
    memory = claimed(1)
    leader = dispatcher(memory, first_id=500)
    watch(recovery(memory), 0, DEAD_AFTER + 1)
    memory.write("dispatches", AGAIN, DispatchStarted(worker="v", incarnation=UUID(int=78), claim_token=UUID(int=6)), now=DUE)
    run(leader, DUE)
    second = recovery(memory)
    second._new_id = lambda: UUID(int=901)
    watch(second, 0, DEAD_AFTER + 1)
    last = events_of(memory, message(1))[-1]
    assert isinstance(last, SendRequested)
    assert (last.dispatch_id, last.repeat_of) == (UUID(int=901), AGAIN)
    assert not any(isinstance(event, LateResultRecorded) for event in events_of(memory, message(1)))


def test_a_worker_that_claimed_nothing_and_stands_still_is_forgotten_after_a_long_time() -> None:
    memory = Memory()
    memory.counters = {WORKER: 1, ("v", UUID(int=78)): 1}
    watching = recovery(memory)
    for second in range(FORGOTTEN_AFTER):
        memory.counters["v", UUID(int=78)] += second % 300 == 0
        watching.step(DUE, second)
    assert WORKER in memory.counters
    watch(watching, FORGOTTEN_AFTER, FORGOTTEN_AFTER + 1)
    assert memory.counters.keys() == {("v", UUID(int=78))}


def test_a_dead_worker_is_forgotten_only_once_its_claims_are_taken_over() -> None:
    memory = claimed(1)
    watching = recovery(memory)
    watching._patience_seconds = FORGOTTEN_AFTER + 100
    watch(watching, 0, FORGOTTEN_AFTER + 100)
    assert WORKER in memory.counters
    watch(watching, FORGOTTEN_AFTER + 100, FORGOTTEN_AFTER + 102)
    assert finished(memory)
    assert not memory.counters
