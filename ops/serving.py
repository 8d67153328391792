"""How is an ASGI application served at an address that a setting names?"""

import asyncio
import socket
from contextlib import nullcontext
from typing import Any, Final, Literal

import uvicorn

from ops.running import Stop
from ops.settings import Address

GRACE_SECONDS: Final = 3


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
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.loop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving


class _Server(uvicorn.Server):
    """Leaves the signals to whoever runs all the roles."""

    def capture_signals(self) -> Any:
        return nullcontext()
