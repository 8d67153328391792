"""Is what became of an unanswered call found out by asking, so that everybody gets one message and nobody two?"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest

from application.channel_plan import ChannelPlan, ChannelTraits
from application.delivery_ports import SendCommand
from application.repeat_doubt import REPEAT_AFTER, RepeatDoubt
from domain.message_type import registry
from infrastructure.channels.http import HttpChannel
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.event_store import PostgresEventStore
from infrastructure.work import begin_work
from ops.sink_app import SinkOptions
from ops.sink_file import Call, read_body
from tests.delivery_scene import DUE, Scene
from tests.provider import running_sink
from tests.stores import real_store


@pytest.mark.parametrize("bulk", [1, 4])
async def test_calls_cut_after_and_before_their_acceptance_end_sent_and_delivered_once(
    database_with_months: str, tmp_path: Path, bulk: int
) -> None:
    file = tmp_path / "sink.jsonl"
    with real_store(database_with_months) as store:
        scene = Scene(store)
        ids = scene.scheduled(12)
        cut, never_made = scene.requested(*ids[:6]), scene.requested(*ids[6:])
        async with running_sink(file, SinkOptions(cut_rate=1)) as url:
            channel = HttpChannel(
                "post", f"{url}/send", idempotent=False, askable=True, bulk=bulk, concurrency=2, call_timeout_seconds=10
            )
            await scene.deliver(scene.worker(channel), cut)
            scene.worker(channel).claim([never_made], DUE)
            scene.given_up(never_made)
            assert {(scene.message(id_).status, scene.message(id_).in_doubt) for id_ in ids} == {("in_doubt", True)}
            again = scene.requested(*ids[6:], repeat_of=never_made.dispatch_id)
            await scene.deliver(scene.worker(channel), again)
            assert delivered(file) == sorted(map(str, ids))
            _repeating(store, bulk).step(DUE + REPEAT_AFTER)
            await scene.deliver(scene.worker(channel), *_requested_again(scene, ids))
            await channel.close()
        assert {(scene.message(id_).status, scene.message(id_).in_doubt) for id_ in ids} == {("sent", False)}
        assert all(scene.last(id_).provider_id.startswith("sink-") for id_ in ids)
    assert delivered(file) == sorted(map(str, ids))


def delivered(file: Path) -> list[str]:
    """The messages of every call, as often as the provider got them."""
    calls = [msgspec.json.decode(line, type=Call) for line in file.read_bytes().splitlines()]
    return sorted(id_ for call in calls if (body := read_body(bytes(call.body))) for id_ in body.ids)


def _requested_again(scene: Scene, ids: Sequence[UUID]) -> list[SendCommand]:
    members: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for id_ in ids:
        if (message := scene.message(id_)).dispatch_id is not None:
            members[message.dispatch_id].append(id_)
    return [SendCommand(dispatch_id, "post", "europe", tuple(one)) for dispatch_id, one in members.items()]


def _repeating(store: PostgresEventStore, bulk: int) -> RepeatDoubt:
    plan = ChannelPlan((ChannelTraits(name="post", idempotent=False, askable=True, concurrency=2, bulk=bulk),))
    return RepeatDoubt(lambda: begin_work(store, PostgresDispatcherWork, "doubt", None), registry(), plan, uuid4)
