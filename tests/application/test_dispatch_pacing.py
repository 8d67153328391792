"""How much is handed to the workers at a time?"""

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.channel_states import ChannelState
from application.dispatcher_ports import InFlight
from application.expire_held import AT_ANY_RATE_EVERY
from application.provider_limit import ProviderLimit
from domain.message_type import MessageTypes
from domain.message_types.birthday import BIRTHDAY
from domain.scheduled_message import DeliveryInDoubt, FailedOver, MessageExpired, MessageReleased, SendRequested
from tests.application.dispatch_stories import (
    BEFORE,
    BLIND,
    DUE,
    SECOND,
    SINK,
    dispatcher,
    dispatches,
    events_of,
    message,
    repeated,
    requested,
    run,
    schedule,
    scheduled,
)
from tests.fake_dispatcher_work import Memory


def fill(memory: Memory, members: int, channel: str = "sink") -> None:
    with memory.begin()() as work:
        work.put_in_flight([InFlight(UUID(int=10_000), channel, "europe", members, DUE)])


def test_a_full_channel_gets_nothing_until_it_is_half_empty() -> None:
    memory = Memory()
    schedule(memory, [1])
    leader = dispatcher(memory)
    for members, handed in ((8_000, 0), (4_000, 0), (3_999, 1)):
        memory.flights.clear()
        fill(memory, members)
        run(leader, DUE)
        assert len(dispatches(memory)) == handed, members


def test_what_becomes_too_late_behind_a_full_channel_expires_there_and_then() -> None:
    memory = Memory()
    schedule(memory, [1])
    leader = dispatcher(memory)
    fill(memory, 8_000)
    run(leader, DUE)
    assert events_of(memory, message(1)) == [scheduled(1)]
    run(leader, DUE + timedelta(hours=20))
    assert events_of(memory, message(1))[1:] == [MessageExpired(**repeated(), reason="late_window")]
    assert dispatches(memory) == []


def test_what_is_too_late_is_looked_for_once_a_minute() -> None:
    memory = Memory()
    leader, late = dispatcher(memory), DUE + timedelta(hours=20)
    fill(memory, 8_000)
    schedule(memory, [1])
    run(leader, late)
    schedule(memory, [2])
    run(leader, late + SECOND)
    assert len(events_of(memory, message(2))) == 1
    run(leader, late + AT_ANY_RATE_EVERY)
    assert isinstance(events_of(memory, message(2))[-1], MessageExpired)


def test_one_full_channel_hides_no_other() -> None:
    memory = Memory()
    types = MessageTypes(BIRTHDAY, replace(BIRTHDAY, name="OTHER"))
    schedule(memory, [1])
    memory.write("messages", message(2), replace(scheduled(2), message_type="OTHER"), now=BEFORE)
    leader = dispatcher(memory, SINK, BLIND, types=types, by_type={"OTHER": ("blind",)})
    fill(memory, 8_000)
    run(leader, DUE)
    assert [handed.channel for handed in dispatches(memory)] == ["blind"]


def test_all_channels_together_hold_no_more_than_ten_thousand() -> None:
    memory = Memory()
    schedule(memory, range(1, 31))
    fill(memory, 9_990, channel="other")
    run(dispatcher(memory), DUE)
    assert sum(len(handed.message_ids) for handed in dispatches(memory)) == 10


def test_all_channels_share_what_room_is_left() -> None:
    memory = Memory()
    types = MessageTypes(BIRTHDAY, replace(BIRTHDAY, name="OTHER"))
    schedule(memory, range(1, 11))
    for number in range(11, 21):
        memory.write("messages", message(number), replace(scheduled(number), message_type="OTHER"), now=BEFORE)
    fill(memory, 9_985, channel="third")
    run(dispatcher(memory, SINK, BLIND, types=types, by_type={"OTHER": ("blind",)}), DUE)
    assert sum(len(handed.message_ids) for handed in dispatches(memory)) == 15


OPEN, HALF_OPEN = ChannelState("open", open_seconds=20), ChannelState("half_open")
HELD = ChannelState(hold_seconds=5, share=0.5)
SPARE = replace(SINK, name="spare")


def test_a_channel_with_a_limit_gets_no_more_than_leaves_soon() -> None:
    memory = Memory()
    schedule(memory, range(1, 201))
    leader = dispatcher(memory, replace(SINK, limit=ProviderLimit(most=100, per_seconds=60)))
    for members, handed in ((0, 50), (25, 50), (24, 76)):
        memory.flights.clear()
        fill(memory, members)
        run(leader, DUE)
        assert sum(len(one.message_ids) for one in dispatches(memory)) == handed


@pytest.mark.parametrize(("state", "handed"), [(OPEN, 0), (HELD, 0), (HALF_OPEN, 1), (ChannelState(share=0.5), 300)], ids=str)
def test_a_channel_in_trouble_gets_nothing_and_a_half_open_one_a_trial(state: ChannelState, handed: int) -> None:
    memory = Memory()
    memory.states["sink"] = state
    schedule(memory, range(1, 301))
    run(dispatcher(memory), DUE)
    assert sum(len(one.message_ids) for one in dispatches(memory)) == handed


def test_a_half_open_channel_gets_one_trial_at_a_time() -> None:
    memory = Memory()
    memory.states["sink"] = HALF_OPEN
    schedule(memory, [1])
    fill(memory, 1)
    run(dispatcher(memory), DUE)
    assert dispatches(memory) == []


def test_when_the_breaker_has_closed_the_backlog_goes_by_due_instant() -> None:
    memory = Memory()
    memory.states["sink"] = OPEN
    schedule(memory, [3], due_at=DUE)
    schedule(memory, [1], due_at=DUE - 2 * SECOND)
    schedule(memory, [2], due_at=DUE - SECOND)
    leader = dispatcher(memory, replace(SINK, bulk=1))
    run(leader, DUE)
    assert dispatches(memory) == []
    memory.states["sink"] = ChannelState()
    run(leader, DUE)
    assert [one.message_ids for one in dispatches(memory)] == [(message(1), message(2), message(3))]


def test_what_waits_for_a_shut_channel_goes_on_through_the_next_of_its_type() -> None:
    memory = Memory()
    memory.states["sink"] = OPEN
    schedule(memory, [1, 2])
    types = MessageTypes(BIRTHDAY, replace(BIRTHDAY, name="OTHER"))
    memory.write("messages", message(3), replace(scheduled(3), message_type="OTHER"), now=BEFORE)
    run(dispatcher(memory, SINK, SPARE, types=types, by_type={"BIRTHDAY": ("sink", "spare")}), DUE)
    assert [(one.channel, set(one.message_ids)) for one in dispatches(memory)] == [("spare", {message(1), message(2)})]
    over = [event for event in events_of(memory, message(1)) if isinstance(event, FailedOver)]
    assert [(event.from_channel, event.to_channel) for event in over] == [("sink", "spare")]
    assert not any(isinstance(event, FailedOver) for event in events_of(memory, message(3)))


@pytest.mark.parametrize(("after", "channel"), [(ChannelState(), "sink"), (OPEN, "spare")], ids=["well", "in vain"])
def test_a_half_open_channel_keeps_what_is_its_own_until_its_trial_has_ended(after: ChannelState, channel: str) -> None:
    memory = Memory()
    memory.states["sink"] = HALF_OPEN
    schedule(memory, [1, 2, 3])
    leader = dispatcher(memory, SINK, SPARE, by_type={"BIRTHDAY": ("sink", "spare")})
    run(leader, DUE)
    [trial] = dispatches(memory)
    assert (trial.channel, len(trial.message_ids)) == ("sink", 1)
    memory.flights.clear()
    memory.states["sink"] = after
    run(leader, DUE + SECOND)
    assert [(one.channel, len(one.message_ids)) for one in dispatches(memory)[1:]] == [(channel, 2)]


def test_nothing_fails_over_to_a_channel_that_is_shut_as_well_or_only_because_it_was_throttled() -> None:
    in_trouble: tuple[dict[str, ChannelState], ...] = (
        *({"sink": OPEN, "spare": spare} for spare in (OPEN, HALF_OPEN, HELD)),
        {"sink": HELD},
    )
    for states in in_trouble:
        memory = Memory()
        memory.states.update(states)
        schedule(memory, [1])
        run(dispatcher(memory, SINK, SPARE, by_type={"BIRTHDAY": ("sink", "spare")}), DUE)
        assert len(events_of(memory, message(1))) == 1


def test_what_may_have_been_accepted_waits_for_its_own_channel() -> None:
    memory = Memory()
    schedule(memory, [1])
    leader = dispatcher(memory, SINK, SPARE, by_type={"BIRTHDAY": ("sink", "spare")})
    run(leader, DUE)
    first = dispatches(memory)[0]
    dispatch_id = requested(memory)[0].stream_id
    doubt = DeliveryInDoubt(**repeated(), reason="timeout", channel="sink", dispatch_id=dispatch_id)
    again = SendRequested(**repeated(), attempt=1, channel="sink", dispatch_id=UUID(int=99), repeat_of=dispatch_id)
    back = MessageReleased(**repeated(), dispatch_id=UUID(int=99), reason="breaker_open")
    memory.write("messages", first.message_ids[0], doubt, again, back, now=DUE)
    memory.flights.clear()
    memory.states["sink"] = OPEN
    run(leader, DUE + SECOND)
    assert isinstance(events_of(memory, message(1))[-1], MessageReleased)
    assert memory.due[message(1)].channel == "sink"
