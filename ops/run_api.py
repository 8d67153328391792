"""The HTTP API. It answers from the first moment on: that it is not ready, and why, while the database is not there."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from functools import partial

from msgspec.structs import replace

from api.app import ROUTES, make_app
from api.bounded_clients import BoundedClients
from api.endpoint import Endpoint
from application.delivery_ports import BusUnavailable
from application.ports import StoreUnavailable
from ops.replica_wiring import read_replica, with_replica
from ops.running import Stop
from ops.serving import serve
from ops.watching import measures, notes
from ops.wiring import Parts, service


async def run_api(parts: Parts, listener: socket.socket, stop: Stop, routes: Sequence[Endpoint] = ROUTES) -> None:
    """Returns once told to stop. The other roles answer the HEALTH routes alone."""

    def red() -> list[str]:
        broker = ["broker"] if parts.settings.amqp_url and not parts.bus.connected else []
        try:
            parts.database.answers()
        except StoreUnavailable:
            return ["database", *broker]
        return broker if parts.prepared.is_set() else ["starting", *broker]

    loop = asyncio.get_running_loop()

    def dead_commands() -> int | None:
        """Asked by the thread that answers, on the loop that the bus belongs to."""
        if not parts.bus.connected:
            return None
        with suppress(BusUnavailable):
            return asyncio.run_coroutine_threadsafe(parts.bus.dead(), loop).result()
        return None

    replica = read_replica(parts.settings) if routes is ROUTES else None
    watched = replace(
        service(parts, red), measures=measures(parts).take, notes=partial(notes, parts, replica), dead_commands=dead_commands
    )
    with replica or nullcontext():
        served = with_replica(watched, parts.store, replica) if replica else watched
        await serve(make_app(served, routes), listener, stop, http=BoundedClients)
