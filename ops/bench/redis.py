"""On which Redis is it measured: a server of our own whose append-only file is flushed each second, as BullMQ advises?"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from ops.bench.deliveries import HOST, free_port
from ops.bench.processes import running

NAME: Final = "redis-server"
READY: Final = "Ready to accept connections"


class Redis(Struct, frozen=True):
    """Where it is reached."""

    url: str
    pid: int


def redis_version() -> str | None:
    """Of the installed server, as "7.0.15"; None where there is none."""
    if not (program := shutil.which(NAME)):
        return None
    said = subprocess.run((program, "--version"), capture_output=True, text=True, check=True).stdout
    return next((word.removeprefix("v=") for word in said.split() if word.startswith("v=")), "unknown")


@contextmanager
def redis(home: Path) -> Iterator[Redis]:
    """Its data lies in the directory. Raises ProcessFailed."""
    home.mkdir(parents=True)
    port = free_port()
    where = ("--bind", HOST, "--port", str(port), "--dir", str(home))
    how = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "")
    with running({"redis": (NAME, *where, *how)}, {}, home) as (server,):
        server.until_it_says(READY)
        yield Redis(f"redis://{HOST}:{port}", server.pid)
