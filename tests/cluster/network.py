"""Machines on one machine: a network namespace each, joined by a bridge that this process reaches them by."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

IP = "/sbin/ip"


class Network:
    """Needs root, and Linux. Names and the subnet are made from the process ID, so that two of them keep apart."""

    def __init__(self, machines: Sequence[str]) -> None:
        number = os.getpid()
        self._mark = f"nb{number % 100_000}"
        self._subnet = f"10.{100 + number % 100}.{number // 100 % 250}"
        self._machines = {name: place for place, name in enumerate(machines, start=11)}
        self._made: list[tuple[str, ...]] = []

    def address(self, machine: str) -> str:
        """Its IPv4 address."""
        return f"{self._subnet}.{self._machines[machine]}"

    @property
    def range(self) -> str:
        return f"{self._subnet}.0/24"

    def on(self, machine: str) -> tuple[str, ...]:
        """What a command begins with that is to run there; it becomes that command, under the same process ID."""
        return (IP, "netns", "exec", self._namespace(machine))

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self._unmake()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._unmake()

    def _namespace(self, machine: str) -> str:
        return f"{self._mark}-{machine}"

    def _make(self) -> None:
        bridge = self._mark
        self._run("link", "add", bridge, "type", "bridge")
        self._made.append(("link", "del", bridge))
        self._run("addr", "add", f"{self._subnet}.1/24", "dev", bridge)
        self._run("link", "set", bridge, "up")
        for machine, place in self._machines.items():
            namespace, here = self._namespace(machine), f"{self._mark}v{place}"
            self._run("netns", "add", namespace)
            self._made.append(("netns", "del", namespace))
            self._run("link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            self._run("link", "set", here, "master", bridge, "up")
            for setting in (("link", "set", "lo", "up"), ("link", "set", "eth0", "up")):
                self._run("-n", namespace, *setting)
            self._run("-n", namespace, "addr", "add", f"{self.address(machine)}/24", "dev", "eth0")

    def _unmake(self) -> None:
        while self._made:
            with suppress(subprocess.CalledProcessError):
                self._run(*self._made.pop())

    def _run(self, *words: str) -> None:
        subprocess.run([IP, *words], check=True, capture_output=True)
