"""Is a message whose call got no clear answer delivered after all, once, on a provider that deduplicates?"""

from uuid import uuid4

from application.channel_plan import ChannelPlan, ChannelTraits
from application.delivery_ports import Ambiguous, SendCommand
from application.repeat_doubt import REPEAT_AFTER, RepeatDoubt
from domain.message_type import registry
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.event_store import PostgresEventStore
from infrastructure.work import begin_work
from tests.delivery_scene import DUE, Provider, Scene
from tests.stores import real_store


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
    plan = ChannelPlan((ChannelTraits(name="post", idempotent=True, askable=False, concurrency=100, bulk=2),))
    return RepeatDoubt(lambda: begin_work(store, PostgresDispatcherWork, "doubt", None), registry(), plan, uuid4)
