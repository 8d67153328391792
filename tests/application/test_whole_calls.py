"""Does a call of several messages that is made again go out with all of them, whatever came of it in between?"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.channel_plan import ChannelPlan, ChannelTraits
from application.channel_states import ChannelState
from application.dispatch_messages import Dispatcher
from application.ports import Group, NewEvents, Origin
from application.repeat_doubt import REPEAT_AFTER, RepeatDoubt
from application.whole_calls import PUT_OFF
from domain.dispatch import DispatchFinished, DispatchRequested
from domain.event import Event
from domain.message_type import MessageTypes
from domain.message_types.birthday import BIRTHDAY
from domain.scheduled_message import (
    DeliveryInDoubt,
    LateResultRecorded,
    MessageCancelled,
    MessageExpired,
    MessageFailed,
    MessageReleased,
    MessageSent,
    SendRequested,
)
from tests.application import dispatch_stories as told
from tests.application.dispatch_stories import BEFORE, DUE, SECOND, SINK, dispatches, events_of, message, run, schedule, scheduled
from tests.fake_dispatcher_work import Memory

BULK: Final = replace(SINK, bulk=2)
ASKED: Final = replace(SINK, idempotent=False, askable=True, bulk=2)
TYPES: Final = MessageTypes(BIRTHDAY, replace(BIRTHDAY, name="OTHER"))
HALF_OPEN: Final = ChannelState("half_open")
FIRST, AGAIN = UUID(int=1), UUID(int=900)
READY: Final = DUE + REPEAT_AFTER
LATER: Final = READY + timedelta(minutes=5)
TOO_LATE: Final = DUE + timedelta(days=1)


class Story:
    """What becomes of messages once a call for them got no answer, and was made again."""

    def __init__(
        self, *numbers: int, channel: ChannelTraits = BULK, others: Sequence[int] = (), answers: Sequence[str] = ("timeout",)
    ) -> None:
        """`others` are of another type; `answers` are those to the first call."""
        self.memory, self.channel, self.others = Memory(), channel, others
        schedule(self.memory, [number for number in numbers if number not in others])
        for number in others:
            other = replace(scheduled(number), message_type="OTHER")
            self.memory.write("messages", message(number), other, now=BEFORE)
        run(self.dispatcher(1), DUE)
        self.comes(FIRST, numbers, *answers, at=DUE)
        self.repeat(READY)

    def dispatcher(self, first_id: int = 50) -> Dispatcher:
        return told.dispatcher(self.memory, self.channel, types=TYPES, first_id=first_id)

    def repeat(self, now: datetime, first_id: int = AGAIN.int) -> None:
        ids = iter(range(first_id, first_id + 50))
        RepeatDoubt(self.memory.begin("doubt"), TYPES, ChannelPlan((self.channel,)), lambda: UUID(int=next(ids))).step(now)

    def said(self, number: int) -> dict[str, Any]:
        return told.repeated() | ({"message_type": "OTHER"} if number in self.others else {})

    def comes(
        self, dispatch_id: UUID, numbers: Sequence[int], *answers: str, at: datetime = READY, retry_at: datetime = LATER
    ) -> None:
        """An answer for each, the last one for all that follow; and the dispatch is over."""
        each = dict(zip(numbers, [*answers, *[answers[-1]] * len(numbers)], strict=False))
        appends = [
            NewEvents(
                "messages", message(number), len(self.story(number)), (self._answer(number, dispatch_id, answer, retry_at),)
            )
            for number, answer in each.items()
        ]
        end = NewEvents("dispatches", dispatch_id, 1, (DispatchFinished(how="recorded"),))
        assert not self.memory.append([Group((*appends, end))], Origin("worker"), at).lost

    def _answer(self, number: int, dispatch_id: UUID, answer: str, retry_at: datetime) -> Event:
        said = self.said(number) | {"dispatch_id": dispatch_id}
        match answer:
            case "sent":
                return MessageSent(**said, sent_at=READY, response_code=200, provider_id="", template_version=1)
            case "released":
                return MessageReleased(**said, reason="breaker_open")
            case "throttled":
                return MessageFailed(**said, error="throttled:429", retry_count=0, retry_at=retry_at)
            case reason:
                return DeliveryInDoubt(**said, reason=reason, channel="sink")

    def story(self, number: int) -> list[Event]:
        return events_of(self.memory, message(number))

    @property
    def handed_at_first(self) -> list[int]:
        """In the order of their calls."""
        return _numbers(dispatches(self.memory)[0])

    @property
    def handed(self) -> list[list[int]]:
        """Since the call was made again the first time."""
        return [_numbers(one) for one in dispatches(self.memory)[2:]]


def _numbers(dispatch: DispatchRequested) -> list[int]:
    numbers = {message(number): number for number in range(100)}
    return [numbers[id_] for id_ in dispatch.message_ids]


@pytest.mark.parametrize(("answer", "at"), [("released", READY), ("throttled", LATER)])
def test_what_comes_back_untaken_goes_out_whole_whoever_is_due_before_it(answer: str, at: datetime) -> None:
    story = Story(1, 2)
    story.comes(AGAIN, [1, 2], answer)
    schedule(story.memory, [0], due_at=DUE - SECOND)
    story.memory.states["sink"] = HALF_OPEN  # room for two
    leader = story.dispatcher()
    run(leader, DUE)
    story.memory.flights.clear()
    run(leader, at)
    assert story.handed == [[0], [1, 2]]
    again = story.story(2)[-1]
    assert isinstance(again, SendRequested)
    assert (again.attempt, again.repeat_of) == (1, FIRST)


def test_a_call_that_needs_more_room_than_there_is_left_comes_first_when_there_is() -> None:
    story = Story(1, 2)
    story.comes(AGAIN, [1, 2], "released")
    schedule(story.memory, [0], due_at=DUE - SECOND)
    story.memory.states["sink"] = HALF_OPEN
    leader = story.dispatcher()
    run(leader, READY)
    assert story.handed == [[0]]
    story.memory.flights.clear()
    run(leader, READY)
    assert story.handed == [[0], [1, 2]]
    assert not story.memory.due


def test_a_trial_is_one_call_though_what_is_due_first_is_of_many() -> None:
    story = Story(*range(1, 9))
    numbers = story.handed_at_first
    story.comes(AGAIN, numbers, *["released", "throttled"] * 4)
    story.memory.states["sink"] = HALF_OPEN
    run(story.dispatcher(), READY)
    assert story.handed == [numbers[:2]]


def test_whatever_waits_longer_than_the_rest_of_its_call_goes_with_it() -> None:
    story = Story(1, 2)
    story.comes(AGAIN, [1, 2], "timeout", "throttled", retry_at=TOO_LATE)
    story.repeat(READY + REPEAT_AFTER, first_id=950)
    assert story.handed == [[1, 2]]
    run(story.dispatcher(), LATER)
    assert len(story.handed) == 1
    assert not story.memory.due


def test_of_a_call_that_was_answered_for_some_the_rest_goes_out() -> None:
    story = Story(1, 2)
    story.comes(AGAIN, [1, 2], "sent", "released")
    run(story.dispatcher(), READY)
    assert story.handed == [[2]]


def test_what_a_person_has_to_find_out_holds_up_no_other() -> None:
    story = Story(1, 2)
    story.comes(AGAIN, [1, 2], "key_conflict:409", "released")
    run(story.dispatcher(), READY)
    story.repeat(TOO_LATE - SECOND)
    assert story.handed == [[2]]


def test_what_was_refused_and_never_in_doubt_is_no_part_of_the_call() -> None:
    story = Story(1, 2, answers=("timeout", "throttled"))
    assert _numbers(dispatches(story.memory)[1]) == [1]
    story.comes(AGAIN, [1], "sent")
    run(story.dispatcher(), LATER)
    assert story.handed == [[2]]


def test_what_was_cancelled_meanwhile_is_left_out() -> None:
    story = Story(1, 2)
    story.comes(AGAIN, [1, 2], "released")
    story.memory.write("messages", message(1), MessageCancelled(**story.said(1), reason="erased"), now=READY)
    run(story.dispatcher(), READY)
    assert story.handed == [[2]]


def test_a_call_of_which_a_worker_has_some_waits_for_that() -> None:
    """As a build before this one has handed it out in parts."""
    story = Story(1, 2)
    story.comes(AGAIN, [1, 2], "released")
    part = UUID(int=700)
    taken = SendRequested(**story.said(1), attempt=1, channel="sink", dispatch_id=part)
    story.memory.write("messages", message(1), taken, now=READY)
    story.memory.write("dispatches", part, DispatchRequested("sink", "europe", (message(1),)), now=READY)
    leader = story.dispatcher()
    run(leader, READY)
    assert story.handed == [[1]]
    story.comes(part, [1], "released")
    run(leader, READY + PUT_OFF)
    assert story.handed == [[1], [1, 2]]


def test_what_is_in_doubt_again_waits_for_what_a_worker_has_of_its_call() -> None:
    story = Story(1, 2)
    story.comes(AGAIN, [1, 2], "timeout", "released")
    part = UUID(int=700)
    taken = SendRequested(**story.said(2), attempt=1, channel="sink", dispatch_id=part)
    story.memory.write("messages", message(2), taken, now=READY)
    story.memory.write("dispatches", part, DispatchRequested("sink", "europe", (message(2),)), now=READY)
    story.repeat(READY + REPEAT_AFTER, first_id=950)
    assert story.handed == [[2]]
    story.comes(part, [2], "released")
    run(story.dispatcher(), READY + REPEAT_AFTER)
    assert story.handed == [[2], [1, 2]]


def test_a_row_that_is_behind_its_message_hands_nothing_out() -> None:
    story = Story(1, 2)
    story.comes(AGAIN, [1, 2], "released", "sent")
    leader = story.dispatcher()
    run(leader, DUE - SECOND)
    story.memory.write("messages", message(1), MessageCancelled(**story.said(1), reason="erased"), now=READY)
    story.memory.positions["dispatcher", "messages"] = len(story.memory.logs["messages"])  # as if it came right after the look
    run(leader, READY)
    assert (story.handed, story.memory.due, story.memory.left_alone) == ([], {}, {})


def test_a_part_that_is_paused_holds_its_call_back_and_nothing_else() -> None:
    story = Story(1, 2, others=[2])
    story.comes(AGAIN, [1, 2], "released")
    schedule(story.memory, [3])
    story.memory.paused.add("OTHER")
    leader = story.dispatcher()
    run(leader, READY)
    run(leader, READY + PUT_OFF)
    assert story.handed == [[3]]
    story.memory.paused.clear()
    run(leader, READY + 2 * PUT_OFF)
    assert story.handed == [[3], [1, 2]]


@pytest.mark.parametrize("paused", ["OTHER", ""])
def test_what_has_become_too_late_in_doubt_is_left_to_the_worker_and_does_not_expire(paused: str) -> None:
    """Who claims it leaves it in doubt, for a person, without a call."""
    story = Story(1, 2, others=[2])
    story.comes(AGAIN, [1, 2], "released")
    story.memory.paused.add(paused)
    run(story.dispatcher(), TOO_LATE)
    assert story.handed == [[1, 2]]
    assert not any(isinstance(event, MessageExpired) for event in story.story(1))


def test_somebody_who_is_faster_tears_nothing_apart() -> None:
    story = Story(1, 2)
    story.comes(AGAIN, [1, 2], "released")
    late = LateResultRecorded(**story.said(1), dispatch_id=UUID(int=5), result="released")
    leader = story.dispatcher()
    leader.step(DUE - SECOND, steady=True)
    story.memory.before_append = lambda: story.memory.write("messages", message(1), late, now=READY)
    run(leader, READY)
    assert story.handed == [[1, 2]]


def test_a_call_that_cannot_be_read_is_left_to_the_worker_who_knows_no_key_for_it() -> None:
    story = Story(1, 2)
    story.comes(AGAIN, [1, 2], "released")
    story.memory.broken["dispatches", FIRST] = "Unreadable"
    run(story.dispatcher(), READY)
    assert sorted(story.handed[0]) == [1, 2]


def test_a_doubt_whose_first_call_cannot_be_read_is_repeated_once_it_can() -> None:
    story = Story(1, 2)
    story.comes(AGAIN, [1, 2], "timeout")
    story.memory.broken["dispatches", FIRST] = "Unreadable"
    story.repeat(READY + REPEAT_AFTER, first_id=950)
    assert story.handed == []
    assert set(story.memory.left_alone) == {("doubt", "dispatches", FIRST)}
    story.memory.broken.clear()
    story.memory.asked.append(("doubt", "dispatches", FIRST))
    story.repeat(READY + REPEAT_AFTER, first_id=950)
    assert story.handed == [[1, 2]]


def test_what_a_channel_that_is_gone_was_handed_stays_together_through_another() -> None:
    story = Story(1, 2)
    schedule(story.memory, [0], due_at=DUE - SECOND)
    story.memory.states["other"] = HALF_OPEN
    leader = told.dispatcher(story.memory, replace(BULK, name="other"), types=TYPES, first_id=50)
    for _ in range(2):
        run(leader, READY)
        story.memory.flights.clear()
    assert story.handed == [[0], [1, 2]]
    assert dispatches(story.memory)[-1].channel == "other"


@pytest.mark.parametrize("channel", [SINK, ASKED], ids=["a key each", "asked about"])
def test_where_nothing_has_to_be_whole_messages_go_out_one_by_one(channel: ChannelTraits) -> None:
    story = Story(1, 2, channel=channel)
    story.comes(AGAIN, [1, 2], "released", "throttled")
    leader = story.dispatcher()
    run(leader, READY)
    run(leader, LATER)
    assert story.handed == [[1], [2]]


def test_of_a_doubt_in_single_calls_only_what_is_in_doubt_is_repeated() -> None:
    story = Story(1, 2, channel=SINK)
    story.comes(AGAIN, [1, 2], "timeout", "throttled")
    story.repeat(READY + REPEAT_AFTER, first_id=950)
    assert story.handed == [[1]]
