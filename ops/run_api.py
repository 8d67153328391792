"""The HTTP API. It answers from the first moment on: that it is not ready, and why, while the database is not there."""

import socket

from api.app import make_app

from application.ports import StoreUnavailable
from ops.running import Stop
from ops.serving import serve
from ops.wiring import Parts, service


async def run_api(parts: Parts, listener: socket.socket, stop: Stop) -> None:
    """Returns once told to stop."""

    def red() -> list[str]:
        broker = ["broker"] if parts.settings.amqp_url and not parts.bus.connected else []
        try:
            parts.database_answers()
        except StoreUnavailable:
            return ["database", *broker]
        return broker if parts.prepared.is_set() else ["starting", *broker]

    await serve(make_app(service(parts, red)), listener, stop)
