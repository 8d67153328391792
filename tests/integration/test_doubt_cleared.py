"""Is a message whose call got no clear answer delivered after all, once, on a provider that deduplicates?"""

from datetime import timedelta
from uuid import uuid4

from application.channel_plan import ChannelPlan, ChannelTraits
from application.delivery_ports import Ambiguous, SendCommand
from application.dispatch_messages import Dispatcher
from application.repeat_doubt import REPEAT_AFTER, RepeatDoubt
from domain.dispatch import DispatchRequested
from domain.message_id import message_id
from domain.message_type import registry
from domain.scheduled_message import MessageScheduled
from infrastructure.channel_states import PostgresChannels
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.event_store import PostgresEventStore
from infrastructure.work import begin_work
from tests.application.test_deliver_through_a_gate import Watched
from tests.delivery_scene import DUE, OCCASION, Provider, Scene
from tests.stores import real_store

PLAN = ChannelPlan((ChannelTraits(name="post", idempotent=True, askable=False, concurrency=100, bulk=2),))


async def test_a_bulk_call_without_a_clear_answer_is_made_again_as_it_was(database_with_months: str) -> None:
    with real_store(database_with_months) as store:
        scene = Scene(store)
        provider = Provider(bulk=2)
        ids = scene.scheduled(4)
        command = scene.requested(*ids)
        for id_ in ids[2:]:
            provider.answers[id_] = [Ambiguous("timeout")]
        await scene.deliver(scene.worker(provider), command)
        assert [scene.message(id_).status for id_ in ids] == ["sent", "sent", "in_doubt", "in_doubt"]
        repeating = _repeating(store)
        repeating.step(DUE)
        assert scene.message(ids[2]).status == "in_doubt"
        repeating.step(DUE + REPEAT_AFTER)
        repeated = scene.message(ids[2]).dispatch_id
        assert repeated
        await scene.deliver(scene.worker(provider), SendCommand(repeated, "post", "europe", tuple(ids[2:])))
        assert provider.calls[1:] == [
            (f"{command.dispatch_id}/1", tuple(ids[2:]), False),
            (f"{command.dispatch_id}/1", tuple(ids[2:]), True),
        ]
        assert {scene.message(id_).status for id_ in ids} == {"sent"}


def _repeating(store: PostgresEventStore) -> RepeatDoubt:
    return RepeatDoubt(lambda: begin_work(store, PostgresDispatcherWork, "doubt", None), registry(), PLAN, uuid4)


async def test_a_bulk_call_that_was_given_back_is_made_again_with_all_of_its_messages(database_with_months: str) -> None:
    """A provider that knows the key would refuse a part of it, or answer the rest with what became of that part."""
    with real_store(database_with_months) as store:
        scene, provider = Scene(store), Provider(bulk=2)
        ids = scene.scheduled(2)
        command = scene.requested(*ids)
        for id_ in ids:
            provider.answers[id_] = [Ambiguous("timeout")]
        await scene.deliver(scene.worker(provider), command)
        _repeating(store).step(DUE + REPEAT_AFTER)
        await scene.deliver(scene.worker(provider, gate=Watched("breaker_open")), *_handed_out(store)[1:])
        scene.happens("messages", early := message_id(uuid4(), "BIRTHDAY", OCCASION), _earlier())
        channels = PostgresChannels(store.database)
        channels.trip("post")
        with store.database.connect() as connection:
            connection.execute("UPDATE channel_states SET open_until = clock_timestamp()")
        leader = Dispatcher(lambda: begin_work(store, PostgresDispatcherWork, "dispatcher", None), registry(), PLAN, uuid4)
        for _ in range(4):  # half-open, there is room for two
            while leader.step(DUE + REPEAT_AFTER, steady=True):
                pass
            await scene.deliver(scene.worker(provider), *_handed_out(store)[2:])
        assert provider.calls == [(f"{command.dispatch_id}/0", tuple(ids), repeat) for repeat in (False, True)]
        assert {scene.message(id_).status for id_ in ids} == {"sent"}
        assert scene.message(early).status == "cancelled"  # there is no such person


def _earlier() -> MessageScheduled:
    return MessageScheduled(
        user_id=uuid4(),
        message_type="BIRTHDAY",
        occasion=OCCASION,
        timezone="Europe/London",
        due_at=DUE - timedelta(seconds=1),
        rule="plain",
        tzdata="2026f",
        type_version=1,
    )


def _handed_out(store: PostgresEventStore) -> list[SendCommand]:
    """Every dispatch so far."""
    with begin_work(store, PostgresDispatcherWork, "reader", None) as work:
        found = work.follow("dispatches", 100).events
    requests = [(one.stream_id, one.event) for one in found if isinstance(one.event, DispatchRequested)]
    return [SendCommand(id_, event.channel, event.region, event.message_ids) for id_, event in requests]
