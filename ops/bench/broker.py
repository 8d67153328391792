"""On which RabbitMQ is it measured: one that the person names, or a node of our own from the installed package?"""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

# Debian's own wrappers in /usr/sbin hang for root.
BINARIES: Final = tuple(map(Path, ("/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin")))
START_SECONDS: Final = 90.0
LOOK_SECONDS: Final = 0.1
PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
GREETING_BYTES: Final = 4096
AMQP_PORT: Final = 5672
UNKNOWN: Final = "unknown"
CONF: Final = "listeners.tcp.default = 127.0.0.1:{port}\ndisk_free_limit.absolute = 50MB\nlog.console = false\n"


class NoBroker(Exception):
    """This machine has none to offer."""


class Broker(Struct, frozen=True):
    """Where it is reached; the process is known of a node of our own only."""

    url: str
    version: str
    pid: int | None = None


@contextmanager
def broker(named: str | None) -> Iterator[Broker]:
    """`named`: the URL of one that nobody else uses, as the benchmark's workers take whatever is in its queues.

    Raises NoBroker.
    """
    if named:
        address = urlsplit(named)
        yield Broker(named, _version(_greeting(address.hostname or "", address.port or AMQP_PORT)))
        return
    binaries = next((path for path in BINARIES if (path / "rabbitmq-server").exists()), None)
    if binaries is None:
        raise NoBroker("no RabbitMQ: install rabbitmq-server, or name one that nobody else uses with --amqp-url")
    with TemporaryDirectory(prefix="ninebell-bench-rabbit-", ignore_cleanup_errors=True) as home, ExitStack() as held:
        yield _node(binaries, Path(home), held)


def _node(binaries: Path, home: Path, held: ExitStack) -> Broker:
    port, distribution_port, names_port = _free_port(), _free_port(), _free_port()
    (home / "rabbitmq.conf").write_text(CONF.format(port=port))
    environment = {
        "PATH": os.defpath,
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "ERL_EPMD_PORT": str(names_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RUNNING_UNDER_SYSTEMD": "true",  # else a shell stands between us and the node, and gets our signals
        "RABBITMQ_NODENAME": f"bench{port}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "none.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
    }
    # In the foreground, so that it is our child: one started by the node would outlive us.
    _child(["epmd", "-port", str(names_port), "-address", "127.0.0.1"], environment, held)
    _wait(lambda: _listens(names_port))
    node = _child([str(binaries / "rabbitmq-server")], environment, held)
    _wait(lambda: _version(_greeting("127.0.0.1", port)) != UNKNOWN)
    return Broker(f"amqp://guest:guest@127.0.0.1:{port}/", _version(_greeting("127.0.0.1", port)), node.pid)


def _child(command: list[str], environment: dict[str, str], held: ExitStack) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(command, env=environment, cwd=environment["HOME"], stdin=quiet, stdout=quiet, stderr=quiet)
    held.callback(child.wait)
    held.callback(child.kill)  # its data is thrown away: no need to end in good order
    return child


def _wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise NoBroker(f"RabbitMQ did not start in {START_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def _greeting(host: str, port: int) -> bytes:
    """What it answers to a protocol header: Connection.Start, with properties of the server (AMQP 0-9-1, 1.4.2.1)."""
    with suppress(OSError), socket.create_connection((host, port), timeout=5) as client:
        client.sendall(PROTOCOL_HEADER)
        return client.recv(GREETING_BYTES)
    return b""


def _version(greeting: bytes) -> str:
    """A long string in a table: its name, `S`, four bytes of length, the text."""
    _, _, after = greeting.partition(b"\x07versionS")
    return after[4 : 4 + int.from_bytes(after[:4], "big")].decode() or UNKNOWN


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
