"""What do dispatcher and worker do with what is due at an instant, on a real store?"""

import asyncio
from datetime import datetime
from functools import partial
from uuid import UUID

from uuid_utils.compat import uuid7

from application.channel_gate import OpenGate
from application.channel_plan import ChannelPlan, ChannelTraits
from application.deliver_messages import Deliverer
from application.delivery_ports import SendCommand
from application.dispatch_messages import Dispatcher
from domain.dispatch import DispatchRequested
from domain.message_type import MessageTypes, registry
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.event_store import PostgresEventStore
from infrastructure.work import begin_work
from tests.delivery_scene import Lease, Provider, StillClock

PROVIDERS_CHANNEL = ChannelTraits("post", idempotent=False, askable=False, concurrency=64)


def send_what_is_due(
    store: PostgresEventStore, now: datetime, provider: Provider | None = None, types: MessageTypes | None = None
) -> list[UUID]:
    """Everything due at `now` is dispatched and delivered; the dispatches."""
    types = types or registry()
    after = store.head().dispatches
    begin = partial(begin_work, store, PostgresDispatcherWork, "dispatcher", None)
    dispatcher = Dispatcher(begin, types, ChannelPlan([PROVIDERS_CHANNEL]), uuid7)
    while dispatcher.step(now, steady=True):
        pass
    requested = store.read("dispatches", after, 1000, frozenset({DispatchRequested})).events
    commands = [
        SendCommand(one.stream_id, one.event.channel, one.event.region, one.event.message_ids)
        for one in requested
        if isinstance(one.event, DispatchRequested)
    ]
    channel = provider or Provider(idempotent=False)
    worker = Deliverer(store, channel, types, StillClock(now), Lease(), OpenGate(), lambda: 0.5)
    claims = worker.claim(commands, now)
    worker.record(claims, asyncio.run(worker.send(claims)), now)
    return [claim.dispatch_id for claim in claims]
