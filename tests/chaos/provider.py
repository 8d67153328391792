"""A provider that misbehaves as it is told, in a process of its own: python -m tests.chaos.provider PORT FILE.

Every call is a line in the file before anything is answered, so that neither its death nor ours loses one. Told over HTTP, too:
`POST /behaviour` with a Behaviour, `POST /stats`. A call's path is the name of the channel it came by.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import uvloop
from msgspec import Struct

from tests.provider import CUT, SILENCE, Reply, Request, answer, read_request

QUICK_MS: Final = 20.0
DEDUPLICATES: Final = "keyed"
CHANNELS: Final = (DEDUPLICATES, "plain")
"""By the first, calls with a key taken before are answered and not taken again; by the other they are taken again."""
TYPES: Final = {"BIRTHDAY": DEDUPLICATES, "ANNIVERSARY": "plain"}
"""Which message type goes by which channel."""


class Behaviour(Struct, frozen=True):
    """What becomes of calls from now on."""

    delay_ms: float = QUICK_MS
    status: int = 200  # any other refuses the call
    retry_after: str = ""
    takes: bool = True  # else the call is read and forgotten
    answers: Literal["yes", "cut", "never"] = "yes"


class Call(Struct, frozen=True):
    """One line of the file."""

    received_at: datetime
    idempotency_key: str
    channel: str
    email: str
    type: str
    refused: bool  # the caller was told so
    taken: bool  # delivered to the person


class Told:
    """What it has been told, and the calls it has had."""

    def __init__(self, file: Path) -> None:
        self.behaviour = Behaviour()
        self._taken = {(call.channel, call.idempotency_key) for call in calls_in(file) if call.taken}
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def reply_to(self, request: Request) -> Reply:
        path, told = request.head.split(" ", 2)[1], self.behaviour
        if path == "/behaviour":
            self.behaviour = msgspec.convert(request.body, Behaviour)
            return answer(200)
        if path == "/stats":
            return answer(200, msgspec.json.encode({"taken": len(self._taken)}), Content_Type="application/json")
        self._write_down(path.strip("/"), request)
        await asyncio.sleep(told.delay_ms / 1000)
        if told.answers != "yes":
            return CUT if told.answers == "cut" else SILENCE
        return answer(told.status, b"{}", **({"Retry_After": told.retry_after} if told.retry_after else {}))

    def _write_down(self, channel: str, request: Request) -> None:
        key, told, body = _key_of(request), self.behaviour, request.body
        refused = told.status != 200
        taken = told.takes and not refused and not (channel == DEDUPLICATES and (channel, key) in self._taken)
        call = Call(datetime.now(UTC), key, channel, body["email"], body["type"], refused, taken)
        os.write(self._file, msgspec.json.encode(call) + b"\n")
        if taken:
            self._taken.add((channel, key))


def calls_in(file: Path) -> Iterable[Call]:
    """Those that were written whole; what a kill cut short was never answered."""
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return (msgspec.json.decode(line, type=Call) for line in lines)


def _key_of(request: Request) -> str:
    lines = (line.partition(":") for line in request.head.splitlines())
    return next(value.strip() for name, _, value in lines if name.lower() == "idempotency-key")


async def _talk(told: Told, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            reply = await told.reply_to(await read_request(reader))
            writer.write(reply.raw)
            if reply is SILENCE:
                await reader.read()  # until the caller gives up
            if reply is SILENCE or reply.hang_up:
                break
    writer.transport.abort()


async def serve(port: int, file: Path) -> None:
    """Until it is killed."""
    told = Told(file)
    talks: set[asyncio.Task[Any]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(task := asyncio.create_task(_talk(told, reader, writer)))
        task.add_done_callback(talks.discard)
        await asyncio.wait([task])

    server = await asyncio.start_server(accept, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
