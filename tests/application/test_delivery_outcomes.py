"""Is what a provider answered recorded for what it is: at once, late, or over an outage of the database?"""

from datetime import timedelta
from typing import Any

import pytest

from application.delivery_outcomes import LONGEST_THROTTLE
from application.delivery_ports import Accepted, Ambiguous, Answer, NotAccepted, Rejected, Throttled
from application.ports import StoreUnavailable
from domain.delivery_policy import MAX_RETRIES
from domain.user import UserSuppressed
from tests.delivery_scene import DUE, EXPIRED, Provider, Scene
from tests.fake_event_store import FakeEventStore


@pytest.fixture
def scene() -> Scene:
    return Scene(FakeEventStore())


async def test_a_repeat_is_not_called_when_the_first_call_turned_out_accepted(scene: Scene) -> None:
    [id_] = scene.scheduled()
    first = scene.requested(id_)
    slow = scene.worker()
    claims = slow.claim([first], DUE)
    scene.given_up(first)
    repeat = scene.requested(id_, repeat_of=first.dispatch_id)
    slow.record(claims, await slow.send(claims), DUE)
    await scene.deliver(scene.worker(), repeat)
    assert len(scene.provider.calls) == 1
    assert scene.story(id_)[-1] == "MessageSent"
    assert scene.dispatch_status(repeat) == "finished"


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (Accepted(202, "x"), "sent", {"response_code": 202, "provider_id": "x", "sent_at": DUE, "template_version": 1}),
        (Rejected("rejected:400"), "abandoned", {"reason": "rejected", "error": "rejected:400"}),
        (Throttled("throttled:429", 90), "retrying", {"retry_count": 0, "retry_at": DUE + timedelta(seconds=90)}),
        (Throttled("throttled:429", 1e300), "retrying", {"retry_at": DUE + LONGEST_THROTTLE}),
        (Throttled("throttled:429", None), "retrying", {"retry_count": 0, "retry_at": DUE + timedelta(seconds=10)}),
        (NotAccepted("unavailable:500"), "retrying", {"retry_count": 1, "retry_at": DUE + timedelta(seconds=2.5)}),
        (Ambiguous("timeout"), "in_doubt", {"reason": "timeout", "channel": "post"}),
    ],
    ids=["accepted", "rejected", "throttled", "throttled for ages", "throttled, no hint", "not accepted", "ambiguous"],
)
async def test_every_answer_is_recorded_for_what_it_is(scene: Scene, answer: Answer, status: str, says: dict[str, Any]) -> None:
    [id_] = scene.scheduled()
    command = scene.requested(id_)
    scene.provider.answers[id_] = [answer]
    await scene.deliver(scene.worker(), command)
    assert scene.message(id_).status == status
    assert {field: getattr(scene.last(id_), field) for field in says} == says
    assert scene.dispatch_status(command) == "finished"


async def test_a_message_is_tried_six_times_and_then_abandoned(scene: Scene) -> None:
    [id_] = scene.scheduled()
    scene.provider.answers[id_] = [NotAccepted("unavailable:500")] * (MAX_RETRIES + 1)
    for tries in range(1, MAX_RETRIES + 2):
        assert scene.message(id_).status in ("scheduled", "retrying")
        await scene.deliver(scene.worker(), scene.requested(id_))
        assert len(scene.provider.calls) == tries
    assert (scene.message(id_).status, scene.message(id_).reason) == ("abandoned", "retries_exhausted")
    assert {repeat for _, _, repeat in scene.provider.calls[1:]} == {True}


async def test_throttling_after_the_last_retry_is_not_the_end(scene: Scene) -> None:
    [id_] = scene.scheduled()
    scene.provider.answers[id_] = [*[NotAccepted("unavailable:500")] * MAX_RETRIES, Throttled("throttled:429", 1)]
    for _ in range(MAX_RETRIES + 2):
        await scene.deliver(scene.worker(), scene.requested(id_))
    assert scene.message(id_).status == "sent"


async def test_throttling_burns_no_try(scene: Scene) -> None:
    [id_] = scene.scheduled()
    scene.provider.answers[id_] = [Throttled("throttled:429", 1)] * 20
    for _ in range(21):
        await scene.deliver(scene.worker(), scene.requested(id_))
    assert scene.message(id_).status == "sent"


async def test_a_bulk_call_in_doubt_is_repeated_under_its_key_with_its_members(scene: Scene) -> None:
    provider = Provider(bulk=2)
    ids = scene.scheduled(5)
    command = scene.requested(*ids)
    for id_ in ids[2:4]:
        provider.answers[id_] = [Ambiguous("timeout"), Ambiguous("timeout")]
    await scene.deliver(scene.worker(provider), command)
    again = scene.requested(*ids[2:4], repeat_of=command.dispatch_id)
    await scene.deliver(scene.worker(provider), again)
    once_more = scene.requested(*ids[2:4], repeat_of=again.dispatch_id)
    await scene.deliver(scene.worker(provider), once_more)
    assert provider.calls[3:] == [(f"{command.dispatch_id}/1", (ids[2], ids[3]), True)] * 2
    assert {scene.message(id_).status for id_ in ids} == {"sent"}


async def test_a_result_missing_from_a_bulk_answer_is_in_doubt(scene: Scene) -> None:
    class Forgetful(Provider):
        async def send_bulk(self, letters: Any, *, key: str, repeat: bool) -> Any:
            answers = dict(await super().send_bulk(letters, key=key, repeat=repeat))
            del answers[letters[0].message_id]
            return answers

    ids = scene.scheduled(2)
    await scene.deliver(scene.worker(Forgetful(bulk=2)), scene.requested(*ids))
    assert [scene.message(id_).status for id_ in ids] == ["in_doubt", "sent"]


async def test_a_message_in_doubt_is_repeated_with_the_same_key(scene: Scene) -> None:
    [id_] = scene.scheduled()
    first = scene.requested(id_)
    scene.provider.answers[id_] = [Ambiguous("timeout")]
    await scene.deliver(scene.worker(), first)
    await scene.deliver(scene.worker(), scene.requested(id_, repeat_of=first.dispatch_id))
    assert scene.provider.calls == [(str(id_), (id_,), False), (str(id_), (id_,), True)]
    assert (scene.message(id_).status, scene.message(id_).in_doubt) == ("sent", False)


async def test_a_doubt_does_not_expire_but_waits_for_a_person(scene: Scene) -> None:
    [id_] = scene.scheduled()
    first = scene.requested(id_)
    scene.provider.answers[id_] = [Ambiguous("timeout")]
    await scene.deliver(scene.worker(), first)
    again = scene.requested(id_, repeat_of=first.dispatch_id)
    scene.clock.time = EXPIRED
    await scene.deliver(scene.worker(), again)
    assert len(scene.provider.calls) == 1
    assert (scene.message(id_).status, scene.last(id_).reason) == ("in_doubt", "late_window")


@pytest.mark.parametrize(
    ("after", "calls"), [(timedelta(hours=1, seconds=-1), 2), (timedelta(hours=1), 1)], ids=["lives", "over"]
)
async def test_past_the_life_of_its_key_a_doubt_waits_for_a_person(scene: Scene, after: timedelta, calls: int) -> None:
    [id_] = scene.scheduled()
    first = scene.requested(id_)
    scene.provider.answers[id_] = [Ambiguous("timeout")]
    worker = scene.worker(key_lifetime=timedelta(hours=1))
    await scene.deliver(worker, first)
    again = scene.requested(id_, repeat_of=first.dispatch_id)
    scene.clock.time = DUE + after  # the first dispatch's ID tells no time: its message was not sent before it was due
    await scene.deliver(worker, again)
    assert len(scene.provider.calls) == calls
    assert scene.message(id_).status == ("sent" if calls == 2 else "in_doubt")


async def test_an_acceptance_that_comes_after_recovery_gave_up_the_worker_counts(scene: Scene) -> None:
    [id_] = scene.scheduled()
    command = scene.requested(id_)
    worker = scene.worker()
    claims = worker.claim([command], DUE)
    outcomes = await worker.send(claims)
    scene.given_up(command)
    worker.record(claims, outcomes, DUE)
    assert scene.story(id_)[-2:] == ["DeliveryInDoubt", "MessageSent"]
    assert not scene.message(id_).in_doubt


async def test_two_acceptances_of_one_message_are_one_sent_and_one_late(scene: Scene) -> None:
    [id_] = scene.scheduled()
    first = scene.requested(id_)
    slow = scene.worker()
    claims = slow.claim([first], DUE)
    outcomes = await slow.send(claims)
    scene.given_up(first)
    await scene.deliver(scene.worker(), scene.requested(id_, repeat_of=first.dispatch_id))
    slow.record(claims, outcomes, DUE)
    assert scene.story(id_)[-2:] == ["MessageSent", "LateResultRecorded"]
    assert scene.last(id_).dispatch_id == first.dispatch_id


async def test_a_late_failure_of_an_old_dispatch_does_not_steer(scene: Scene) -> None:
    [id_] = scene.scheduled()
    first = scene.requested(id_)
    scene.provider.answers[id_] = [NotAccepted("unavailable:500")]
    slow = scene.worker()
    claims = slow.claim([first], DUE)
    outcomes = await slow.send(claims)
    scene.given_up(first)
    scene.requested(id_, repeat_of=first.dispatch_id)
    slow.record(claims, outcomes, DUE)
    assert scene.story(id_)[-1] == "LateResultRecorded"
    assert scene.message(id_).status == "requested"


async def test_what_was_never_attempted_is_no_doubt_even_if_recovery_thought_so(scene: Scene) -> None:
    [id_] = scene.scheduled()
    command = scene.requested(id_)
    scene.happens("users", scene.people[id_], UserSuppressed("bounced"))
    worker = scene.worker()
    claims = worker.claim([command], DUE)
    outcomes = await worker.send(claims)
    scene.given_up(command)
    worker.record(claims, outcomes, DUE)
    assert (scene.story(id_)[-1], scene.message(id_).status) == ("MessageReleased", "retrying")
    assert not scene.message(id_).in_doubt


class Flaky(FakeEventStore):
    """Fails so many times, before or after it has written."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[str] = []

    def append(self, *arguments: Any) -> Any:
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "before":
            raise StoreUnavailable
        appended = super().append(*arguments)
        if failure == "after":
            raise StoreUnavailable
        return appended


@pytest.mark.parametrize("failure", ["before", "after"], ids=["nothing written", "acknowledgement lost"])
@pytest.mark.parametrize("answer", [Accepted(200), NotAccepted("unavailable:500"), Rejected("rejected:400")], ids=type)
async def test_outcomes_outlast_an_outage_of_the_database_and_are_recorded_once(answer: Answer, failure: str) -> None:
    store = Flaky()
    scene = Scene(store)
    [id_] = scene.scheduled()
    command = scene.requested(id_)
    scene.provider.answers[id_] = [answer]
    worker = scene.worker(random=iter((0.1, 0.9)).__next__)
    claims = worker.claim([command], DUE)
    outcomes = await worker.send(claims)
    store.failures = [failure]
    worker.record(claims, outcomes, DUE)
    assert len(scene.story(id_)) == 3
    assert scene.dispatch_status(command) == "finished"


@pytest.mark.parametrize("failure", ["before", "after"], ids=["nothing written", "acknowledgement lost"])
async def test_a_claim_whose_acknowledgement_was_lost_is_ours(failure: str) -> None:
    store = Flaky()
    scene = Scene(store)
    command = scene.requested(*scene.scheduled(2))
    store.failures = [failure]
    await scene.deliver(scene.worker(), command)
    assert len(scene.provider.calls) == 2
    assert scene.dispatch_status(command) == "finished"


async def test_a_worker_told_to_end_waits_for_the_database_no_longer() -> None:
    store = Flaky()
    scene = Scene(store)
    command = scene.requested(*scene.scheduled())
    worker = scene.worker()
    claims = worker.claim([command], DUE)
    outcomes = await worker.send(claims)
    worker.end()
    store.failures = ["before"]
    with pytest.raises(StoreUnavailable):
        worker.record(claims, outcomes, DUE)
