"""Does the provider of the benchmark count every message, however its call is written and cut?"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from ops.bench.deliveries import Provider
from ops.bench.processes import ProcessFailed, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

END = b"\r\n\r\n"
CALL = b"POST /send HTTP/1.1\r\nContent-Length: 2\r\nIdempotency-Key: key-1"
SAME_IN_ANOTHER_ORDER = b"POST /send HTTP/1.1\r\nIdempotency-Key: key-2\r\ncontent-length: 2"
LETTERS = b'{"messages":[{"message_id":"key-3","type":"BIRTHDAY"},{"message_id":"key-4","type":"BIRTHDAY"}]}'
BULK = b"POST /send HTTP/1.1\r\nIdempotency-Key: call-1\r\nContent-Length: %d" % len(LETTERS)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    provider = Provider.at(tmp_path / "calls.jsonl")
    with running({"provider": provider.command}, {}, tmp_path / "printed") as (process,):
        process.until_it_says("running:")
        yield provider


def answer(provider: Provider, *pieces: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", provider.port), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(4096), b""))


def test_a_key_is_read_whole_wherever_it_stands(provider: Provider) -> None:
    assert answer(provider, CALL + END + b"{}").startswith(b"HTTP/1.1 200")
    assert answer(provider, SAME_IN_ANOTHER_ORDER + END + b"{}").startswith(b"HTTP/1.1 200")
    assert answer(provider, CALL + END + b"{}", CALL[:40], CALL[40:] + END, b"{", b"}").count(b"HTTP/1.1 200") == 2
    assert provider.stats() == {"calls": 4, "keys": 2}


def test_each_message_of_a_bulk_call_counts_and_is_answered(provider: Provider) -> None:
    told = answer(provider, BULK + END + LETTERS)
    assert b'{"results":[{"message_id":"key-3","status":200},{"message_id":"key-4","status":200}]}' in told
    assert provider.stats() == {"calls": 2, "keys": 2}


def test_what_came_twice_is_no_measurement(tmp_path: Path) -> None:
    provider = Provider.at(tmp_path / "calls.jsonl")
    with running({"provider": provider.command}, {}, tmp_path / "printed") as (process,):
        process.until_it_says("running:")
        for _ in range(2):
            answer(provider, CALL + END + b"{}")
    with pytest.raises(ProcessFailed, match="2 calls for 1 messages of 1"):
        provider.calls(1)
