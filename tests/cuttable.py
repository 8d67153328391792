"""What becomes of a conversation over TCP when the wire between is cut, or goes silent?"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Wire:
    """Passes bytes on, both ways, between callers of `url` and the server behind it."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._stranded: list[asyncio.Event] = []
        self._deaf, self.deafened = False, asyncio.Semaphore(0)
        self.url = ""

    def cut(self) -> None:
        """Every conversation ends at once; new ones may begin."""
        for writer in self._writers:
            writer.transport.abort()

    def silence(self) -> None:
        """Nothing passes, nobody is told."""
        self._flows.clear()

    def strand(self) -> None:
        """Whoever talks now is not heard any more and not told, as when a router forgets them; new conversations flow."""
        self._flows.clear()
        self._stranded.append(self._flows)
        self._flows = asyncio.Event()
        self._flows.set()

    def resume(self) -> None:
        for flows in (self._flows, *self._stranded):
            flows.set()

    def deafen(self, *, deaf: bool = True) -> None:
        """To new conversations only the AMQP connection as such is answered, heartbeats and all; nothing on its channels."""
        self._deaf = deaf

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flows = self._flows
        there = self._pass_channel_0 if self._deaf else self._pass
        if self._deaf:
            self.deafened.release()
        far_reader, far_writer = await asyncio.open_connection(self._server.hostname, self._server.port)
        mine = {writer, far_writer}
        self._writers |= mine
        try:
            await asyncio.gather(there(reader, far_writer, flows), self._pass(far_reader, writer, flows))
        finally:
            self._writers -= mine
            for each in mine:
                each.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
        with suppress(ConnectionError):
            while part := await reader.read(65536):
                await flows.wait()
                writer.write(part)
                await writer.drain()
        await flows.wait()  # the end of a conversation is news, too
        writer.close()

    async def _pass_channel_0(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: asyncio.Event) -> None:
        """After the protocol header, frames of type, channel, size, payload and an end (AMQP 0-9-1, 2.3.5)."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(await reader.readexactly(8))
            while True:
                head = await reader.readexactly(7)
                rest = await reader.readexactly(int.from_bytes(head[3:7], "big") + 1)
                if head[1:3] == b"\0\0":
                    writer.write(head + rest)
        writer.close()

    def address(self, port: int) -> str:
        """The server's URL, with this wire's end in place of its own."""
        credentials, _, _ = self._server.netloc.rpartition("@")
        return urlunsplit(self._server._replace(netloc=f"{credentials}@127.0.0.1:{port}"))


@asynccontextmanager
async def wire_to(url: str, port: int = 0) -> AsyncIterator[Wire]:
    """A wire on a port of its own, or this one, gone at the end of the block."""
    wire = Wire(url)
    joins: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        joins.add(join := asyncio.create_task(wire.join(reader, writer)))
        await asyncio.wait([join])

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    wire.url = wire.address(server.sockets[0].getsockname()[1])
    try:
        yield wire
    finally:
        server.close()
        wire.resume()
        wire.cut()
        await asyncio.gather(*joins, return_exceptions=True)
