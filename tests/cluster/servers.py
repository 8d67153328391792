"""PostgreSQL, primary and standby, and nodes of a RabbitMQ, each on a machine of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from infrastructure.postgres_cluster import PostgresCluster
from tests.servers import RABBIT_BINARIES, wait_until

if TYPE_CHECKING:
    from tests.cluster.network import Network

STOP_SECONDS = 60
COOKIE = "NINEBELLCLUSTER"
RABBIT_CONF = """\
listeners.tcp.default = 5672
loopback_users = none
disk_free_limit.absolute = 50MB
log.console = false
log.file.level = warning
cluster_partition_handling = pause_minority
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.node_type = disc
"""
POSTGRES_CONF = """
listen_addresses = '*'
max_connections = 200
shared_buffers = 128MB
max_wal_senders = 10
fsync = on
"""


class PostgresServer(PostgresCluster):
    """One that listens on its machine's address; a copy, if it follows another."""

    def __init__(self, home: Path, network: Network, machine: str) -> None:
        home.mkdir()
        super().__init__(home / "postgres", durable=True)
        self._network, self._machine, self._home = network, machine, home
        self._server: subprocess.Popen[bytes] | None = None
        self.address = f"postgresql://postgres@{network.address(machine)}:5432/postgres"

    def start(self, following: PostgresServer | None = None) -> None:
        """Returns when it answers."""
        self._let_server_user_in()
        if following:
            self._exec("pg_basebackup", "-D", str(self._path), "-d", following.address, "-R", "-X", "stream", "-c", "fast")
        else:
            self._initialise()
            with (self._path / "pg_hba.conf").open("a") as hba:
                hba.write(f"host all all {self._network.range} trust\nhost replication all {self._network.range} trust\n")
            with (self._path / "postgresql.conf").open("a") as conf:
                conf.write(POSTGRES_CONF)
        with (self._home / "server.log").open("ab") as log:
            command = [*self._as_server_user(), str(self._binaries / "postgres"), "-D", str(self._path), "-k", ""]
            self._server = subprocess.Popen(command, env=dict(self.environment), stdout=log, stderr=log)
        try:
            wait_until(self._answers, self._server, f"PostgreSQL on {self._machine}")
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {(self._home / 'server.log').read_text()[-500:]}") from error

    def stop(self) -> None:
        """Whatever is connected."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(STOP_SECONDS)

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.address, connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False

    def _exec(self, command: str, *arguments: str) -> None:
        words = [*self._as_server_user(), str(self._binaries / command), *arguments]
        subprocess.run(words, check=True, env=dict(self.environment), cwd=self._path)

    def _as_server_user(self) -> list[str]:
        user = self._user
        become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"] if user else []
        return [*self._network.on(self._machine), *become]


class RabbitClusterNode:
    """One of several that find each other by their addresses; on its machine, every port is the usual one."""

    def __init__(self, home: Path, network: Network, machine: str, machines: tuple[str, ...]) -> None:
        self._home, self._network, self._machine = home, network, machine
        home.mkdir()
        nodes = (f"cluster_formation.classic_config.nodes.{n} = {self._name(m)}\n" for n, m in enumerate(machines, start=1))
        (home / "rabbitmq.conf").write_text(RABBIT_CONF + "".join(nodes))
        (home / ".erlang.cookie").write_text(COOKIE)
        (home / ".erlang.cookie").chmod(0o400)
        self._binaries = next(path for path in RABBIT_BINARIES if (path / "rabbitmq-server").exists())
        self._epmd: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None
        self.url = f"amqp://guest:guest@{network.address(machine)}:5672/"

    def start(self) -> None:
        """Returns at once."""
        self._epmd = self._spawn("epmd")
        self._node = self._spawn(str(self._binaries / "rabbitmq-server"))

    def wait_for_nodes(self, number: int) -> None:
        """Until so many are one cluster."""
        wait_until(lambda: self._knows(number), self._node, f"{number} nodes of RabbitMQ (log: {self._home / 'log'})")

    def kill(self) -> None:
        """As kill -9 does: its machine goes on, and refuses connections."""
        for process in (self._node, self._epmd):
            if process is not None:
                process.kill()
                process.wait(STOP_SECONDS)
        self._node = self._epmd = None

    def _knows(self, number: int) -> bool:
        words = [
            *self._network.on(self._machine),
            str(self._binaries / "rabbitmqctl"),
            "--longnames",
            "-n",
            self._name(self._machine),
        ]
        asked = subprocess.run(
            [*words, "await_online_nodes", str(number), "--timeout", "60"],
            env=self._environment(),
            capture_output=True,
            check=False,
        )
        return asked.returncode == 0

    def _name(self, machine: str) -> str:
        return f"rabbit@{self._network.address(machine)}"

    def _environment(self) -> dict[str, str]:
        home = str(self._home)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": home,
            "LC_ALL": "C.UTF-8",
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RUNNING_UNDER_SYSTEMD": "true",  # else a shell stands between us and the node, and gets our signals
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_NODENAME": self._name(self._machine),
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": f"{home}/none.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{home}/data",
            "RABBITMQ_LOG_BASE": f"{home}/log",
        }

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        words = [*self._network.on(self._machine), *command]
        return subprocess.Popen(
            words, env=self._environment(), cwd=self._home, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
