"""What cannot be read of one message, person or dispatch: does a worker deliver all the others, and leave a trace?"""

from collections.abc import Iterator
from uuid import UUID

import pytest

from application.delivery_ports import Ambiguous
from application.ports import EventStore, Log
from domain.scheduled_message import DeliveryInDoubt, MessageAbandoned, MessageRescheduled
from infrastructure.event_store import PostgresEventStore
from tests.broken_streams import break_stream, left_alone
from tests.delivery_scene import DUE, Provider, Scene
from tests.fake_event_store import FakeEventStore
from tests.stores import real_store


@pytest.fixture(params=["memory", "PostgreSQL"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    if request.param == "memory":
        yield Scene(FakeEventStore())
    else:
        with real_store(request.getfixturevalue("database_with_months")) as store:
            yield Scene(store)


def breaks(scene: Scene, log: Log, stream_id: UUID) -> None:
    store: EventStore = scene.store
    if isinstance(store, FakeEventStore):
        store.broken[log, stream_id] = "unknown"
    else:
        assert isinstance(store, PostgresEventStore)
        break_stream(store.database, log, stream_id, DUE)


def left(scene: Scene) -> set[tuple[str, Log, UUID]]:
    store: EventStore = scene.store
    if isinstance(store, FakeEventStore):
        return set(store.left_alone)
    assert isinstance(store, PostgresEventStore)
    return left_alone(store.database)


async def test_a_message_that_cannot_be_read_is_not_sent_and_the_rest_is(scene: Scene) -> None:
    [broken, sound] = scene.scheduled(2)
    command = scene.requested(broken, sound)
    breaks(scene, "messages", broken)
    await scene.deliver(scene.worker(), command)
    assert (scene.provider.keys, scene.message(sound).status) == ([str(sound)], "sent")
    assert scene.dispatch_status(command) == "finished"
    assert left(scene) == {("worker", "messages", broken)}


async def test_the_message_of_a_person_who_cannot_be_read_is_given_up_visibly(scene: Scene) -> None:
    [broken, sound] = scene.scheduled(2)
    command = scene.requested(broken, sound)
    breaks(scene, "users", scene.people[broken])
    await scene.deliver(scene.worker(), command)
    assert (scene.provider.keys, scene.message(sound).status) == ([str(sound)], "sent")
    end = scene.last(broken)
    assert isinstance(end, MessageAbandoned)
    assert (end.reason, end.error) == ("plugin_error", "unreadable")


async def test_a_dispatch_that_cannot_be_read_is_not_claimed_and_the_rest_is(scene: Scene) -> None:
    [broken, sound] = scene.scheduled(2)
    commands = [scene.requested(broken), scene.requested(sound)]
    breaks(scene, "dispatches", commands[0].dispatch_id)
    await scene.deliver(scene.worker(), *commands)
    assert (scene.message(broken).status, scene.message(sound).status) == ("requested", "sent")
    assert left(scene) == {("worker", "dispatches", commands[0].dispatch_id)}


async def test_what_the_calendar_cannot_reckon_is_given_up_visibly(scene: Scene) -> None:
    [broken, sound] = scene.scheduled(2)
    mars = MessageRescheduled(
        message_type="BIRTHDAY", timezone="Mars/Olympus", due_at=DUE, reason="zone_moved", rule="plain", tzdata="2026f"
    )
    scene.happens("messages", broken, mars)
    await scene.deliver(scene.worker(), scene.requested(broken, sound))
    assert scene.message(sound).status == "sent"
    assert (scene.message(broken).status, scene.message(broken).reason) == ("abandoned", "plugin_error")


async def test_a_bulk_call_whose_key_cannot_be_read_is_not_made_under_another(scene: Scene) -> None:
    provider = Provider(bulk=2)
    ids = scene.scheduled(2)
    first = scene.requested(*ids)
    for id_ in ids:
        provider.answers[id_].append(Ambiguous("timeout"))
    await scene.deliver(scene.worker(provider), first)
    breaks(scene, "dispatches", first.dispatch_id)
    again = scene.requested(*ids, repeat_of=first.dispatch_id)
    await scene.deliver(scene.worker(provider), again)
    assert provider.keys == [f"{first.dispatch_id}/0"]
    for id_ in ids:
        doubt = scene.last(id_)
        assert isinstance(doubt, DeliveryInDoubt)
        assert doubt.reason == "unreadable"


async def test_outcomes_are_kept_though_their_dispatch_cannot_be_read_by_then(scene: Scene) -> None:
    [sound, withdrawn] = scene.scheduled(2)
    command = scene.requested(sound, withdrawn)
    worker = scene.worker()
    claims = worker.claim([command], DUE)
    outcomes = await worker.send(claims)
    breaks(scene, "dispatches", command.dispatch_id)
    worker.record(claims, outcomes, DUE)
    assert {scene.message(each).status for each in (sound, withdrawn)} == {"sent"}
