"""How is an ASGI application served at an address that a setting names?"""

import asyncio
import resource
import socket
from contextlib import nullcontext
from typing import Any, Final, Literal

import uvicorn

from ops.running import Stop
from ops.settings import Address

GRACE_SECONDS: Final = 3
OTHER_FILES: Final = 256
"""For the database, the broker, the provider and the process itself; two servers may share what is left."""
FEWEST_CONNECTIONS: Final = 64


class AddressTaken(Exception):
    """Something else listens there; the message names the setting."""


def bound(address: Address, setting: str) -> socket.socket:
    """A socket bound before anything starts, so that a taken port stops the start. Raises AddressTaken."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host.strip("[]"), address.port))
    except OSError as error:
        listener.close()
        raise AddressTaken(f"{setting}={address}: {error.strerror}; free the port, or set {setting} to another") from error
    listener.listen(1024)
    return listener


async def serve(
    app: Any,
    listener: socket.socket,
    stop: Stop,
    http: type[asyncio.Protocol] | Literal["auto"] = "auto",
    grace_seconds: int = GRACE_SECONDS,
) -> None:
    """Returns once told to stop and the requests under way are answered, or that long after. `http` speaks the protocol."""
    config = uvicorn.Config(
        app,
        http=http,
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=grace_seconds,
        server_header=False,
        limit_concurrency=_most_connections(),
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.loop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving


def _most_connections() -> int:
    """Who comes beyond is told 503: without a file left, the process could not even speak to its database."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(FEWEST_CONNECTIONS, (files - OTHER_FILES) // 2) if files != resource.RLIM_INFINITY else 2**20


class _Server(uvicorn.Server):
    """Leaves the signals to whoever runs all the roles."""

    def capture_signals(self) -> Any:
        return nullcontext()
