"""How is a message handed to a provider over HTTP, and was anything sent when no answer came?"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from application.delivery_ports import Accepted, Ambiguous, Answer, Letter, NotAccepted
from infrastructure.channels.http_connections import Address, Connections
from infrastructure.channels.http_wire import Reply, Terms, encode_bulk, encode_single, read_bulk, read_lookup, read_single

HEADERS: Final = "Accept: */*\r\nAccept-Encoding: identity\r\nUser-Agent: ninebell\r\n"
JSON: Final = "Content-Type: application/json\r\n"


class HttpChannel:
    """A Channel that POSTs JSON."""

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
        """Raises ValueError for a URL that is none."""
        self.name = name
        self.idempotent = idempotent
        self.askable = askable
        self.bulk = bulk
        self.concurrency = concurrency
        self.call_timeout_seconds = call_timeout_seconds
        address = Address.of(url)
        said = f"{address.headers}{HEADERS}"
        self._post_head = f"POST {address.path}{address.query} HTTP/1.1\r\n{said}{JSON}Idempotency-Key: "
        self._ask_path, self._ask_rest = f"GET {address.path.rstrip('/')}/", f"{address.query} HTTP/1.1\r\n{said}\r\n"
        self._connections = Connections(address, most=concurrency, call_timeout_seconds=call_timeout_seconds)

    async def send(self, letter: Letter, *, key: str, repeat: bool) -> Answer:
        """One call. Never raises, save when its task is cancelled: then anything may have been sent."""
        reply = await self._connections.ask(self._posted(encode_single(letter), key))
        return read_single(reply, Terms(self.idempotent, repeat)) if isinstance(reply, Reply) else reply

    async def send_bulk(self, letters: Sequence[Letter], *, key: str, repeat: bool) -> Mapping[UUID, Answer]:
        """One call for all of them, with an answer for each. Never raises, save likewise."""
        asked = [letter.message_id for letter in letters]
        reply = await self._connections.ask(self._posted(encode_bulk(letters), key))
        if isinstance(reply, Reply):
            return read_bulk(reply, asked, Terms(self.idempotent, repeat))
        return dict.fromkeys(asked, reply)

    async def lookup(self, message_id: UUID) -> Accepted | NotAccepted | Ambiguous:
        """Whether the provider has the message, by GET <url>/<message ID>. Never raises, save when its task is cancelled."""
        reply = await self._connections.ask(f"{self._ask_path}{message_id}{self._ask_rest}".encode())
        if isinstance(reply, Reply):
            return read_lookup(reply)
        return Ambiguous("lookup_timeout" if reply.error.endswith("timeout") else "lookup_failed")

    async def close(self) -> None:
        await self._connections.close()

    def _posted(self, body: bytes, key: str) -> bytes:
        return f"{self._post_head}{key}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
