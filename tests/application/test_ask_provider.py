"""Is the provider asked about what is in doubt before anything is sent again, and believed in what it says?"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from application.channel_gate import Entered
from application.channel_plan import ChannelPlan, ChannelTraits
from application.delivery_ports import Accepted, Ambiguous, NotAccepted, Rejected, Throttled
from domain.scheduled_message import DeliveryInDoubt, MessageRedriven
from tests.application.test_deliver_through_a_gate import Watched
from tests.delivery_scene import DUE, Lease, Provider, Scene
from tests.fake_event_store import FakeEventStore

if TYPE_CHECKING:
    from uuid import UUID

    from application.delivery_ports import Answer, SendCommand

NEVER = NotAccepted("never_taken")
TRAITS = partial(ChannelTraits, idempotent=False, askable=True, concurrency=10)
POST_THEN_SPARE = ChannelPlan([TRAITS("post"), TRAITS("spare")], {"BIRTHDAY": ["post", "spare"]})


@pytest.fixture
def scene() -> Scene:
    scene = Scene(FakeEventStore())
    scene.provider = Provider(idempotent=False, askable=True)
    return scene


async def doubted(scene: Scene, count: int = 1, provider: Provider | None = None) -> tuple[list[UUID], SendCommand]:
    """So many messages that were sent and not answered, and the dispatch that requests them again."""
    provider = provider or scene.provider
    ids = scene.scheduled(count)
    for id_ in ids:
        provider.answers[id_] = [Ambiguous("timeout")]
    first = scene.requested(*ids)
    await scene.deliver(scene.worker(provider), first)
    assert {scene.message(id_).status for id_ in ids} == {"in_doubt"}
    assert provider.questions == []
    provider.calls.clear()
    return ids, scene.requested(*ids, repeat_of=first.dispatch_id)


async def test_what_the_provider_has_is_recorded_as_sent_and_not_sent_again(scene: Scene) -> None:
    [id_], again = await doubted(scene)
    scene.provider.has[id_] = Accepted(202, "msg_1")
    await scene.deliver(scene.worker(), again)
    assert (scene.provider.questions, scene.provider.calls) == ([id_], [])
    assert scene.story(id_)[-1] == "MessageSent"
    assert (scene.last(id_).response_code, scene.last(id_).provider_id, scene.last(id_).sent_at) == (202, "msg_1", DUE)
    assert (scene.message(id_).in_doubt, scene.dispatch_status(again)) == (False, "finished")


async def test_what_it_has_never_taken_is_sent_as_if_for_the_first_time(scene: Scene) -> None:
    [id_], again = await doubted(scene)
    scene.provider.has[id_] = NEVER
    await scene.deliver(scene.worker(), again)
    assert scene.provider.calls == [(str(id_), (id_,), False)]
    assert scene.story(id_)[-2:] == ["DoubtResolved", "MessageSent"]
    resolved = scene.store.history("messages", id_)[-2].event
    assert (resolved.outcome, resolved.by) == ("not_sent", "lookup")  # type: ignore[attr-defined]


async def test_what_it_cannot_tell_stays_in_doubt(scene: Scene) -> None:
    [id_], again = await doubted(scene)
    scene.provider.has[id_] = Ambiguous("lookup:503")
    await scene.deliver(scene.worker(), again)
    assert scene.provider.calls == []
    assert (scene.message(id_).status, scene.last(id_).reason) == ("in_doubt", "lookup:503")


@pytest.mark.parametrize(
    ("answer", "story", "status"),
    [
        (NotAccepted("not_accepted:500"), "MessageFailed", "retrying"),
        (Throttled("throttled:429", 1), "MessageFailed", "retrying"),
        (Rejected("rejected:422"), "MessageAbandoned", "abandoned"),
    ],
    ids=["not accepted", "throttled", "rejected"],
)
async def test_no_doubt_is_left_of_what_was_never_taken_and_now_refused(
    scene: Scene, answer: Answer, story: str, status: str
) -> None:
    [id_], again = await doubted(scene)
    scene.provider.has[id_], scene.provider.answers[id_] = NEVER, [answer]
    await scene.deliver(scene.worker(), again)
    assert scene.story(id_)[-2:] == ["DoubtResolved", story]
    assert (scene.message(id_).status, scene.message(id_).in_doubt) == (status, False)


async def test_a_retry_after_it_keeps_its_back_off_and_may_go_elsewhere(scene: Scene) -> None:
    [id_], again = await doubted(scene)
    scene.provider.has[id_], scene.provider.answers[id_] = NEVER, [NotAccepted("not_accepted:500")]
    worker = scene.worker(next_channel=partial(POST_THEN_SPARE.next_channel, channel="post"))
    await scene.deliver(worker, again)
    assert scene.story(id_)[-3:] == ["DoubtResolved", "MessageFailed", "FailedOver"]
    message = scene.message(id_)
    assert (message.channel, message.retry_count, message.retry_at) == ("spare", 1, DUE + timedelta(seconds=2.5))


async def test_a_new_doubt_is_about_the_new_call_alone(scene: Scene) -> None:
    [id_], again = await doubted(scene)
    scene.provider.has[id_], scene.provider.answers[id_] = NEVER, [Ambiguous("timeout")]
    await scene.deliver(scene.worker(), again)
    assert (scene.message(id_).status, scene.message(id_).doubts) == ("in_doubt", (again.dispatch_id,))


async def test_of_a_bulk_call_only_what_was_never_taken_goes_again_in_a_call_of_its_own(scene: Scene) -> None:
    provider = Provider(idempotent=False, askable=True, bulk=3)
    ids, again = await doubted(scene, 5, provider)
    provider.has |= {ids[0]: Accepted(200, "a"), ids[1]: NEVER, ids[3]: NEVER, ids[4]: Accepted(200, "e")}
    await scene.deliver(scene.worker(provider), again)
    assert sorted(provider.questions) == sorted(ids)
    assert provider.calls == [
        (f"{again.dispatch_id}/0", (ids[1],), False),
        (f"{again.dispatch_id}/1", (ids[3],), False),
    ]
    assert [scene.message(id_).status for id_ in ids] == ["sent", "sent", "in_doubt", "sent", "sent"]
    assert scene.last(ids[0]).provider_id == "a"


async def test_what_was_never_in_doubt_is_not_asked_about(scene: Scene) -> None:
    [id_] = scene.scheduled()
    scene.provider.answers[id_] = [NotAccepted("not_accepted:500")]
    for _ in range(2):
        await scene.deliver(scene.worker(), scene.requested(id_))
    assert (scene.provider.questions, scene.provider.keys) == ([], [str(id_)] * 2)
    assert scene.message(id_).status == "sent"


DAY = timedelta(days=1)


@pytest.mark.parametrize(("askable", "key_lifetime"), [(True, DAY), (False, DAY), (False, None)])
async def test_where_a_repeat_tells_as_well_or_nobody_can_nothing_is_asked(
    scene: Scene, askable: bool, key_lifetime: timedelta | None
) -> None:
    provider = Provider(idempotent=key_lifetime is not None, askable=askable)
    [id_], again = await doubted(scene, provider=provider)
    await scene.deliver(scene.worker(provider, key_lifetime=key_lifetime), again)
    assert (provider.questions, provider.calls) == ([], [(str(id_), (id_,), True)])


@pytest.mark.parametrize(("askable", "reason"), [(True, "not_told"), (False, "key_lifetime")])
async def test_past_the_life_of_its_key_a_message_is_asked_about_where_that_can_be(
    scene: Scene, askable: bool, reason: str
) -> None:
    provider = Provider(idempotent=True, askable=askable)
    [id_], again = await doubted(scene, provider=provider)
    scene.clock.time = DUE + timedelta(hours=1)
    await scene.deliver(scene.worker(provider, key_lifetime=timedelta(hours=1)), again)
    assert (provider.questions, provider.calls) == ([id_] * askable, [])
    assert (scene.message(id_).status, scene.last(id_).reason) == ("in_doubt", reason)


@pytest.mark.parametrize(("askable", "settings"), [(True, {}), (False, {"key_lifetime": timedelta(0)})], ids=["asks", "keys"])
async def test_who_accepts_duplicates_waits_for_no_answer(scene: Scene, askable: bool, settings: dict[str, Any]) -> None:
    provider = Provider(idempotent=not askable, askable=askable)
    [id_] = scene.scheduled()
    doubt = {"message_type": "BIRTHDAY", "timezone": "Europe/London", "due_at": DUE}
    scene.happens(
        "messages",
        id_,
        DeliveryInDoubt(**doubt, reason="restored", channel="post", dispatch_id=None),  # type: ignore[arg-type]
        MessageRedriven(**doubt, by="cli", reason="", send_before=DUE + timedelta(hours=1)),  # type: ignore[arg-type]
    )
    await scene.deliver(scene.worker(provider, **settings), scene.requested(id_))
    assert (provider.questions, scene.message(id_).status) == ([], "sent")


async def test_no_more_questions_are_open_than_the_channel_takes_calls(scene: Scene) -> None:
    provider = Provider(idempotent=False, askable=True, bulk=10, concurrency=3)
    ids, again = await doubted(scene, 10, provider)
    provider.most_open_calls = 0
    await scene.deliver(scene.worker(provider), again)
    assert (len(provider.questions), provider.most_open_calls) == (len(ids), 3)


async def test_a_lapsed_lease_asks_nothing_and_leaves_the_doubt(scene: Scene) -> None:
    [id_], again = await doubted(scene)
    lease = Lease()
    worker = scene.worker(lease=lease)
    claims = worker.claim([again], DUE)
    lease.holds = False
    worker.record(claims, await worker.send(claims), DUE)
    assert (scene.provider.questions, scene.provider.calls) == ([], [])
    assert (scene.story(id_)[-1], scene.message(id_).in_doubt) == ("MessageReleased", True)


async def test_a_question_is_a_call_without_messages_that_tells_the_breaker_nothing(scene: Scene) -> None:
    [id_], again = await doubted(scene)
    scene.provider.has[id_], gate = NEVER, Watched()
    await scene.deliver(scene.worker(gate=gate), again)
    assert (gate.messages, gate.left) == ([0, 1], [(), (Accepted(200, f"p-{id_}"),)])


async def test_what_was_never_taken_and_may_not_be_sent_now_is_given_back_without_doubt(scene: Scene) -> None:
    [id_], again = await doubted(scene)
    scene.provider.has[id_] = NEVER
    await scene.deliver(scene.worker(gate=Watched(Entered(trial=False), "breaker_open")), again)
    assert scene.story(id_)[-2:] == ["DoubtResolved", "MessageReleased"]
    assert (scene.message(id_).status, scene.message(id_).in_doubt) == ("retrying", False)


async def test_an_answer_to_who_was_taken_for_dead_clears_no_doubt(scene: Scene) -> None:
    [id_], again = await doubted(scene)
    scene.provider.has[id_], scene.provider.answers[id_] = NEVER, [NotAccepted("not_accepted:500")]
    worker = scene.worker()
    claims = worker.claim([again], DUE)
    outcomes = await worker.send(claims)
    scene.given_up(again)
    third = scene.requested(id_, repeat_of=again.dispatch_id)
    worker.record(claims, outcomes, DUE)
    assert scene.story(id_)[-1] == "LateResultRecorded"
    assert (scene.message(id_).dispatch_id, scene.message(id_).in_doubt) == (third.dispatch_id, True)


async def test_at_the_end_of_patience_an_open_question_is_given_up_and_the_doubt_stays(scene: Scene) -> None:
    [id_], again = await doubted(scene)
    asked, answered = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        asked.set()
        await answered.wait()

    scene.provider.before_answer = wait
    worker = scene.worker()
    claims = worker.claim([again], DUE)
    sending = asyncio.create_task(worker.send(claims))
    await asked.wait()
    worker.end()
    worker.record(claims, await sending, DUE)
    assert (scene.provider.calls, scene.message(id_).status) == ([], "in_doubt")
