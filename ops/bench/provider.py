"""A provider that costs next to nothing, so that what is measured is Ninebell: takes every call, and keeps when it came.

python -m ops.bench.provider PORT FILE writes a line a message to FILE when told to end: when it was received, and its key;
of a bulk call, each message's ID.
"""

import asyncio
import json
import re
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

import uvloop

from infrastructure.clock import SystemClock

END_OF_HEAD: Final = b"\r\n\r\n"
LENGTH: Final = b"content-length:"
KEY: Final = b"Idempotency-Key: "
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
RECEIPT: Final = b'{"id":"taken"}'
TAKEN: Final = HEAD % len(RECEIPT) + RECEIPT

BULK: Final = b'{"messages":'
MESSAGE_ID: Final = re.compile(rb'"message_id":"([^"]+)"')
RESULT: Final = b'{"message_id":"%s","status":200}'

calls: list[tuple[float, bytes]] = []
"""When each message was received, by the loop's clock, and its key."""


class Connection(asyncio.Protocol):
    """Reads whole requests, however they are cut."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        while (end := data.find(END_OF_HEAD)) >= 0:
            head = data[:end]
            length = _length(head)
            if len(data) < (whole := end + len(END_OF_HEAD) + length):
                break
            self._answer(head, data[end + len(END_OF_HEAD) : whole])
            data = data[whole:]
        self._rest = data

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            self._reply(json.dumps({"calls": len(calls), "keys": len({key for _, key in calls})}).encode())
            return
        if body.startswith(BULK):
            ids = MESSAGE_ID.findall(body)
            now = self._loop.time()
            calls.extend((now, message_id) for message_id in ids)
            self._reply(b'{"results":[' + b",".join(RESULT % message_id for message_id in ids) + b"]}")
            return
        calls.append((self._loop.time(), _after(head, KEY)))
        self._transport.write(TAKEN)

    def _reply(self, body: bytes) -> None:
        self._transport.write(HEAD % len(body) + body)


def _length(head: bytes) -> int:
    return int(_after(head.lower(), LENGTH) or 0)


def _after(head: bytes, name: bytes) -> bytes:
    """The value of this field, which may be the last one; empty if it is not there."""
    at = head.find(name)
    if at < 0:
        return b""
    end = head.find(b"\r", at)
    return head[at + len(name) : end if end >= 0 else None]


async def serve(port: int, file: Path) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    server = await loop.create_server(Connection, "127.0.0.1", port)
    offset = SystemClock().now().timestamp() - loop.time()
    print("running: provider", flush=True)
    await over.wait()
    server.close()
    with file.open("w") as out:
        for at, key in calls:
            received = datetime.fromtimestamp(at + offset, UTC).isoformat()
            out.write(json.dumps({"received_at": received, "idempotency_key": key.decode()}) + "\n")


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
