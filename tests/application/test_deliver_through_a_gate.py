"""What becomes of a message whose provider is not to be called, fails on trial, or leaves it to another channel?"""

from functools import partial
from typing import Any

import pytest

from application.channel_gate import Entered, Refusal
from application.channel_plan import ChannelPlan, ChannelTraits
from application.delivery_ports import Accepted, Ambiguous, Answer, NotAccepted, Rejected, Throttled
from tests.delivery_scene import DUE, Lease, Scene
from tests.fake_event_store import FakeEventStore

TRAITS = partial(ChannelTraits, idempotent=True, askable=False, concurrency=10)
POST_THEN_SPARE = ChannelPlan([TRAITS("post"), TRAITS("spare")], {"BIRTHDAY": ["post", "spare"]})


class Watched:
    """A gate that a story decides on."""

    def __init__(self, *answers: Entered | Refusal) -> None:
        self.answers, self.stopped = list(answers), False
        self.messages: list[int] = []  # of each call let in
        self.left: list[tuple[Answer, ...]] = []

    async def enter(self, messages: int) -> Entered | Refusal:
        self.messages.append(messages)
        return self.answers.pop(0) if self.answers else Entered(trial=False)

    async def leave(self, answers: Any = ()) -> None:
        self.left.append(tuple(answers))

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def scene() -> Scene:
    return Scene(FakeEventStore())


async def failing_over(scene: Scene, *answers: Answer, **settings: Any) -> list[str]:
    [id_] = scene.scheduled()
    scene.provider.answers[id_] = list(answers)
    worker = scene.worker(next_channel=partial(POST_THEN_SPARE.next_channel, channel="post"), **settings)
    await scene.deliver(worker, scene.requested(id_))
    return scene.story(id_)[2:]


@pytest.mark.parametrize("refusal", ["breaker_open", "throttled", "limit"])
async def test_what_may_not_be_called_for_is_given_back_and_burns_no_try(scene: Scene, refusal: Refusal) -> None:
    ids = scene.scheduled(2)
    gate = Watched(Entered(trial=False), refusal)
    await scene.deliver(scene.worker(gate=gate), scene.requested(*ids))
    assert scene.provider.keys == [str(ids[0])]
    assert (scene.story(ids[1])[-1], scene.last(ids[1]).reason) == ("MessageReleased", refusal)
    assert (scene.message(ids[1]).status, scene.message(ids[1]).retry_count) == ("retrying", 0)
    assert gate.left == [(Accepted(200, f"p-{ids[0]}"),)]


async def test_a_lapsed_lease_gives_its_place_at_the_gate_back(scene: Scene) -> None:
    lease, gate = Lease(), Watched()
    worker = scene.worker(lease=lease, gate=gate)
    claims = worker.claim([scene.requested(*scene.scheduled())], DUE)
    lease.holds = False
    await worker.send(claims)
    assert gate.left == [()]


async def test_the_failure_of_a_trial_burns_no_try(scene: Scene) -> None:
    [id_] = scene.scheduled()
    scene.provider.answers[id_] = [NotAccepted("not_accepted:500")]
    await scene.deliver(scene.worker(gate=Watched(Entered(trial=True))), scene.requested(id_))
    assert (scene.message(id_).status, scene.message(id_).retry_count) == ("retrying", 0)


async def test_a_stop_lets_nobody_in_any_more(scene: Scene) -> None:
    gate = Watched()
    scene.worker(gate=gate).call_no_more()
    assert gate.stopped


async def test_what_one_channel_did_not_accept_goes_on_through_the_next(scene: Scene) -> None:
    assert await failing_over(scene, NotAccepted("not_accepted:500")) == ["MessageFailed", "FailedOver"]
    [id_] = scene.people
    assert (scene.message(id_).channel, scene.message(id_).retry_count) == ("spare", 1)
    assert (scene.last(id_).from_channel, scene.last(id_).to_channel) == ("post", "spare")


async def test_what_a_trial_failed_with_goes_on_through_the_next_as_well_and_has_burnt_no_try(scene: Scene) -> None:
    trial = Watched(Entered(trial=True))
    assert await failing_over(scene, NotAccepted("not_accepted:500"), gate=trial) == ["MessageFailed", "FailedOver"]
    [id_] = scene.people
    assert (scene.message(id_).channel, scene.message(id_).retry_count) == ("spare", 0)


@pytest.mark.parametrize(
    ("answer", "story"),
    [
        (Accepted(200), ["MessageSent"]),
        (Rejected("rejected:400"), ["MessageAbandoned"]),
        (Ambiguous("timeout"), ["DeliveryInDoubt"]),
        (Throttled("throttled:429", 1), ["MessageFailed"]),
    ],
    ids=["accepted", "rejected", "ambiguous", "throttled"],
)
async def test_no_other_answer_fails_over(scene: Scene, answer: Answer, story: list[str]) -> None:
    assert await failing_over(scene, answer) == story


async def test_a_doubt_that_is_left_keeps_a_message_where_it_is(scene: Scene) -> None:
    [id_] = scene.scheduled()
    first = scene.requested(id_)
    scene.provider.answers[id_] = [Ambiguous("timeout"), NotAccepted("not_accepted:500")]
    worker = scene.worker(next_channel=partial(POST_THEN_SPARE.next_channel, channel="post"))
    await scene.deliver(worker, first)
    await scene.deliver(worker, scene.requested(id_, repeat_of=first.dispatch_id))
    assert scene.story(id_)[-1] == "MessageFailed"
    assert scene.message(id_).in_doubt


async def test_the_last_try_is_not_failed_over_but_abandoned(scene: Scene) -> None:
    [id_] = scene.scheduled()
    scene.provider.answers[id_] = [NotAccepted("not_accepted:500")] * 6
    worker = scene.worker(next_channel=partial(POST_THEN_SPARE.next_channel, channel="post"))
    for _ in range(6):
        await scene.deliver(worker, scene.requested(id_))
    assert scene.story(id_)[-1] == "MessageAbandoned"


@pytest.mark.parametrize(
    ("channel", "shut", "following"),
    [("a", (), "b"), ("b", (), "c"), ("c", (), "a"), ("a", ("b",), "c"), ("a", ("b", "c"), None), ("elsewhere", (), "a")],
)
def test_a_type_goes_through_its_channels_in_turn(channel: str, shut: tuple[str, ...], following: str | None) -> None:
    plan = ChannelPlan([TRAITS(name) for name in ("usual", "a", "b", "c", "elsewhere")], {"BIRTHDAY": ["a", "b", "c"]})
    assert plan.next_channel("BIRTHDAY", channel, shut) == following
    assert plan.next_channel("ANNIVERSARY", "usual") is None
