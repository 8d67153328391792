"""The sink: the built-in receiver that writes every call down."""

import socket
from pathlib import Path
from typing import Final

from infrastructure.clock import SystemClock
from ops.running import Stop
from ops.serving import serve
from ops.sink_app import SinkOptions, make_sink_app

GRACE_SECONDS: Final = 1  # its callers have gone before it


async def run_sink(file: Path, options: SinkOptions, listener: socket.socket, stop: Stop) -> None:
    """Returns once told to stop."""
    file.parent.mkdir(parents=True, exist_ok=True)
    await serve(make_sink_app(file, options, SystemClock().now), listener, stop, grace_seconds=GRACE_SECONDS)
