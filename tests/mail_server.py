"""Which mail servers do the tests send to: a real one that keeps what it takes, and one that says exactly what it is told?"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec
from aiosmtpd.smtp import SMTP, AuthResult

from tests.provider import Reply, listening

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping

    from aiosmtpd.smtp import Envelope, Session

USER, PASSWORD = "ninebell", "a password of this test alone"


class Taken(msgspec.Struct, frozen=True):
    """A message that the server is answerable for."""

    sender: str
    recipients: list[str]
    content: bytes
    encrypted: bool
    logged_in: bool


class MailServer:
    """aiosmtpd, as a handler of its own sees it. `replies` by verb stand above its own; those of RCPT, by address too."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.replies: dict[str, str] = {}
        self.port = 0
        self.connections = 0

    async def handle_RCPT(  # noqa: N802  (aiosmtpd calls it so)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if said := self.replies.get(address, self.replies.get("RCPT")):
            return said
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if said := self.replies.get("DATA"):
            return said
        content = envelope.content
        assert isinstance(content, bytes)
        assert envelope.mail_from
        assert server.transport
        encrypted, logged_in = server.transport.get_extra_info("sslcontext") is not None, session.authenticated is True
        self.taken.append(Taken(envelope.mail_from, envelope.rcpt_tos, content, encrypted, logged_in))
        return f"250 2.0.0 Ok: queued as 4RzT{len(self.taken)}X"


@asynccontextmanager
async def mail_server(*, tls: ssl.SSLContext | None = None, implicit: bool = False, **options: Any) -> AsyncIterator[MailServer]:
    """Listens on a port of its own until the end of the block; with `tls`, it takes nothing in clear."""
    told, loop, talks = MailServer(), asyncio.get_running_loop(), list[SMTP]()
    starttls: dict[str, Any] = {"tls_context": tls, "require_starttls": True} if tls and not implicit else {}

    def talk() -> SMTP:
        told.connections += 1
        talks.append(SMTP(told, hostname="mail.test", loop=loop, **starttls, **options))
        return talks[-1]

    server = await loop.create_server(talk, "127.0.0.1", 0, ssl=tls if implicit else None)
    told.port = server.sockets[0].getsockname()[1]
    try:
        yield told
    finally:
        server.close()
        handlers = [one._handler_coroutine for one in talks if one._handler_coroutine]
        for one, handler in zip(talks, handlers, strict=False):
            handler.cancel()
            if one.transport is not None:
                one.transport.close()
        await asyncio.gather(*handlers, return_exceptions=True)


def check_login(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    """Knows one user."""
    known = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=known, handled=known)


def says(text: str, *, hang_up: bool = False) -> Reply:
    return Reply(f"{text}\r\n".encode(), hang_up=hang_up)


GOOD: Mapping[str, Reply] = {
    "": says("220 mail.test ESMTP"),
    "EHLO": says("250-mail.test\r\n250 8BITMIME"),
    "MAIL": says("250 Ok"),
    "RCPT": says("250 Ok"),
    "DATA": says("354 Go ahead"),
    ".": says("250 Ok: queued as 4RzT1X"),
    "QUIT": says("221 Bye", hang_up=True),
}


class ScriptedServer:
    """Replies by verb, whichever connection asks; the empty verb is the greeting, the dot the end of a message."""

    def __init__(self, script: Mapping[str, Reply]) -> None:
        self.port = 0
        self.connections = 0
        self.verbs: list[str] = []
        self.heard = asyncio.Event()  # all of a message
        self.gone = asyncio.Event()  # we hung up on a caller, and it has seen that
        self.script = {**GOOD, **script}
        self.once: dict[str, Reply] = {}  # before the script has its say

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        verb = ""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                reply = self.once.pop(verb, None) or self.script.get(verb, says("500 What?"))
                await reply.say(writer)
                if reply.hang_up:
                    break
                verb = await self._hear(reader, in_message=verb == "DATA" and reply.raw.startswith(b"354"))
        with suppress(OSError):  # who says good-bye waits for no answer
            writer.write_eof()
            await reader.read()
        self.gone.set()

    async def _hear(self, reader: asyncio.StreamReader, *, in_message: bool) -> str:
        if in_message:
            await reader.readuntil(b"\r\n.\r\n")
            self.heard.set()
            verb = "."
        else:
            verb = (await reader.readuntil(b"\r\n")).decode().split()[0].upper()
        self.verbs.append(verb)
        return verb


@asynccontextmanager
async def scripted_server(script: Mapping[str, Reply]) -> AsyncIterator[ScriptedServer]:
    """Listens on a port of its own until the end of the block."""
    told = ScriptedServer(script)
    async with listening(told.talk) as port:
        told.port = port
        yield told
