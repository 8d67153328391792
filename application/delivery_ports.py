"""What a delivery needs from outside: a bus that brings the command, a channel that sends, a lease that covers the call."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Protocol
from uuid import UUID

from msgspec import Struct


class SendCommand(Struct, frozen=True):
    """What goes over the bus: names of things in the store, never personal data."""

    dispatch_id: UUID
    channel: str
    region: str
    message_ids: tuple[UUID, ...]


class Delivery(Protocol):
    """A send command taken from the bus, to be acknowledged once its outcomes are stored."""

    command: SendCommand

    async def acknowledge(self) -> None: ...

    async def put_back(self) -> None:
        """Let another worker have it."""


class Deliveries(Protocol):
    """An asynchronous iterator over what comes from the bus. A cancelled `anext` loses nothing."""

    def __aiter__(self) -> AsyncIterator[Delivery]: ...

    async def __anext__(self) -> Delivery: ...

    async def aclose(self) -> None:
        """Take no more, and give back what is not acknowledged."""


class Bus(Protocol):
    """At-least-once transport of send commands. Holds only what workers can take in the next seconds."""

    @property
    def connected(self) -> bool:
        """Whether it can be reached now."""

    async def connect(self, wait_seconds: float) -> None:
        """Returns once it can be reached, from the event loop that will use it. Raises BusUnavailable."""

    async def close(self) -> None: ...

    async def publish(self, commands: Sequence[SendCommand]) -> None:
        """Returns once every command is safely with the broker. Raises BusUnavailable: then any of them may or may not be."""

    def consume(self, channel: str, prefetch: int) -> Deliveries:
        """Deliveries of every region of a channel; goes on after reconnecting.

        `prefetch` of them may be unacknowledged: split evenly over the regions, at least one each, so that none starves.
        """

    async def depth(self, channel: str) -> int:
        """Commands waiting, over all regions."""

    async def dead(self) -> int:
        """Commands that nobody could take, kept for a person to see. Raises BusUnavailable."""


class BusUnavailable(Exception):
    """The broker did not confirm: not reachable, or it refused."""


class Letter(Struct, frozen=True):
    """One message as a channel sends it. Lives in memory only."""

    message_id: UUID
    message_type: str
    email: str
    subject: str
    body: str


class Accepted(Struct, frozen=True):
    response_code: int
    provider_id: str = ""


class Rejected(Struct, frozen=True):
    """Permanent: `error` is a code of ours with the status, e.g. "rejected:400"."""

    error: str


class Throttled(Struct, frozen=True):
    """Not accepted, and no try burnt. `retry_after_seconds` as the provider asked, else None."""

    error: str
    retry_after_seconds: float | None


class NotAccepted(Struct, frozen=True):
    """Transient: known as not accepted."""

    error: str


class Ambiguous(Struct, frozen=True):
    """May have been accepted."""

    error: str


Answer = Accepted | Rejected | Throttled | NotAccepted | Ambiguous

KEY_CONFLICT: Final = "key_conflict"
"""How the error of an Ambiguous begins if the provider knows the key with another body: only a person can tell what it took."""


class Channel(Protocol):
    """An outside sender."""

    name: str
    idempotent: bool  # the provider deduplicates by key
    askable: bool  # it can be asked whether it has a message
    bulk: int  # messages a call, 1 for single calls
    concurrency: int  # calls open at once
    call_timeout_seconds: float

    async def send(self, letter: Letter, *, key: str, repeat: bool) -> Answer:
        """One call with `key` as its Idempotency-Key. `repeat`: the key may have been used before. Never raises."""

    async def send_bulk(self, letters: Sequence[Letter], *, key: str, repeat: bool) -> Mapping[UUID, Answer]:
        """One call for many. A provider without bulk calls has `bulk` 1 and is never asked."""

    async def lookup(self, message_id: UUID) -> Accepted | NotAccepted | Ambiguous:
        """Whether the provider has the message: accepted; surely never taken, nor will it be; or it can't be told now.

        Never raises. A provider that is not askable is never asked.
        """

    async def close(self) -> None: ...


class Liveness(Protocol):
    """Whether this worker's lease still covers a call begun now."""

    @property
    def worker(self) -> str: ...

    @property
    def incarnation(self) -> UUID: ...

    def may_call(self) -> bool:
        """The last acknowledged bump is younger than lease − call time-out."""
