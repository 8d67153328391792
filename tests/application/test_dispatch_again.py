"""When is a message that did not go out handed to the workers again?"""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.channel_plan import ChannelTraits
from domain.dispatch import DispatchFinished, DispatchStarted
from domain.scheduled_message import (
    DeliveryInDoubt,
    DoubtResolved,
    LateResultRecorded,
    MessageCancelled,
    MessageExpired,
    MessageFailed,
    MessageRedriven,
    MessageReleased,
    MessageSent,
    SendRequested,
)
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
)
from tests.fake_dispatcher_work import Memory

LATER = DUE + timedelta(hours=1)


def failed(retry_count: int, retry_at: datetime, dispatch_id: UUID) -> MessageFailed:
    return MessageFailed(
        **repeated(), error="not_accepted:500", retry_count=retry_count, retry_at=retry_at, dispatch_id=dispatch_id
    )


def sent(dispatch_id: UUID) -> MessageSent:
    return MessageSent(**repeated(), sent_at=DUE, response_code=200, provider_id="", template_version=1, dispatch_id=dispatch_id)


def test_a_failed_message_is_requested_again_at_its_retry_as_the_next_attempt() -> None:
    memory = Memory()
    schedule(memory, [1])
    leader = dispatcher(memory)
    run(leader, DUE)
    memory.write("messages", message(1), failed(1, LATER, UUID(int=1)), now=DUE)
    run(leader, LATER - SECOND)
    assert len(dispatches(memory)) == 1
    run(leader, LATER)
    assert events_of(memory, message(1))[-1] == SendRequested(**repeated(), attempt=2, channel="sink", dispatch_id=UUID(int=2))


def test_a_released_message_is_due_at_once_and_has_burnt_no_try() -> None:
    memory = Memory()
    schedule(memory, [1])
    leader = dispatcher(memory)
    run(leader, DUE)
    memory.write("messages", message(1), MessageReleased(**repeated(), dispatch_id=UUID(int=1), reason="lease"), now=DUE)
    run(leader, DUE)
    assert events_of(memory, message(1))[-1] == SendRequested(**repeated(), attempt=1, channel="sink", dispatch_id=UUID(int=2))


def test_a_released_message_goes_before_what_fell_due_after_it() -> None:
    memory = Memory()
    schedule(memory, [1])
    leader = dispatcher(memory)
    run(leader, DUE)
    schedule(memory, [2], due_at=DUE + SECOND)
    memory.write("messages", message(1), MessageReleased(**repeated(), dispatch_id=UUID(int=1), reason="lease"), now=LATER)
    run(leader, LATER)
    assert dispatches(memory)[-1].message_ids == (message(1), message(2))


def test_a_late_result_leaves_a_waiting_message_waiting() -> None:
    memory = Memory()
    schedule(memory, [1])
    leader = dispatcher(memory)
    run(leader, BEFORE)
    memory.write("messages", message(1), LateResultRecorded(**repeated(), dispatch_id=UUID(int=9), result="released"), now=BEFORE)
    run(leader, DUE)
    assert len(dispatches(memory)) == 1


def test_a_message_accepted_late_is_not_sent_again() -> None:
    memory = Memory()
    schedule(memory, [1])
    leader = dispatcher(memory)
    run(leader, DUE)
    memory.write("messages", message(1), failed(1, LATER, UUID(int=1)), now=DUE)
    run(leader, DUE)
    memory.write("messages", message(1), sent(UUID(int=1)), now=DUE)
    run(leader, LATER)
    assert events_of(memory, message(1))[-1] == sent(UUID(int=1))
    assert len(dispatches(memory)) == 1
    assert not memory.due


def test_what_is_in_doubt_waits_and_goes_on_when_a_person_knows_it_was_not_sent() -> None:
    memory = Memory()
    schedule(memory, [1])
    leader = dispatcher(memory)
    run(leader, DUE)
    doubt = DeliveryInDoubt(**repeated(), reason="timeout", channel="sink", dispatch_id=UUID(int=1))
    memory.write("messages", message(1), doubt, now=DUE)
    run(leader, LATER)
    assert len(dispatches(memory)) == 1
    memory.write("messages", message(1), DoubtResolved(**repeated(), outcome="not_sent", by="cli"), now=LATER)
    run(leader, LATER)
    assert len(dispatches(memory)) == 2


@pytest.mark.parametrize(("channel", "handed"), [(BLIND, 0), (SINK, 1)], ids=["blind", "idempotent"])
def test_a_retry_with_a_doubt_left_goes_only_where_it_can_be_cleared(channel: ChannelTraits, handed: int) -> None:
    memory, old, repeat = Memory(), UUID(int=901), UUID(int=902)
    schedule(memory, [1])
    request = SendRequested(**repeated(), attempt=1, channel=channel.name, dispatch_id=old)
    doubt = DeliveryInDoubt(**repeated(), reason="timeout", channel=channel.name, dispatch_id=old)
    again = replace(request, dispatch_id=repeat, repeat_of=old)
    memory.write("messages", message(1), request, doubt, again, failed(1, LATER, repeat), now=DUE)
    run(dispatcher(memory, channel), LATER)
    assert len(dispatches(memory)) == handed


def test_a_cancelled_message_is_taken_off_the_list_at_once() -> None:
    memory = Memory()
    schedule(memory, [1, 2])
    leader = dispatcher(memory)
    run(leader, BEFORE)
    memory.write("messages", message(1), MessageCancelled(**repeated(), reason="type_removed"), now=BEFORE)
    run(leader, BEFORE)
    assert set(memory.due) == {message(2)}


def test_a_redriven_message_keeps_the_late_window_it_was_given() -> None:
    memory = Memory()
    schedule(memory, [1])
    leader = dispatcher(memory)
    run(leader, DUE + timedelta(hours=30))
    again = DUE + timedelta(days=40)
    redriven = MessageRedriven(**repeated(due_at=again), by="cli", send_before=again + timedelta(minutes=1))
    memory.write("messages", message(1), redriven, now=again)
    run(leader, again + timedelta(minutes=2))
    assert isinstance(events_of(memory, message(1))[-1], MessageExpired)


@pytest.mark.parametrize("doubtful", [False, True], ids=["redriven", "in doubt again"])
def test_what_was_redriven_in_doubt_goes_out_even_where_nobody_can_clear_it(doubtful: bool) -> None:
    memory, old, repeat = Memory(), UUID(int=901), UUID(int=902)
    schedule(memory, [1])
    request = SendRequested(**repeated(), attempt=1, channel=BLIND.name, dispatch_id=old)
    doubt = DeliveryInDoubt(**repeated(), reason="timeout", channel=BLIND.name, dispatch_id=old)
    redriven = MessageRedriven(**repeated(due_at=LATER), by="cli", send_before=LATER + timedelta(hours=12))
    again = (replace(request, dispatch_id=repeat), replace(doubt, dispatch_id=repeat)) if doubtful else ()
    memory.write("messages", message(1), request, doubt, redriven, *again, now=DUE)
    run(dispatcher(memory, BLIND), LATER)
    assert len(dispatches(memory)) == (0 if doubtful else 1)


def test_what_was_handed_to_a_channel_that_left_the_settings_goes_through_another() -> None:
    memory = Memory()
    schedule(memory, [1, 2])
    run(dispatcher(memory, BLIND), DUE)
    run(dispatcher(memory, SINK, first_id=500), DUE + SECOND)
    stranded, again = dispatches(memory)
    assert (stranded.channel, again.channel) == ("blind", "sink")
    assert set(again.message_ids) == {message(1), message(2)}
    assert [event.reason for event in events_of(memory, message(1)) if isinstance(event, MessageReleased)] == ["channel_gone"]
    assert [type(event.event).__name__ for event in memory.logs["dispatches"]][1:4] == [
        *["DispatchMemberWithdrawn"] * 2,
        "DispatchFinished",
    ]


@pytest.mark.parametrize("broken", [False, True], ids=["sent", "unreadable"])
def test_a_dispatch_there_without_a_member_that_wants_it_holds_up_nobody(broken: bool) -> None:
    memory = Memory()
    schedule(memory, [1])
    run(dispatcher(memory, BLIND), DUE)
    if broken:
        memory.broken["messages", message(1)] = "unknown"
    else:
        memory.write("messages", message(1), sent(UUID(int=900)), now=DUE)
    schedule(memory, [2])
    run(dispatcher(memory, SINK, first_id=500), DUE + SECOND)
    assert dispatches(memory)[-1].message_ids == (message(2),)
    assert memory.logs["dispatches"][2].event == DispatchFinished(how="withdrawn")


def test_what_a_worker_has_claimed_there_is_left_to_it() -> None:
    memory = Memory()
    schedule(memory, [1])
    run(dispatcher(memory, BLIND), DUE)
    claim = DispatchStarted("w", UUID(int=77), UUID(int=78))
    memory.write("dispatches", requested(memory)[0].stream_id, claim, now=DUE)
    run(dispatcher(memory, SINK, first_id=500), DUE + SECOND)
    assert len(dispatches(memory)) == 1
