"""Which calls did the sink get, and which keys has it seen before?"""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Raw, Struct

CHUNK_BYTES: Final = 256 * 1024


class Call(Struct, frozen=True):
    """One line of the file."""

    received_at: datetime
    idempotency_key: str
    body: Raw
    repeat: bool


class Letter(Struct, frozen=True):
    """What of a message matters here; the rest is written down as it came."""

    message_id: str


class Body(Struct, frozen=True):
    """The single form has the one, the bulk form the other."""

    message_id: str | None = None
    messages: list[Letter] | None = None

    @property
    def ids(self) -> list[str]:
        """Of its messages."""
        if self.messages is not None:
            return [letter.message_id for letter in self.messages]
        return [] if self.message_id is None else [self.message_id]


class PastCall(Struct, frozen=True):
    """The part of an older line that is kept in memory."""

    idempotency_key: str
    body: Raw


BODY: Final = msgspec.json.Decoder(Body)
PAST_CALL: Final = msgspec.json.Decoder(PastCall)


class SinkFile:
    """An append-only JSONL file, one call a line; of those before a restart the keys and message IDs are kept in memory."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.calls = 0
        self.sent_before: set[str] = set()  # the messages of calls before this start, whatever was answered
        self._keys: set[str] = set()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)  # the bodies are personal
        self._size = self._read(path)
        os.ftruncate(self._file, self._size)  # a line that a crash cut short was never answered

    @property
    def keys(self) -> int:
        return len(self._keys)

    @property
    def repeats(self) -> int:
        return self.calls - self.keys

    def append(self, key: str, body: bytes, received_at: datetime) -> None:
        """With the operating system when it returns: it outlives this process, though not a power cut.

        Raises OSError; then the file is as it was.
        """
        line = msgspec.json.encode(Call(received_at, key, Raw(body), key in self._keys)) + b"\n"
        try:
            written = os.write(self._file, line)
            if written < len(line):
                raise OSError("no room for a whole line")
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)
        self._count(key)

    def chunks(self) -> Iterator[bytes]:
        """All lines written so far."""
        offset, end = 0, self._size
        while offset < end:
            chunk = os.pread(self._file, min(CHUNK_BYTES, end - offset), offset)
            offset += len(chunk)
            yield chunk

    def close(self) -> None:
        os.close(self._file)

    def _read(self, path: Path) -> int:
        """Bytes in whole lines."""
        size = 0
        with path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    size += len(line)
                    call = PAST_CALL.decode(line)
                    self._count(call.idempotency_key)
                    body = read_body(bytes(call.body))
                    self.sent_before.update(body.ids if body else ())
        return size

    def _count(self, key: str) -> None:
        self.calls += 1
        self._keys.add(key)


def read_body(raw: bytes) -> Body | None:
    """None for what is neither form."""
    try:
        raw.decode()  # the decoder does not look into fields it skips
        body = BODY.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return body if (body.message_id is None) != (body.messages is None) else None
