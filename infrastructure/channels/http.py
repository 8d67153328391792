"""How is a message handed to a provider over HTTP, and was anything sent when no answer came?"""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter
from aiohttp.payload import BytesPayload

from application.delivery_ports import Accepted, Ambiguous, Answer, Letter, NotAccepted
from infrastructure.channels.http_wire import Reply, Terms, encode_bulk, encode_single, read_bulk, read_lookup, read_single

CONNECT_SECONDS: Final = 5.0
KEEP_ALIVE_SECONDS: Final = 2.0  # shorter than any usual server's, so that we rarely write on a connection it is closing
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
NEVER: Final = 1e9  # aiohttp rounds time-outs above a threshold up to whole seconds: a call would outlast the lease
HEADERS: Final = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "ninebell"}


class HttpChannel:
    """A Channel that POSTs JSON. Opens one session, on the event loop of the first call."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        idempotent: bool,
        bulk: int,
        concurrency: int,
        call_timeout_seconds: float,
        askable: bool = False,
    ) -> None:
        self.name = name
        self.idempotent = idempotent
        self.askable = askable
        self.bulk = bulk
        self.concurrency = concurrency
        self.call_timeout_seconds = call_timeout_seconds
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def send(self, letter: Letter, *, key: str, repeat: bool) -> Answer:
        """One call. Never raises, save when its task is cancelled: then anything may have been sent."""
        reply = await self._post(encode_single(letter), key)
        return read_single(reply, Terms(self.idempotent, repeat)) if isinstance(reply, Reply) else reply

    async def send_bulk(self, letters: Sequence[Letter], *, key: str, repeat: bool) -> Mapping[UUID, Answer]:
        """One call for all of them, with an answer for each. Never raises, save likewise."""
        asked = [letter.message_id for letter in letters]
        reply = await self._post(encode_bulk(letters), key)
        if isinstance(reply, Reply):
            return read_bulk(reply, asked, Terms(self.idempotent, repeat))
        return dict.fromkeys(asked, reply)

    async def lookup(self, message_id: UUID) -> Accepted | NotAccepted | Ambiguous:
        """Whether the provider has the message, by GET <url>/<message ID>. Never raises, save when its task is cancelled."""
        try:
            async with self._opened().get(_below(self._url, str(message_id)), allow_redirects=False) as response:
                return read_lookup(Reply(response.status, response.headers, await _body_of(response)))
        except TimeoutError:
            return Ambiguous("lookup_timeout")
        except (aiohttp.ClientError, OSError, ValueError):
            return Ambiguous("lookup_failed")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, body: bytes, key: str) -> Reply | NotAccepted | Ambiguous:
        """The provider's reply, or what it means that none came."""
        try:
            try:
                return await self._call(body, key)
            except StaleConnection:
                return await self._call(body, key)
        except StaleConnection:
            return NotAccepted("connect_failed")

    async def _call(self, body: bytes, key: str) -> Reply | NotAccepted | Ambiguous:
        """Raises StaleConnection, at once and before a byte has left."""
        payload = WatchedBody(body)
        try:
            async with self._opened().post(
                self._url, data=payload, headers={"Idempotency-Key": key}, allow_redirects=False
            ) as response:
                return Reply(response.status, response.headers, await _body_of(response))
        except TimeoutError:
            return Ambiguous("timeout") if payload.begun else NotAccepted("connect_timeout")
        except aiohttp.ClientConnectorError:
            return NotAccepted("connect_failed")
        except (aiohttp.ClientError, OSError, ValueError):
            if payload.begun:
                return Ambiguous("connection_cut")
            raise StaleConnection from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._open()
        return self._session

    def _open(self) -> aiohttp.ClientSession:
        connect_seconds = min(CONNECT_SECONDS, self.call_timeout_seconds)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self.concurrency, keepalive_timeout=KEEP_ALIVE_SECONDS, timeout_ceil_threshold=NEVER
            ),
            timeout=aiohttp.ClientTimeout(total=self.call_timeout_seconds, connect=connect_seconds, ceil_threshold=NEVER),
            headers=HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )


class StaleConnection(Exception):
    """A kept connection turned out to be closed when we were about to write: the provider knows nothing of this call."""


class WatchedBody(BytesPayload):
    """A request body that knows whether a byte of the request can have left: aiohttp writes the head together with it."""

    begun = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        transport = writer.transport if isinstance(writer, StreamWriter) else None
        # nothing is written to a connection already seen to be closing, and nothing else runs between here and the write
        self.begun = transport is not None and not transport.is_closing()
        await super().write_with_length(writer, content_length)


def _below(url: str, name: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


async def _body_of(response: aiohttp.ClientResponse) -> bytes:
    """Empty when cut, late or too long: the status has been received and counts."""
    parts, size = [], 0
    try:
        async for part in response.content.iter_any():
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                response.close()
                return b""
            parts.append(part)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return b""
    return b"".join(parts)
