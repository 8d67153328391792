"""Does a worker send each message once, record what came of it, and leave alone what is no longer to be sent?"""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from application.delivery_ports import SendCommand
from domain.event import Event
from domain.message_type import MessageTypes, Rendered
from domain.message_types.birthday import Birthday
from domain.scheduled_message import MessageCancelled, MessageRedriven
from domain.user import BirthdayChanged, MessageTypesChanged, User, UserErased, UserRenamed, UserSuppressed
from tests.delivery_scene import DUE, EXPIRED, Lease, Provider, Scene
from tests.fake_event_store import FakeEventStore


@pytest.fixture
def scene() -> Scene:
    return Scene(FakeEventStore())


async def test_a_birthday_is_claimed_sent_and_recorded(scene: Scene) -> None:
    [id_] = scene.scheduled()
    command = scene.requested(id_)
    await scene.deliver(scene.worker(), command)
    assert scene.story(id_) == ["MessageScheduled", "SendRequested", "MessageSent"]
    assert (scene.last(id_).sent_at, scene.last(id_).response_code, scene.last(id_).provider_id) == (DUE, 200, f"p-{id_}")
    assert scene.dispatch_status(command) == "finished"
    [letter] = scene.provider.letters
    assert (letter.email, letter.subject) == ("ada@example.com", "Happy birthday!")
    assert letter.body == "Hey, Ada Lovelace it's your birthday"
    assert scene.provider.calls == [(str(id_), (id_,), False)]


async def test_several_dispatches_are_delivered_at_once(scene: Scene) -> None:
    ids = scene.scheduled(7)
    commands = [scene.requested(*ids[:3]), scene.requested(*ids[3:])]
    await scene.deliver(scene.worker(), *commands)
    assert sorted(scene.provider.keys) == sorted(map(str, ids))
    assert {scene.dispatch_status(command) for command in commands} == {"finished"}


async def test_a_redelivered_command_skips_what_is_done(scene: Scene) -> None:
    command = scene.requested(*scene.scheduled(2))
    worker = scene.worker()
    await scene.deliver(worker, command)
    assert worker.claim([command], DUE) == []
    assert len(scene.provider.calls) == 2


async def test_one_of_two_workers_wins_a_dispatch(scene: Scene) -> None:
    command = scene.requested(*scene.scheduled(2))
    first, second = scene.worker(), scene.worker()
    assert len(first.claim([command], DUE)) == 1
    assert second.claim([command], DUE) == []


async def test_a_command_for_a_dispatch_nobody_knows_is_skipped(scene: Scene) -> None:
    assert scene.worker().claim([SendCommand(uuid4(), "post", "europe", (uuid4(),))], DUE) == []


async def test_the_call_says_what_the_person_is_called_now(scene: Scene) -> None:
    [id_] = scene.scheduled()
    command = scene.requested(id_)
    scene.happens("users", scene.people[id_], UserRenamed("Augusta", "King"))
    await scene.deliver(scene.worker(), command)
    assert scene.provider.letters[0].body == "Hey, Augusta King it's your birthday"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (UserErased(), "erased"),
        (UserSuppressed("bounced"), "suppressed"),
        (MessageTypesChanged(("HOLIDAY_GREETING",)), "type_removed"),
        (BirthdayChanged(None), "birthday_changed"),
    ],
    ids=["16 erased", "16 suppressed", "16 opted out", "12 birthday gone"],
)
async def test_who_is_no_longer_to_be_greeted_at_the_claim_is_not(scene: Scene, change: Event, reason: str) -> None:
    [id_, other] = scene.scheduled(2)
    command = scene.requested(id_, other)
    scene.happens("users", scene.people[id_], change)
    await scene.deliver(scene.worker(), command)
    assert isinstance(scene.last(id_), MessageCancelled)
    assert scene.message(id_).reason == reason
    assert scene.provider.keys == [str(other)]


async def test_only_addresses_on_trial_are_written_to(scene: Scene) -> None:
    [outside] = scene.scheduled()
    [inside] = scene.scheduled(email="Grace@Trial.example")
    await scene.deliver(scene.worker(only_to="*@trial.EXAMPLE"), scene.requested(outside, inside))
    assert (scene.message(outside).status, scene.message(outside).reason) == ("cancelled", "not_allowed")
    assert scene.message(inside).status == "sent"


async def test_past_its_late_window_a_message_expires(scene: Scene) -> None:
    [id_] = scene.scheduled()
    command = scene.requested(id_)
    scene.clock.time = EXPIRED
    await scene.deliver(scene.worker(), command)
    assert (scene.message(id_).status, scene.message(id_).reason) == ("expired", "late_window")
    assert scene.provider.calls == []


async def test_nothing_expires_while_the_clock_is_in_doubt(scene: Scene) -> None:
    [id_] = scene.scheduled()
    command = scene.requested(id_)
    scene.clock.time, scene.clock.is_steady = EXPIRED, False
    await scene.deliver(scene.worker(), command)
    assert scene.message(id_).status == "sent"


async def test_a_redriven_message_has_the_window_it_was_given(scene: Scene) -> None:
    [id_] = scene.scheduled()
    redriven = MessageRedriven(
        message_type="BIRTHDAY", timezone="Europe/London", due_at=DUE, by="cli", send_before=EXPIRED + timedelta(days=1)
    )
    scene.happens("messages", id_, redriven)
    command = scene.requested(id_)
    scene.clock.time = EXPIRED
    await scene.deliver(scene.worker(), command)
    assert scene.message(id_).status == "sent"


class Broken(Birthday, frozen=True, kw_only=True):
    """Fails for Ada alone."""

    def render(self, user: User, occasion: Any) -> Rendered:
        if user.first_name == "Ada":
            raise ZeroDivisionError("Ada")
        return super().render(user, occasion)


async def test_a_message_that_cannot_be_rendered_is_abandoned_alone(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    [broken] = scene.scheduled()
    [fine] = scene.scheduled(first_name="Grace")
    worker = scene.worker()
    worker._types = MessageTypes(Broken())
    await scene.deliver(worker, scene.requested(broken, fine))
    assert (scene.message(broken).status, scene.last(broken).reason) == ("abandoned", "plugin_error")
    assert scene.last(broken).error == "ZeroDivisionError"
    assert scene.message(fine).status == "sent"
    assert "Ada" not in caplog.text


async def test_a_lapsed_lease_makes_no_call_and_burns_no_try(scene: Scene) -> None:
    [id_] = scene.scheduled()
    lease = Lease()
    worker = scene.worker(lease=lease)
    claims = worker.claim([scene.requested(id_)], DUE)
    lease.holds = False
    worker.record(claims, await worker.send(claims), DUE)
    assert scene.provider.calls == []
    assert (scene.story(id_)[-1], scene.message(id_).status, scene.message(id_).retry_count) == ("MessageReleased", "retrying", 0)


async def test_a_worker_that_was_taken_for_dead_does_not_call_with_its_old_claims(scene: Scene) -> None:
    [id_] = scene.scheduled()
    lease = Lease()
    worker = scene.worker(lease=lease)
    claims = worker.claim([scene.requested(id_)], DUE)
    lease.incarnation = uuid4()
    worker.record(claims, await worker.send(claims), DUE)
    assert scene.provider.calls == []
    assert scene.story(id_)[-1] == "MessageReleased"


async def test_no_more_calls_are_open_than_the_channel_takes(scene: Scene) -> None:
    provider = Provider(concurrency=3)
    commands = [scene.requested(*scene.scheduled(5)) for _ in range(3)]
    await scene.deliver(scene.worker(provider), *commands)
    assert (len(provider.calls), provider.most_open_calls) == (15, 3)


async def test_bulk_calls_are_numbered_stretches_of_the_dispatch(scene: Scene) -> None:
    provider = Provider(bulk=2)
    ids = scene.scheduled(5)
    command = scene.requested(*ids)
    await scene.deliver(scene.worker(provider), command)
    assert provider.calls == [
        (f"{command.dispatch_id}/0", (ids[0], ids[1]), False),
        (f"{command.dispatch_id}/1", (ids[2], ids[3]), False),
        (f"{command.dispatch_id}/2", (ids[4],), False),
    ]
    assert {scene.message(id_).status for id_ in ids} == {"sent"}


async def test_a_kill_between_claim_and_outcome_leaves_the_dispatch_to_recovery(scene: Scene) -> None:
    [id_] = scene.scheduled()
    command = scene.requested(id_)
    scene.worker().claim([command], DUE)  # and then nothing more is heard of that worker
    assert scene.dispatch_status(command) == "started"
    assert scene.message(id_).status == "requested"
    assert scene.worker().claim([command], DUE) == []
