"""How is one request written to a provider and its answer read, on connections that are kept, and had a byte left when none came?

A call costs a quarter of what a general HTTP client's does (docs/decisions/0039-a-client-for-one-kind-of-call.md).
"""

import asyncio
import ssl
from base64 import b64encode
from socket import SOCK_STREAM
from typing import Final, NamedTuple, cast
from urllib.parse import quote, unquote, urlsplit

import aiohappyeyeballs
import httptools

from application.delivery_ports import Ambiguous, NotAccepted
from infrastructure.channels.http_wire import Reply

CONNECT_SECONDS: Final = 5.0
NEXT_ADDRESS_SECONDS: Final = 0.25  # RFC 8305: a host's second address is tried so long after its first
KEEP_ALIVE_SECONDS: Final = 2.0  # shorter than any usual server's, so that we rarely write on a connection it is closing
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
MAX_HEAD_BYTES: Final = 64 * 1024
PORTS: Final = {"http": 80, "https": 443}
IN_A_PATH: Final = "/%:@!$&'()*+,;=~-._"  # RFC 3986, 3.3; what is escaped already stays
IN_A_QUERY: Final = IN_A_PATH + "?"
FINAL: Final = 200  # statuses below come before the answer itself


class Address(NamedTuple):
    """Where a URL leads."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    path: str
    query: str  # with its question mark
    headers: str  # those that the URL itself asks for

    @classmethod
    def of(cls, url: str) -> "Address":
        """Of an http or https URL. Raises ValueError for another."""
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError("is no http:// or https:// URL")
        host, usual = parts.hostname, PORTS[parts.scheme]
        port = parts.port or usual
        shown = f"[{host}]" if ":" in host else host.encode("idna").decode()
        headers = f"Host: {shown}\r\n" if port == usual else f"Host: {shown}:{port}\r\n"
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers += f"Authorization: Basic {b64encode(pair.encode()).decode()}\r\n"
        path = quote(parts.path, safe=IN_A_PATH) or "/"
        query = f"?{quote(parts.query, safe=IN_A_QUERY)}" if parts.query else ""
        return cls(host, port, ssl.create_default_context() if parts.scheme == "https" else None, path, query, headers)


class Connections:
    """At most so many to one address, all on one event loop."""

    def __init__(self, address: Address, *, most: int, call_timeout_seconds: float) -> None:
        self._address = address
        self._turns = asyncio.Semaphore(most)
        self._seconds = call_timeout_seconds
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._alarm: asyncio.TimerHandle | None = None  # at the earliest deadline of a call that is open, or before it

    async def ask(self, request: bytes) -> Reply | NotAccepted | Ambiguous:
        """The reply to one request, or what it means that none came. Never raises, save when its task is cancelled."""
        now = asyncio.get_running_loop().time()
        connect_by = now + min(CONNECT_SECONDS, self._seconds)
        # a time-out costs as much as a tenth of a call
        if not await (self._had_a_turn(connect_by) if self._turns.locked() else self._turns.acquire()):
            return NotAccepted("connect_timeout")
        try:
            connection = self._kept() or await self._connected(connect_by)
            if isinstance(connection, NotAccepted):
                return connection
            self._wake_by(now + self._seconds)
            answer = await connection.ask(request, now + self._seconds)
            if connection.reusable:
                self._idle.append(connection)
            return answer
        finally:
            self._turns.release()

    async def close(self) -> None:
        for connection in list(self._open):
            connection.drop()
        await asyncio.sleep(0)  # the loop sees to them in its next turn

    def _wake_by(self, deadline: float) -> None:
        """One alarm for all: a call's own would cost as much as writing its request, and hardly ever ring."""
        if self._alarm is None or deadline < self._alarm.when():
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = asyncio.get_running_loop().call_at(deadline, self._end_the_late)

    def _end_the_late(self) -> None:
        self._alarm = None
        now = asyncio.get_running_loop().time()
        deadlines = [deadline for connection in list(self._open) if (deadline := connection.open_until(now))]
        if deadlines:
            self._wake_by(min(deadlines))

    async def _had_a_turn(self, until: float) -> bool:
        try:
            async with asyncio.timeout_at(until):
                return await self._turns.acquire()
        except TimeoutError:
            return False

    def _kept(self) -> "_Connection | None":
        """The one used last, whose provider has had the least time to close it."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.fit and now - connection.idle_since < KEEP_ALIVE_SECONDS:
                return connection
            connection.drop()
        return None

    async def _connected(self, until: float) -> "_Connection | NotAccepted":
        loop = asyncio.get_running_loop()
        host, port, tls, *_ = self._address
        try:
            async with asyncio.timeout_at(until):
                places = await loop.getaddrinfo(host, port, type=SOCK_STREAM)
                socket = await aiohappyeyeballs.start_connection(places, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS)
                name = host if tls else None
                _, made = await loop.create_connection(
                    lambda: _Connection(self._open), sock=socket, ssl=tls, server_hostname=name
                )
        except TimeoutError:
            return NotAccepted("connect_timeout")
        except (OSError, ValueError):
            return NotAccepted("connect_failed")
        return made if made.fit else NotAccepted("connect_failed")


class _Connection(asyncio.Protocol):
    """One connection, and the one answer it waits for. httptools calls the methods that begin with `on_`."""

    def __init__(self, register: "set[_Connection]") -> None:
        self._register = register
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[Reply | Ambiguous] | None = None
        self._head_read = False
        self.idle_since = 0.0
        self.reusable = False

    @property
    def fit(self) -> bool:
        return not self._transport.is_closing()

    async def ask(self, request: bytes, deadline: float) -> Reply | Ambiguous:
        """Its bytes leave at once: whatever comes of it, the provider may have them."""
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._size, self._head_read, self.reusable = 0, False, False
        waiting: asyncio.Future[Reply | Ambiguous] = self._loop.create_future()
        self._waiting, self._deadline = waiting, deadline
        self._transport.write(request)
        try:
            return await waiting
        except asyncio.CancelledError:
            self.reusable = False
            raise
        finally:
            self._waiting = None
            if not self.reusable:
                self.drop()

    def open_until(self, now: float) -> float | None:
        """The deadline of the call it is in; None without one, or if that has come, as the call then ends."""
        if self._waiting is None:
            return None
        if self._deadline > now:
            return self._deadline
        self._end("timeout")
        return None

    def drop(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpResponseParser(self)
        self._register.add(self)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None:  # nobody asked
            self.drop()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._end("connection_cut")
        self._size += len(data)
        if self._size > (MAX_ANSWER_BYTES if self._head_read else MAX_HEAD_BYTES):
            self._end("connection_cut")

    def connection_lost(self, error: Exception | None) -> None:
        self._register.discard(self)
        self.reusable = False
        to_the_end = error is None and self._head_read and not self._headers.keys() & {"content-length", "transfer-encoding"}
        self._end("connection_cut", whole=to_the_end)

    def on_message_begin(self) -> None:
        self.reusable = False  # not even if this is one too many

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        self._head_read = self._status >= FINAL

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        if not self._head_read:
            self._headers = {}
        if not self._head_read or self._waiting is None or self._waiting.done():
            return
        self.reusable = self._parser.should_keep_alive() and self.fit
        self.idle_since = self._loop.time()
        self._end("", whole=True)

    def _end(self, why: str, *, whole: bool = False) -> None:
        """A status that has been received counts, even if its body is cut, late or too long."""
        if self._waiting is None or self._waiting.done():
            return
        if self._head_read:
            self._waiting.set_result(Reply(self._status, self._headers, b"".join(self._parts) if whole else b""))
        else:
            self._waiting.set_result(Ambiguous(why))
