"""How is the PostgreSQL of one fault started, restarted, frozen, filled up and put back to an earlier copy of itself?"""

from __future__ import annotations

import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import psutil

from infrastructure.postgres_cluster import PostgresCluster

if TYPE_CHECKING:
    from collections.abc import Mapping

DISK: Final = "400m"


class _Cluster(PostgresCluster):
    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        super().__init__(path, durable=True)
        self.environment = {**PostgresCluster.environment, **environment}

    def stop(self, mode: str) -> None:
        self._run("pg_ctl", "stop", "-m", mode, "-w", "-s", "-D", str(self._path))

    def copy_to(self, copy: Path) -> None:
        copy.mkdir(mode=0o700)
        self._give_to_server_user(copy)
        self._run("pg_basebackup", "-d", self.dsn("postgres"), "-D", str(copy), "-X", "stream", "-c", "fast")


class Database:
    """One server, at the same address whatever becomes of it."""

    def __init__(self, home: Path, environment: Mapping[str, str], *, small_disk: bool) -> None:
        """`home` is made; with a `small_disk` it is a file system of its own, in this process's mount namespace."""
        home.mkdir(mode=0o711)
        self._small_disk = small_disk
        if small_disk:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0711", "tmpfs", str(home)], check=True)
        self._home, self._path = home, home / "postgres"
        self._cluster = _Cluster(self._path, environment)

    @property
    def dsn(self) -> str:
        return self._cluster.dsn("postgres")

    @property
    def log_file(self) -> Path:
        return self._path / "server.log"

    def start(self) -> None:
        """Returns once it answers, through crash recovery if need be; one that runs is left alone."""
        self._cluster.ensure_running()

    def stop(self, mode: Literal["fast", "immediate"]) -> None:
        self._cluster.stop(mode)

    def freeze(self) -> None:
        """Every process of it stops where it is: connections stand, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def fill(self) -> None:
        """Not a byte is left on its file system."""
        with (self._home / "ballast").open("wb", buffering=0) as ballast:
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while ballast.write(bytes(size)):
                        pass

    def make_room(self) -> None:
        (self._home / "ballast").unlink()

    def back_up(self) -> None:
        self._cluster.copy_to(self._home / "backup")

    def restore(self) -> None:
        """The server is as it was at the backup. It must have been stopped."""
        shutil.rmtree(self._path)
        (self._home / "backup").rename(self._path)

    def close(self) -> None:
        """End it, frozen or not."""
        self.thaw()
        self._cluster.shut_down()
        if self._small_disk:
            subprocess.run(["umount", str(self._home)], check=True)

    def _signal(self, number: signal.Signals) -> None:
        """To the process that starts the others first, so that there are no new ones."""
        if (pid := self._cluster.pid) is None:
            return
        first = psutil.Process(pid)
        first.send_signal(number)
        for process in first.children():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
