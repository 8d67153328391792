"""Case 20: is an address written to as often as its type may for a day, and is what is too many cancelled, visibly?"""

import pytest

from application.address_cap import AddressCap
from application.deliver_messages import Deliverer
from application.delivery_ports import Ambiguous, NotAccepted, Rejected
from domain.user import EmailChanged, UserSuppressed
from tests.delivery_scene import Provider, Scene
from tests.fake_addresses import FakeAddresses
from tests.fake_event_store import FakeEventStore


@pytest.fixture
def scene() -> Scene:
    return Scene(FakeEventStore())


@pytest.fixture
def addresses() -> FakeAddresses:
    return FakeAddresses()


def capped(scene: Scene, addresses: FakeAddresses, most: int = 1, kind: str = "BIRTHDAY", bulk: int = 1) -> Deliverer:
    provider = Provider(bulk=bulk)
    provider.answers, provider.calls = scene.provider.answers, scene.provider.calls
    return scene.worker(provider, cap=AddressCap({kind: most}, addresses))


async def test_of_two_users_with_one_address_the_second_is_not_written_to(scene: Scene, addresses: FakeAddresses) -> None:
    [first] = scene.scheduled()
    [second] = scene.scheduled(email="ADA@Example.com")
    [elsewhere] = scene.scheduled(email="bea@example.com")
    command = scene.requested(first, second, elsewhere)
    await scene.deliver(capped(scene, addresses), command)
    assert [scene.message(id_).status for id_ in (first, second, elsewhere)] == ["sent", "cancelled", "sent"]
    assert scene.message(second).reason == "not_allowed"
    assert scene.provider.keys == [str(first), str(elsewhere)]
    assert scene.dispatch_status(command) == "finished"


@pytest.mark.parametrize("bulk", [1, 10])
async def test_other_dispatches_and_workers_count_too(scene: Scene, addresses: FakeAddresses, bulk: int) -> None:
    ids = scene.scheduled(5)
    commands = [scene.requested(*ids[:2]), scene.requested(*ids[2:4]), scene.requested(ids[4])]
    await scene.deliver(capped(scene, addresses, most=3, bulk=bulk), *commands[:2])
    await scene.deliver(capped(scene, addresses, most=3, bulk=bulk), commands[2])
    assert [scene.message(id_).status for id_ in ids] == ["sent"] * 3 + ["cancelled"] * 2


async def test_a_retry_needs_no_second_place(scene: Scene, addresses: FakeAddresses) -> None:
    first, second = scene.scheduled(2)
    scene.provider.answers[first] = [NotAccepted("unavailable:500")]
    await scene.deliver(capped(scene, addresses), scene.requested(first))
    await scene.deliver(capped(scene, addresses), scene.requested(second))
    await scene.deliver(capped(scene, addresses), scene.requested(first))
    assert [scene.message(id_).status for id_ in (first, second)] == ["sent", "cancelled"]


async def test_what_may_have_arrived_is_repeated_whatever_others_took(scene: Scene, addresses: FakeAddresses) -> None:
    doubtful, other, third = scene.scheduled(3)
    scene.provider.answers[doubtful] = [Ambiguous("timeout")]
    before_the_cap = scene.requested(doubtful)
    await scene.deliver(scene.worker(), before_the_cap)
    await scene.deliver(capped(scene, addresses), scene.requested(other))
    await scene.deliver(capped(scene, addresses), scene.requested(doubtful, third, repeat_of=before_the_cap.dispatch_id))
    assert [scene.message(id_).status for id_ in (doubtful, other, third)] == ["sent", "sent", "cancelled"]


async def test_what_is_not_sent_for_another_reason_takes_no_place(scene: Scene, addresses: FakeAddresses) -> None:
    silent, other = scene.scheduled(2)
    command = scene.requested(silent, other)
    scene.happens("users", scene.people[silent], UserSuppressed("bounced"))
    await scene.deliver(capped(scene, addresses), command)
    assert (scene.message(silent).reason, scene.message(other).status) == ("suppressed", "sent")


async def test_a_place_stays_taken_whatever_the_provider_said(scene: Scene, addresses: FakeAddresses) -> None:
    refused, other = scene.scheduled(2)
    scene.provider.answers[refused] = [Rejected("rejected:400")]
    await scene.deliver(capped(scene, addresses), scene.requested(refused))
    await scene.deliver(capped(scene, addresses), scene.requested(other))
    assert [scene.message(id_).status for id_ in (refused, other)] == ["abandoned", "cancelled"]


async def test_it_is_the_address_at_the_claim_that_counts(scene: Scene, addresses: FakeAddresses) -> None:
    first, second = scene.scheduled(2)
    command = scene.requested(first, second)
    scene.happens("users", scene.people[second], EmailChanged("bea@example.com"))
    await scene.deliver(capped(scene, addresses), command)
    assert [scene.message(id_).status for id_ in (first, second)] == ["sent", "sent"]


async def test_nobody_asks_for_types_without_a_cap(scene: Scene, addresses: FakeAddresses) -> None:
    ids = scene.scheduled(3)
    await scene.deliver(capped(scene, addresses, kind="ANNIVERSARY"), scene.requested(*ids))
    assert {scene.message(id_).status for id_ in ids} == {"sent"}
    assert addresses.asked == 0
