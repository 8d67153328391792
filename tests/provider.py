"""Which providers do the tests send to: the sink as an own server, and one that answers exactly as it is told?"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import uvicorn

from ops.sink_app import SinkOptions, make_sink_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from pathlib import Path

    Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]

RECEIVED_AT = datetime(2027, 3, 1, 9, 0, 0, 123456, tzinfo=UTC)


@asynccontextmanager
async def running_sink(path: Path, options: SinkOptions | None = None) -> AsyncIterator[str]:
    """The sink's address; it is stopped in good order at the end."""
    app = make_sink_app(path, options or SinkOptions(), lambda: RECEIVED_AT)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving


class Reply(msgspec.Struct, frozen=True):
    """What to write back, byte for byte; what to go on writing for ever; and whether to hang up."""

    raw: bytes = b""
    hang_up: bool = False
    for_ever: bytes = b""

    async def say(self, writer: asyncio.StreamWriter) -> None:
        writer.write(self.raw)
        while self.for_ever and not writer.is_closing():
            writer.write(self.for_ever)
            await asyncio.sleep(0.01)


def answer(status: int, body: bytes = b"", **headers: str) -> Reply:
    """A sound HTTP answer. `Retry_After="3"` is written `Retry-After: 3`."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Reply("\r\n".join([*lines, "", ""]).encode() + body)


CUT = Reply(hang_up=True)
SILENCE = Reply()


class Request(msgspec.Struct, frozen=True):
    head: str
    body: Any


class Provider:
    """Gives its replies in order, the last of them for ever, whichever connection asks."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.heard = asyncio.Event()  # all of a call
        self.gone = asyncio.Event()  # we hung up on a caller, and it has seen that
        self.url = ""
        self._replies = list(replies)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append(await read_request(reader))
                self.heard.set()
                reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
                await reply.say(writer)
                if reply.hang_up:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        if not writer.is_closing():
            writer.write_eof()
        await reader.read()
        self.gone.set()


@asynccontextmanager
async def provider(*replies: Reply) -> AsyncIterator[Provider]:
    """Listens on a port of its own until the end of the block."""
    told = Provider(replies)
    async with listening(told.talk) as port:
        told.url = f"http://127.0.0.1:{port}/v1/send"
        yield told


@asynccontextmanager
async def listening(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]],
) -> AsyncIterator[int]:
    """A port whose every connection is talked to like that; at the end nobody is, any more."""
    talks: set[asyncio.Task[None]] = set()
    accepted: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        current = asyncio.current_task()
        assert current is not None
        accepted.add(current)
        talks.add(talking := asyncio.create_task(talk(reader, writer)))
        await asyncio.wait([talking])
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for _ in range(3):  # who has just been accepted comes to talk in a moment
            await asyncio.sleep(0)
        for talking in talks:
            talking.cancel()
        await asyncio.gather(*accepted, *talks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(line.partition(":")[2] for line in head.splitlines() if line.lower().startswith("content-length:"))
    return Request(head, msgspec.json.decode(await reader.readexactly(int(length))))


@asynccontextmanager
async def black_hole() -> AsyncIterator[str]:
    """An address whose connections are never made: its backlog is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        address = listening.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}/"
        for client in waiting:
            client.close()
