"""Is it today's settings that say when a message is too late, also for what was planned under others?"""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from application.channel_states import ChannelState
from domain.message_type import MessageTypes
from domain.message_types.birthday import BIRTHDAY
from domain.scheduled_message import MessageExpired, MessageRedriven, SendRequested
from tests.application.dispatch_stories import (
    BEFORE,
    DUE,
    dispatcher,
    dispatches,
    events_of,
    message,
    repeated,
    run,
    schedule,
)
from tests.fake_dispatcher_work import Memory

HOUR = timedelta(hours=1)
SHORT = MessageTypes(replace(BIRTHDAY, late_window=HOUR))
LONG = MessageTypes(replace(BIRTHDAY, late_window=12 * HOUR))


def planned(*numbers: int) -> Memory:
    """While an hour was all the time there was; then came an outage."""
    memory = Memory()
    schedule(memory, numbers)
    run(dispatcher(memory, types=SHORT), BEFORE)
    return memory


def last(memory: Memory, number: int) -> type:
    return type(events_of(memory, message(number))[-1])


def test_a_window_that_was_made_longer_reaches_what_was_planned_before() -> None:
    memory = planned(1)
    run(dispatcher(memory, types=LONG), DUE + 2 * HOUR)
    assert last(memory, 1) is SendRequested


def test_past_the_longer_window_it_expires() -> None:
    memory = planned(1)
    run(dispatcher(memory, types=LONG), DUE + 12 * HOUR)
    assert last(memory, 1) is MessageExpired
    assert memory.due == {}


def test_what_was_missed_by_the_thousand_goes_out_page_by_page() -> None:
    memory = planned(*range(1, 2_501))
    run(dispatcher(memory, types=LONG), DUE + 2 * HOUR)
    assert sum(len(one.message_ids) for one in dispatches(memory)) == 2_500


@pytest.mark.parametrize("held", ["pause", "breaker"])
def test_what_is_held_back_waits_by_the_longer_window_too(held: str) -> None:
    memory = planned(*range(1, 1_501))
    if held == "pause":
        memory.paused.add("BIRTHDAY")
    else:
        memory.states["sink"] = ChannelState("open", open_seconds=20)
    leader = dispatcher(memory, types=LONG)
    run(leader, DUE + 2 * HOUR)
    assert {last(memory, number).__name__ for number in (1, 1_500)} == {"MessageScheduled"}
    memory.paused.clear()
    memory.states.clear()
    run(leader, DUE + 3 * HOUR)
    assert sum(len(one.message_ids) for one in dispatches(memory)) == 1_500


def test_one_that_was_redriven_keeps_the_time_it_was_given() -> None:
    memory = planned(1)
    leader = dispatcher(memory, types=LONG)
    redriven = MessageRedriven(**repeated(due_at=DUE + HOUR), by="cli", send_before=DUE + 2 * HOUR)
    memory.write("messages", message(1), MessageExpired(**repeated(), reason="late_window"), redriven, now=DUE + HOUR)
    run(leader, DUE + 2 * HOUR)
    assert last(memory, 1) is MessageExpired


def test_of_a_type_that_is_gone_the_window_stays_that_it_had() -> None:
    memory = planned(1)
    run(dispatcher(memory, types=MessageTypes()), DUE + 2 * HOUR)
    assert last(memory, 1) is MessageExpired


def test_what_cannot_be_read_does_not_expire_unseen() -> None:
    memory = planned(1, 2)
    memory.broken["messages", message(1)] = "unknown"
    run(dispatcher(memory, types=LONG), DUE + 2 * HOUR)
    assert (len(events_of(memory, message(1))), last(memory, 2)) == (1, SendRequested)
    assert set(memory.left_alone) == {("dispatcher", "messages", message(1))}
