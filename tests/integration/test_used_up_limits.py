"""While a channel's limit lets nothing out for an hour, does nothing of what waits for it move, on a real store?"""

import time
from uuid import UUID

from uuid_utils.compat import uuid7

from application.channel_gate import ChannelGate
from application.channel_plan import ChannelPlan, ChannelTraits
from application.deliver_messages import Deliverer
from application.delivery_ports import SendCommand
from application.dispatch_messages import Dispatcher
from application.provider_limit import ProviderLimit
from domain.dispatch import DispatchRequested
from domain.message_type import registry
from infrastructure.channel_states import PostgresChannels
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.event_store import PostgresEventStore
from infrastructure.work import begin_work
from tests.delivery_scene import DUE, Provider, Scene
from tests.stores import real_store


class Sending:
    """A dispatcher and a worker, as they are started with a channel of this limit."""

    def __init__(self, scene: Scene, store: PostgresEventStore, limit: ProviderLimit, bulk: int = 1) -> None:
        channel = ChannelTraits("post", idempotent=True, askable=False, concurrency=100, bulk=bulk, limit=limit)
        self._scene, self._store, self._read_to = scene, store, store.head().dispatches
        self._dispatcher = Dispatcher(
            lambda: begin_work(store, PostgresDispatcherWork, "dispatcher", None), registry(), ChannelPlan([channel]), uuid7
        )
        gate = ChannelGate("post", PostgresChannels(store.database), limit=limit, concurrency=100, monotonic=time.monotonic)
        self._worker: Deliverer = scene.worker(Provider(bulk=bulk), gate=gate)

    async def go_on(self) -> None:
        """Once: the dispatcher does what it can, and the worker all that it is handed."""
        while self._dispatcher.step(DUE, steady=True):
            pass
        followed = self._store.read("dispatches", self._read_to, 1_000, frozenset({DispatchRequested}))
        self._read_to = followed.position
        for one in followed.events:
            assert isinstance(one.event, DispatchRequested)
            handed = SendCommand(one.stream_id, one.event.channel, one.event.region, one.event.message_ids)
            await self._scene.deliver(self._worker, handed)


def told(scene: Scene, ids: list[UUID]) -> list[str]:
    """What became of each of them after it was scheduled."""
    return sorted(" ".join(scene.story(id_)[1:]) for id_ in ids)


SENT = "SendRequested MessageSent"


async def test_what_a_used_up_limit_holds_back_is_not_requested_until_there_is_room(database_with_months: str) -> None:
    with real_store(database_with_months) as store:
        scene = Scene(store)
        ids = scene.scheduled(60)
        sending = Sending(scene, store, ProviderLimit(unit="messages", most=7, per_seconds=3_600), bulk=3)
        for _ in range(5):
            await sending.go_on()
        assert told(scene, ids) == [""] * 53 + [SENT] * 7
        with store.database.connect() as connection:
            connection.execute("UPDATE channel_states SET usage = '{}'")  # an hour later
        for _ in range(5):
            await sending.go_on()
        assert told(scene, ids) == [""] * 46 + [SENT] * 14
        raised = Sending(scene, store, ProviderLimit(unit="messages", most=20, per_seconds=3_600), bulk=3)
        for _ in range(5):
            await raised.go_on()
        assert told(scene, ids) == [""] * 33 + [SENT] * 27
