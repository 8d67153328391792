"""What has reached the provider, and when?"""

import json
import socket
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from ops.bench.processes import ProcessFailed, module

HOST: Final = "127.0.0.1"
TIMEOUT_SECONDS: Final = 30.0


class Call(Struct, frozen=True):
    """As the provider wrote it down, one for each message of a bulk call."""

    received_at: datetime
    idempotency_key: str


class Provider(Struct, frozen=True):
    """The process of `ops.bench.provider`, which writes its calls to the file when it ends."""

    port: int
    file: Path

    @classmethod
    def at(cls, file: Path) -> "Provider":
        """On a port that nobody has."""
        return cls(free_port(), file)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def command(self) -> tuple[str, ...]:
        return module("ops.bench.provider", str(self.port), str(self.file))

    def stats(self) -> dict[str, int]:
        """calls: messages taken; keys: different ones among them."""
        connection = HTTPConnection(HOST, self.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET", "/")
            found: dict[str, int] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return found

    def keys(self) -> int:
        return self.stats()["keys"]

    def calls(self, messages: int) -> list[Call]:
        """Once it has ended. Raises ProcessFailed unless these are so many messages, each once."""
        calls = [msgspec.json.decode(line, type=Call) for line in self.file.read_bytes().splitlines()]
        keys = len({call.idempotency_key for call in calls})
        if (len(calls), keys) != (messages, messages):
            raise ProcessFailed(f"the provider got {len(calls):,} calls for {keys:,} messages of {messages:,}")
        return calls


def lateness_after(calls: list[Call], due_at: datetime) -> list[float]:
    """Seconds after the instant at which all of them were due, in order."""
    return sorted((call.received_at - due_at).total_seconds() for call in calls)


def quantile(ordered: list[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
