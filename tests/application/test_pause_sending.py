"""What is handed to the workers, and what do workers do, while a channel, a type or everything is paused?"""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from application.channel_gate import Entered, Refusal
from application.channel_plan import ChannelTraits
from application.channel_states import ChannelState
from application.dispatch_messages import Dispatcher
from application.pause_sending import (
    EVERYTHING,
    NothingOfThatName,
    Pause,
    PausedNames,
    Pauses,
    is_paused,
    pause_sending,
    resume_sending,
)
from domain.errors import Invalid
from domain.message_type import MessageTypes
from domain.message_types.birthday import BIRTHDAY
from domain.scheduled_message import FailedOver, MessageExpired
from tests.application.dispatch_stories import (
    BEFORE,
    DUE,
    SECOND,
    SINK,
    dispatcher,
    dispatches,
    events_of,
    message,
    run,
    schedule,
    scheduled,
)
from tests.application.test_deliver_through_a_gate import Watched
from tests.delivery_scene import Provider, Scene
from tests.fake_dispatcher_work import Memory
from tests.fake_event_store import FakeEventStore

POST = replace(SINK, name="post")
TYPES = MessageTypes(BIRTHDAY, replace(BIRTHDAY, name="OTHER"))
LATE = DUE + timedelta(hours=24)
KNOWN = ("sink", "BIRTHDAY")


def of_both_types(memory: Memory) -> None:
    """Three birthday messages, and one of another type that falls due after them."""
    schedule(memory, [1, 2, 3])
    other = replace(scheduled(4, due_at=DUE + SECOND), message_type="OTHER")
    memory.write("messages", message(4), other, now=BEFORE)


def working(memory: Memory, *channels: ChannelTraits) -> Dispatcher:
    """OTHER goes through the last channel."""
    through = channels or (SINK,)
    return dispatcher(memory, *through, types=TYPES, by_type={"OTHER": (through[-1].name,)})


def handed(memory: Memory) -> list[int]:
    members = {id_ for one in dispatches(memory) for id_ in one.message_ids}
    return [number for number in range(10) if message(number) in members]


@pytest.mark.parametrize(
    ("paused", "goes_out"),
    [((), [1, 2, 3, 4]), (("BIRTHDAY",), [4]), (("OTHER",), [1, 2, 3]), (("sink",), [4]), (("post",), [1, 2, 3]), (("",), [])],
    ids=str,
)
def test_nothing_is_requested_of_what_is_paused_and_all_else_is(paused: PausedNames, goes_out: list[int]) -> None:
    memory = Memory()
    of_both_types(memory)
    memory.paused.update(paused)
    run(working(memory, SINK, POST), DUE + SECOND)
    assert handed(memory) == goes_out


def test_a_paused_type_blocks_no_other_behind_it_in_its_channel() -> None:
    memory = Memory()
    schedule(memory, range(10, 1_500))
    of_both_types(memory)
    memory.paused.add("BIRTHDAY")
    run(working(memory), DUE + SECOND)
    assert handed(memory) == [4]


def test_a_pause_takes_effect_while_pages_are_full_and_what_waited_goes_oldest_due_first() -> None:
    memory = Memory()
    schedule(memory, range(1, 2_001))
    schedule(memory, [5_000], due_at=DUE - SECOND)
    leader = working(memory)
    while not dispatches(memory):
        leader.step(DUE, steady=True)
    first = len(dispatches(memory))
    memory.paused.add(EVERYTHING)
    run(leader, DUE)
    assert len(dispatches(memory)) == first
    schedule(memory, [5_001], due_at=DUE - 2 * SECOND)
    memory.paused.clear()
    run(leader, DUE)
    assert dispatches(memory)[first].message_ids[0] == message(5_001)
    assert sum(len(one.message_ids) for one in dispatches(memory)) == 2_002


@pytest.mark.parametrize("paused", ["BIRTHDAY", "sink", EVERYTHING])
def test_what_passes_its_late_window_expires_while_it_is_paused(paused: str) -> None:
    memory = Memory()
    schedule(memory, range(1, 1_501))
    memory.paused.add(paused)
    leader = working(memory)
    run(leader, DUE)
    assert not any(isinstance(event, MessageExpired) for event in events_of(memory, message(1)))
    run(leader, LATE)
    assert {type(events_of(memory, message(number))[-1]) for number in range(1, 1_501)} == {MessageExpired}
    assert memory.due == {}


def test_what_an_open_breaker_holds_back_expires_in_time_as_well() -> None:
    memory = Memory()
    schedule(memory, [1])
    memory.states["sink"] = ChannelState("open", open_seconds=20)
    run(working(memory), LATE)
    assert isinstance(events_of(memory, message(1))[-1], MessageExpired)


def test_what_is_held_back_is_looked_through_now_and_then_only() -> None:
    memory = Memory()
    memory.paused.add("BIRTHDAY")
    schedule(memory, [1])
    leader = working(memory)
    run(leader, DUE)
    too_late = memory.due[message(1)].send_before
    run(leader, too_late - SECOND)
    run(leader, too_late + 8 * SECOND)
    assert memory.due
    run(leader, too_late + 9 * SECOND)
    assert not memory.due


@pytest.mark.parametrize("paused", ["sink", "BIRTHDAY", "post", EVERYTHING])
def test_nothing_fails_over_from_or_to_where_it_has_to_wait(paused: str) -> None:
    memory = Memory()
    schedule(memory, [1])
    memory.states["sink"] = ChannelState("open", open_seconds=20)
    memory.paused.add(paused)
    run(dispatcher(memory, SINK, POST, by_type={"BIRTHDAY": ("sink", "post")}), DUE)
    assert not any(isinstance(event, FailedOver) for event in events_of(memory, message(1)))


# workers


class Told:
    """The pauses as a story has them."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    async def current(self) -> PausedNames:
        return self.names


@pytest.mark.parametrize("paused", ["post", "BIRTHDAY", EVERYTHING])
async def test_a_worker_gives_back_what_is_paused_and_burns_no_try(paused: str) -> None:
    scene, gate = Scene(FakeEventStore()), Watched()
    ids = scene.scheduled(2)
    await scene.deliver(scene.worker(gate=gate, pauses=Told(paused)), scene.requested(*ids))
    assert (scene.provider.calls, gate.left) == ([], []), "it took from the limit what it did not use"
    assert [(scene.message(id_).status, scene.message(id_).retry_count, scene.last(id_).reason) for id_ in ids] == [
        ("retrying", 0, "paused")
    ] * 2


async def test_a_worker_sends_what_others_being_paused_does_not_touch() -> None:
    scene = Scene(FakeEventStore())
    [id_] = scene.scheduled()
    await scene.deliver(scene.worker(pauses=Told("HOLIDAY", "smtp")), scene.requested(id_))
    assert scene.message(id_).status == "sent"


async def test_a_bulk_call_waits_whole() -> None:
    scene = Scene(FakeEventStore())
    ids = scene.scheduled(3)
    await scene.deliver(scene.worker(Provider(bulk=3), pauses=Told("BIRTHDAY")), scene.requested(*ids))
    assert {scene.last(id_).reason for id_ in ids} == {"paused"}


async def test_a_pause_that_comes_while_a_call_waits_at_the_gate_still_holds_it_back() -> None:
    scene, pauses = Scene(FakeEventStore()), Told()

    class Slow(Watched):
        async def enter(self, messages: int) -> Entered | Refusal:
            pauses.names.add("post")
            return await super().enter(messages)

    gate = Slow()
    [id_] = scene.scheduled()
    await scene.deliver(scene.worker(gate=gate, pauses=pauses), scene.requested(id_))
    assert scene.provider.calls == []
    assert scene.last(id_).reason == "paused"
    assert gate.left == [()]


async def test_what_is_too_late_expires_all_the_same() -> None:
    scene = Scene(FakeEventStore())
    scene.clock.time = LATE
    [id_] = scene.scheduled()
    await scene.deliver(scene.worker(pauses=Told(EVERYTHING)), scene.requested(id_))
    assert scene.message(id_).status == "expired"


# people


class Kept(Pauses):
    """In memory."""

    def __init__(self) -> None:
        self.pauses: list[Pause] = []

    def open(self) -> list[Pause]:
        return self.pauses

    def begin(self, pause: Pause) -> bool:
        if is_paused([one.name for one in self.pauses], pause.name):
            return False
        self.pauses.append(pause)
        return True

    def end(self, pause: Pause) -> bool:
        left = [one for one in self.pauses if one.name != pause.name]
        self.pauses, ended = left, len(left) < len(self.pauses)
        return ended


def by_ada(name: str, reason: str = "wrong texts") -> Pause:
    return Pause(name, "ada", reason, DUE)


def test_a_pause_says_why_and_of_what() -> None:
    kept = Kept()
    assert pause_sending(by_ada("BIRTHDAY", " wrong texts "), KNOWN, kept)
    assert pause_sending(by_ada(EVERYTHING), KNOWN, kept)
    assert kept.open() == [by_ada("BIRTHDAY"), by_ada("")]


@pytest.mark.parametrize("reason", ["", "   ", "two\nlines", "x" * 501])
def test_a_pause_without_a_reason_is_refused(reason: str) -> None:
    with pytest.raises(Invalid, match="reason"):
        pause_sending(by_ada("sink", reason), KNOWN, Kept())


def test_nothing_of_an_unknown_name_is_paused() -> None:
    with pytest.raises(NothingOfThatName, match="BIRTHDAY, sink"):
        pause_sending(by_ada("pigeon"), KNOWN, Kept())


def test_only_what_is_paused_is_resumed_though_its_channel_may_be_gone() -> None:
    kept = Kept()
    with pytest.raises(NothingOfThatName):
        resume_sending(by_ada("sink"), kept)
    kept.begin(by_ada("gone"))
    kept.begin(by_ada("sink"))
    resume_sending(by_ada("gone"), kept)
    assert kept.open() == [by_ada("sink")]
