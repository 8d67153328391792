"""Is a call with an unclear answer made again, later and with the same members, only where that can do no harm?"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Final
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.channel_plan import ChannelPlan, ChannelTraits
from application.dispatcher_ports import InFlight
from application.pacing import MOST_IN_ALL
from application.ports import Group, NewEvents, Origin
from application.repeat_doubt import REPEAT_AFTER, RepeatDoubt
from domain.dispatch import DispatchFinished, DispatchRequested
from domain.event import Event
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

FIRST, AGAIN = UUID(int=1), UUID(int=900)
READY: Final = DUE + REPEAT_AFTER
TOO_LATE: Final = DUE + timedelta(days=1)


def in_doubt(*numbers: int, channel: ChannelTraits = SINK, reason: str = "timeout", memory: Memory | None = None) -> Memory:
    """One dispatch of these messages was called for, and nobody knows what became of it."""
    memory = memory or Memory()
    schedule(memory, numbers)
    run(dispatcher(memory, channel), DUE)
    outcome(memory, FIRST, numbers, reason, channel.name)
    return memory


def outcome(
    memory: Memory, dispatch_id: UUID, numbers: Sequence[int], reason: str, channel: str = "sink", at: datetime = DUE
) -> None:
    doubt = DeliveryInDoubt(**repeated(), reason=reason, channel=channel, dispatch_id=dispatch_id)
    doubts = [NewEvents("messages", message(number), len(events_of(memory, message(number))), (doubt,)) for number in numbers]
    end = NewEvents("dispatches", dispatch_id, 1, (DispatchFinished(how="recorded"),))
    assert not memory.append([Group((*doubts, end))], Origin("worker"), at).lost


def repeater(memory: Memory, channel: ChannelTraits = SINK, types: MessageTypes = TYPES) -> RepeatDoubt:
    ids = count(AGAIN.int)
    return RepeatDoubt(memory.begin("doubt"), types, ChannelPlan((channel,)), lambda: UUID(int=next(ids)))


def last(memory: Memory, number: int) -> Event:
    return events_of(memory, message(number))[-1]


def test_the_members_in_doubt_become_one_dispatch_in_the_same_order() -> None:
    memory = in_doubt(3, 1, 2)
    repeater(memory).step(READY)
    first, again = dispatches(memory)
    assert again == DispatchRequested(channel="sink", region="europe", message_ids=first.message_ids)
    assert last(memory, 1) == SendRequested(**repeated(), attempt=1, channel="sink", dispatch_id=AGAIN, repeat_of=FIRST)
    assert memory.flights[AGAIN].row.members == 3


def test_nothing_is_repeated_before_its_time_and_then_once() -> None:
    memory = in_doubt(1)
    repeating = repeater(memory)
    repeating.step(READY - timedelta(seconds=1))
    assert len(dispatches(memory)) == 1
    for _ in range(3):
        repeating.step(READY)
    assert len(dispatches(memory)) == 2


def test_a_doubt_that_must_wait_outlasts_a_restart() -> None:
    memory = in_doubt(1)
    repeater(memory).step(DUE)
    repeater(memory).step(READY)
    assert len(dispatches(memory)) == 2


def test_what_comes_into_doubt_again_is_repeated_again() -> None:
    memory = in_doubt(1)
    repeating = repeater(memory)
    repeating.step(READY)
    outcome(memory, AGAIN, [1], "timeout", at=READY)
    repeating.step(READY + REPEAT_AFTER)
    assert len(dispatches(memory)) == 3


def test_a_doubt_cleared_meanwhile_is_not_repeated() -> None:
    memory = in_doubt(1, 2)
    accepted = MessageSent(**repeated(), sent_at=DUE, response_code=200, provider_id="", template_version=1, dispatch_id=FIRST)
    memory.write("messages", message(1), accepted, now=DUE)
    repeater(memory).step(READY)
    assert dispatches(memory)[-1].message_ids == (message(2),)


def test_a_late_answer_in_between_is_read_and_decided_again() -> None:
    memory = in_doubt(1, 2)
    late = LateResultRecorded(**repeated(), dispatch_id=UUID(int=5), result="accepted")
    memory.before_append = lambda: memory.write("messages", message(1), late, now=READY)
    repeater(memory).step(READY)
    assert len(dispatches(memory)) == 2
    assert isinstance(last(memory, 1), SendRequested)


@pytest.mark.parametrize("reason", ["worker_dead", "restored", "late_window", "key_conflict:409"])
def test_doubts_that_others_see_to_are_left_to_them(reason: str) -> None:
    memory = in_doubt(1, reason=reason)
    repeater(memory).step(READY)
    assert len(dispatches(memory)) == 1


def test_where_the_provider_can_be_asked_first_it_is_requested_again() -> None:
    memory = in_doubt(1, channel=ASKED, reason="lookup:503")
    repeater(memory, ASKED).step(READY)
    assert len(dispatches(memory)) == 2


def test_where_a_repeat_could_be_a_duplicate_a_person_decides() -> None:
    memory = in_doubt(1, channel=BLIND)
    repeater(memory, BLIND).step(READY)
    assert len(dispatches(memory)) == 1


def test_a_type_that_prefers_delivery_is_repeated_all_the_same() -> None:
    memory = in_doubt(1, channel=BLIND)
    repeater(memory, BLIND, MessageTypes(replace(BIRTHDAY, doubt="prefer_delivery"))).step(READY)
    assert len(dispatches(memory)) == 2


def test_past_its_late_window_a_doubt_is_not_repeated() -> None:
    memory = in_doubt(1)
    repeater(memory).step(TOO_LATE)
    assert len(dispatches(memory)) == 1
    assert not memory.left_alone


def test_doubts_are_repeated_only_as_far_as_there_is_room_in_flight() -> None:
    memory = in_doubt(*range(1, 4))
    run(dispatcher(memory, first_id=50), DUE)  # hears of the end
    schedule(memory, [4, 5])
    run(dispatcher(memory, first_id=60), DUE)
    outcome(memory, UUID(int=60), [4, 5], "timeout")
    with memory.begin()() as work:
        work.finished(list(memory.flights))
        work.put_in_flight([InFlight(UUID(int=10_000), "other", "europe", MOST_IN_ALL - 4, DUE)])
    repeating = repeater(memory)
    assert not repeating.step(READY)
    assert [len(one.message_ids) for one in dispatches(memory)[2:]] == [3]
    assert not repeating.step(READY)
    with memory.begin()() as work:
        work.finished([UUID(int=10_000)])
    repeating.step(READY)
    assert [len(one.message_ids) for one in dispatches(memory)[2:]] == [3, 2]


def test_the_end_of_a_page_does_not_tear_a_dispatch_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = in_doubt(*range(1, 100))  # 99 scheduled, 99 requested, 99 in doubt
    memory.positions["doubt", "messages"] = 98
    monkeypatch.setattr("application.repeat_doubt.READ_AT_ONCE", 150)
    repeating = repeater(memory)
    while repeating.step(READY):
        pass
    assert [len(batch.message_ids) for batch in dispatches(memory)] == [99, 99]


def test_a_step_repeats_a_page_of_the_doubts_that_it_read_and_goes_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = in_doubt(*range(1, 4))
    run(dispatcher(memory, first_id=50), DUE)  # hears of the end
    schedule(memory, [4, 5])
    run(dispatcher(memory, first_id=60), DUE)
    outcome(memory, UUID(int=60), [4, 5], "timeout")
    monkeypatch.setattr("application.repeat_doubt.PAGE", 4)
    repeating = repeater(memory)
    assert repeating.step(READY)
    assert [len(one.message_ids) for one in dispatches(memory)[2:]] == [3]
    assert not repeating.step(READY)
    assert [len(one.message_ids) for one in dispatches(memory)[2:]] == [3, 2]
