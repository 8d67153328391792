"""Which real PostgreSQL and RabbitMQ do the tests run against, and how is one stopped, killed and wiped?"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Callable

    from testcontainers.core.container import DockerContainer

RABBIT_IMAGE = "rabbitmq:4.1"
RABBIT_BINARIES = tuple(map(Path, ("/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin")))  # /usr/sbin's hang as root
START_SECONDS, STOP_SECONDS = 90.0, 30.0
MEMORY_DISK, ROOM_BYTES = Path("/dev/shm"), 2 << 30  # a container's often has no more than 64 MB
NO_BROKER = "no RabbitMQ for the tests: set AMQP_URL, start a Docker engine, or install rabbitmq-server (`make broker` on Debian)"

RABBIT_CONF = """\
listeners.tcp.default = 127.0.0.1:{port}
loopback_users = none
disk_free_limit.absolute = 50MB
log.console = false
log.file.level = warning
"""


class Broker(Protocol):
    """A RabbitMQ of a test's own: same address through stop, kill, wipe and start."""

    url: str

    def start(self) -> None:
        """Returns when AMQP clients are answered."""

    def stop(self) -> None:
        """In good order; what is durable stays."""

    def kill(self) -> None:
        """As kill -9 does."""

    def wipe(self) -> None:
        """Lose all data of the stopped node."""

    def data(self) -> bytes:
        """All that is in its files: queues, indexes, logs."""

    def close(self) -> None:
        """End it and everything it left on the machine."""


class RabbitNode:
    """A node from the installed package, as a child of this process, with ports, data, cookie and port mapper of its own."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._home = Path(tempfile.mkdtemp(prefix="ninebell-rabbit-"))
        self._port, self._distribution_port, self._epmd_port = free_port(), free_port(), free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}/"

    def start(self) -> None:
        (self._home / "rabbitmq.conf").write_text(RABBIT_CONF.format(port=self._port))
        if self._epmd is None:
            # in the foreground, so that it is our child: one started by the node would outlive us
            self._epmd = self._spawn("epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1")
            wait_until(lambda: is_listening(self._epmd_port), self._epmd, "epmd")
        self._node = self._spawn(str(self._binaries / "rabbitmq-server"))
        wait_until(lambda: speaks_amqp(self._port), self._node, f"RabbitMQ (log: {self._home / 'log'})")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def wipe(self) -> None:
        shutil.rmtree(self._home / "data", ignore_errors=True)

    def data(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self._home.rglob("*")) if path.is_file())

    def close(self) -> None:
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None
        shutil.rmtree(self._home, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self._node is None:
            return
        self._node.send_signal(how)
        self._node.wait(STOP_SECONDS)
        self._node = None

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        home = str(self._home)
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": home,
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RUNNING_UNDER_SYSTEMD": "true",  # else a shell stands between us and the node, and gets our signals
            "RABBITMQ_NODENAME": f"ninebell{self._port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": f"{home}/none.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{home}/data",
            "RABBITMQ_LOG_BASE": f"{home}/log",
        }
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            command, env=environment, cwd=home, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )


class RabbitContainer:
    """A node in a container, on a port of this machine that stays the same."""

    def __init__(self) -> None:
        self._port = free_port()
        self._container: DockerContainer | None = None
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}/"

    def start(self) -> None:
        from testcontainers.core.container import DockerContainer

        if self._container is None:
            self._container = DockerContainer(RABBIT_IMAGE).with_bind_ports(5672, self._port).start()
        else:
            self._container.get_wrapped_container().start()
        wait_until(lambda: speaks_amqp(self._port), None, RABBIT_IMAGE)

    def stop(self) -> None:
        if self._container:
            self._container.get_wrapped_container().stop()

    def kill(self) -> None:
        if self._container:
            self._container.get_wrapped_container().kill()

    def wipe(self) -> None:
        if self._container:
            self._container.stop()  # testcontainers' stop removes the container with its data
            self._container = None

    def data(self) -> bytes:
        container = self._container.get_wrapped_container() if self._container else None
        return b"".join(container.get_archive("/var/lib/rabbitmq")[0]) if container else b""

    def close(self) -> None:
        self.wipe()


@cache
def broker_kind() -> str:
    """`docker`, the directory of an installed RabbitMQ, or empty: what a broker of our own would be made of."""
    if shutil.which("docker") and subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0:
        return "docker"
    return next((str(path) for path in RABBIT_BINARIES if (path / "rabbitmq-server").exists()), "")


def make_broker() -> Broker:
    """A broker not yet started.

    Raises LookupError when this machine has none to offer.
    """
    kind = broker_kind()
    if not kind:
        raise LookupError(NO_BROKER)
    return RabbitContainer() if kind == "docker" else RabbitNode(Path(kind))


def memory_disk() -> Path | None:
    """Where what is thrown away is written soonest: in memory. None, for the usual place, where there is none with room."""
    with suppress(OSError):
        if shutil.disk_usage(MEMORY_DISK).free >= ROOM_BYTES and os.access(MEMORY_DISK, os.W_OK):
            return MEMORY_DISK
    return None


def create_database(server_dsn: str, name: str, template: str = "template1") -> str:
    """DSN of a new database on the server."""
    # by files: a server that is thrown away logs every page of the copy for nobody
    query = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(query.format(sql.Identifier(name), sql.Identifier(template)))
    return urlunsplit(urlsplit(server_dsn)._replace(path=f"/{name}"))


def drop_database(server_dsn: str, name: str) -> None:
    """Also with clients still connected."""
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Whether a connection to 127.0.0.1 is accepted."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def speaks_amqp(port: int) -> bool:
    """Whether a protocol header is answered with Connection.Start, a method frame of class 10 (AMQP 0-9-1, 2.3.5)."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"AMQP\x00\x00\x09\x01")
        frame = client.recv(11)
        return frame[:1] == b"\x01" and frame[7:11] == b"\x00\x0a\x00\x0a"
    return False


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes] | None, what: str) -> None:
    """Ask every tenth of a second; a process that has ended will never be ready.

    Raises RuntimeError.
    """
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{what} ended with code {process.returncode} while starting")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not start in {START_SECONDS:.0f} s")
        time.sleep(0.1)
