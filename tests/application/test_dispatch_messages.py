"""When is a message handed to the workers, and in which company?"""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.dispatcher_ports import DueMessage, InFlight
from application.ports import Deposed
from domain.dispatch import DispatchFinished, DispatchMemberWithdrawn, DispatchStarted
from domain.message_type import MessageTypes
from domain.message_types.birthday import BIRTHDAY
from domain.scheduled_message import (
    MessageCancelled,
    MessageExpired,
    MessageRescheduled,
    MessageSent,
    SendRequested,
)
from tests.application.dispatch_stories import (
    BEFORE,
    BLIND,
    DUE,
    SECOND,
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

LATER = DUE + timedelta(hours=1)


def moved_to(due_at: datetime, timezone: str = "Asia/Tokyo") -> MessageRescheduled:
    return MessageRescheduled(**repeated(timezone, due_at), reason="zone_moved", rule="plain", tzdata="2026f")


def sent(dispatch_id: UUID) -> MessageSent:
    return MessageSent(**repeated(), sent_at=DUE, response_code=200, provider_id="", template_version=1, dispatch_id=dispatch_id)


def test_nothing_is_requested_before_its_due_instant() -> None:
    memory = Memory()
    schedule(memory, [1])
    run(dispatcher(memory), DUE - SECOND)
    assert not dispatches(memory)


def test_a_due_message_is_requested_as_a_member_of_a_dispatch() -> None:
    memory = Memory()
    schedule(memory, [1])
    run(dispatcher(memory), DUE)
    [handed] = dispatches(memory)
    assert (handed.channel, handed.region, handed.message_ids) == ("sink", "europe", (message(1),))
    assert events_of(memory, message(1))[1:] == [SendRequested(**repeated(), attempt=1, channel="sink", dispatch_id=UUID(int=1))]


def test_a_dispatch_holds_one_region_and_at_most_a_hundred() -> None:
    memory = Memory()
    schedule(memory, range(1, 251), "Europe/London")
    schedule(memory, range(251, 261), "Asia/Tokyo")
    run(dispatcher(memory), DUE)
    assert sorted((handed.region, len(handed.message_ids)) for handed in dispatches(memory)) == [
        ("asia", 10),
        ("europe", 50),
        ("europe", 100),
        ("europe", 100),
    ]
    members = [member for handed in dispatches(memory) for member in handed.message_ids]
    assert len(members) == len(set(members)) == 260


def test_where_doubt_cannot_be_cleared_a_dispatch_is_no_larger_than_the_open_calls() -> None:
    memory = Memory()
    schedule(memory, range(1, 16))
    run(dispatcher(memory, BLIND), DUE)
    assert [len(handed.message_ids) for handed in dispatches(memory)] == [7, 7, 1]


def test_the_more_urgent_type_goes_first() -> None:
    memory = Memory()
    types = MessageTypes(BIRTHDAY, replace(BIRTHDAY, name="ALARM", priority=1))
    schedule(memory, range(1, 4))
    urgent = replace(scheduled(9, due_at=DUE + SECOND), message_type="ALARM")
    memory.write("messages", message(9), urgent, now=BEFORE)
    run(dispatcher(memory, types=types), LATER)
    assert dispatches(memory)[0].message_ids[0] == message(9)


def test_a_message_cancelled_in_the_race_is_struck_and_the_dispatch_goes_without_it() -> None:
    memory = Memory()
    schedule(memory, [1, 2, 3])
    cancelled = MessageCancelled(**repeated(), reason="suppressed")
    memory.before_append = lambda: memory.write("messages", message(2), cancelled, now=DUE)
    run(dispatcher(memory), DUE)
    assert [handed.message_ids for handed in dispatches(memory)] == [tuple(sorted((message(1), message(3))))]
    assert events_of(memory, message(2))[-1] == cancelled
    assert not memory.due


def test_a_message_moved_in_the_race_is_struck_and_waits_for_its_new_instant() -> None:
    memory = Memory()
    schedule(memory, [1, 2])
    memory.before_append = lambda: memory.write("messages", message(2), moved_to(LATER), now=DUE)
    run(dispatcher(memory), DUE)
    run(dispatcher(memory, first_id=50), LATER)
    assert [(handed.region, handed.message_ids) for handed in dispatches(memory)] == [
        ("europe", (message(1),)),
        ("asia", (message(2),)),
    ]


def test_a_dispatch_whose_every_member_lost_does_not_go() -> None:
    memory = Memory()
    schedule(memory, [1])
    memory.before_append = lambda: memory.write("messages", message(1), moved_to(LATER), now=DUE)
    run(dispatcher(memory), DUE)
    assert not dispatches(memory)
    assert not memory.flights


def test_past_its_late_window_a_message_expires_instead() -> None:
    memory = Memory()
    schedule(memory, [1])
    run(dispatcher(memory), DUE + timedelta(hours=30))
    assert events_of(memory, message(1))[-1] == MessageExpired(**repeated(), reason="late_window")
    assert not dispatches(memory)


def test_while_the_clock_is_not_steady_nothing_is_due_and_nothing_expires() -> None:
    memory = Memory()
    schedule(memory, [1])
    assert not dispatcher(memory).step(DUE + timedelta(hours=30), steady=False)
    assert len(events_of(memory, message(1))) == 1


def test_a_dispatch_is_in_flight_until_it_is_finished() -> None:
    memory = Memory()
    schedule(memory, range(1, 4))
    leader = dispatcher(memory)
    run(leader, DUE)
    incarnation, flight = UUID(int=77), UUID(int=1)
    memory.write("dispatches", flight, DispatchMemberWithdrawn(message_id=message(3)), now=DUE)
    run(leader, DUE)
    assert memory.flights[flight].row == InFlight(flight, "sink", "europe", 2, DUE)
    memory.write("dispatches", flight, DispatchStarted(worker="w", incarnation=incarnation, claim_token=UUID(int=5)), now=DUE)
    run(leader, DUE)
    assert memory.flights[flight].row == InFlight(flight, "sink", "europe", 2, DUE, "w", incarnation)
    memory.write("dispatches", flight, DispatchFinished(how="recorded"), now=DUE)
    run(leader, DUE)
    assert not memory.flights


def test_a_deposed_dispatcher_writes_nothing() -> None:
    memory = Memory()
    schedule(memory, [1])
    old, new = dispatcher(memory), dispatcher(memory, epoch=2, first_id=50)
    memory.epoch = 2
    with pytest.raises(Deposed):
        old.step(DUE, steady=True)
    assert not dispatches(memory)
    run(new, DUE)
    assert len(dispatches(memory)) == 1


def test_a_dispatcher_that_forgot_everything_sends_nothing_twice() -> None:
    memory = Memory()
    schedule(memory, [1, 2])
    run(dispatcher(memory), DUE)
    memory.write("messages", message(1), sent(UUID(int=1)), now=DUE)
    memory.positions.clear()
    memory.flights.clear()
    run(dispatcher(memory, first_id=50), LATER)
    assert len(dispatches(memory)) == 1
    assert not memory.due
    assert set(memory.flights) == {UUID(int=1)}


def test_what_is_due_follows_a_change_of_channel_and_priority_at_the_next_start() -> None:
    memory = Memory()
    schedule(memory, [1])
    run(dispatcher(memory), BEFORE)
    run(dispatcher(memory, BLIND, types=MessageTypes(replace(BIRTHDAY, priority=5))), DUE)
    assert [handed.channel for handed in dispatches(memory)] == ["blind"]


def test_it_wakes_at_the_next_due_instant_or_after_a_second() -> None:
    memory = Memory()
    schedule(memory, [1])
    leader = dispatcher(memory)
    run(leader, BEFORE)
    assert leader.next_wake(BEFORE) == 1.0
    assert leader.next_wake(DUE - SECOND / 4) == 0.25
    run(leader, DUE)
    assert leader.next_wake(DUE) == 1.0


def test_a_row_of_an_older_version_never_replaces_a_newer_one() -> None:
    memory = Memory()
    schedule(memory, [1])
    run(dispatcher(memory), BEFORE)
    [row] = memory.due.values()
    with memory.begin()() as work:
        work.put_due([replace(row, version=3, ready_at=LATER)])
        work.put_due([row])
    assert isinstance(row, DueMessage)
    assert memory.due[message(1)].version == 3
