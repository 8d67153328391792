"""Does what is written and read on a provider's connection keep to HTTP, however odd the other side is?"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from application.delivery_ports import Accepted, Ambiguous, Answer, NotAccepted
from infrastructure.channels import http_connections
from infrastructure.channels.http import HttpChannel
from tests.certificates import make_certificate
from tests.contract.channel_kinds import ADA
from tests.provider import SILENCE, Provider, Reply, answer, black_hole, provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(30)

OK = answer(200, b'{"id":"m"}')
MANY = b"x" * 300_000


@asynccontextmanager
async def channel_to(url: str, *, concurrency: int = 1, call_timeout_seconds: float = 10) -> AsyncIterator[HttpChannel]:
    channel = HttpChannel(
        "mail", url, idempotent=True, bulk=1, concurrency=concurrency, call_timeout_seconds=call_timeout_seconds
    )
    yield channel
    await channel.close()


async def send(channel: HttpChannel) -> Answer:
    return await channel.send(ADA, key=str(ADA.message_id), repeat=False)


ODD = {
    "a word before the answer": (Reply(b"HTTP/1.1 100 Continue\r\n\r\n" + OK.raw), Accepted(200, "m")),
    "hints before the answer": (Reply(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK.raw), Accepted(200, "m")),
    "a body in chunks": (
        Reply(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{"id":\r\n4\r\n"m"}\r\n0\r\n\r\n'),
        Accepted(200, "m"),
    ),
    "a body as long as the connection": (Reply(b'HTTP/1.0 200 OK\r\n\r\n{"id":"m"}', hang_up=True), Accepted(200, "m")),
    "a long body in one piece": (answer(200, b'{"id":"m","more":"' + MANY + b'"}'), Accepted(200, "m")),
    "a body without an end": (Reply(b"HTTP/1.1 200 OK\r\n\r\n", for_ever=MANY), Accepted(200)),
    "a head without an end": (Reply(b"HTTP/1.1 200 OK\r\n", for_ever=b"X-More: " + MANY + b"\r\n"), Ambiguous("connection_cut")),
    "another protocol": (
        Reply(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
        Ambiguous("connection_cut"),
    ),
    "a body that stops": (Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), Accepted(200)),
    "a head that stops": (Reply(b"HTTP/1.1 200 OK\r\nContent-Le"), Ambiguous("timeout")),
}


@pytest.mark.parametrize(("reply", "meaning"), ODD.values(), ids=ODD)
async def test_an_odd_answer_is_read_as_far_as_it_goes(reply: Reply, meaning: Answer) -> None:
    async with provider(reply) as told, channel_to(told.url, call_timeout_seconds=2) as channel:
        assert await send(channel) == meaning
    assert len(told.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply(OK.raw + OK.raw),  # an answer too many
        answer(200, b"", Connection="close"),
        Reply(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
    ids=["one too many", "told to close", "of an old server"],
)
async def test_a_connection_that_is_not_to_be_kept_is_not(reply: Reply) -> None:
    async with provider(reply, OK) as told, channel_to(told.url) as channel:
        assert [(await send(channel)).__class__ for _ in range(2)] == [Accepted] * 2
        assert told.connections == 2


async def test_an_answer_that_nobody_asked_for_is_no_answer_to_the_next_call() -> None:
    async with provider(Reply(OK.raw + b"HTTP/1.1 400 "), answer(201)) as told, channel_to(told.url) as channel:
        assert await send(channel) == Accepted(200, "m")
        assert await send(channel) == Accepted(201)


async def test_a_connection_is_kept_for_the_next_call_but_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider(OK) as told, channel_to(told.url) as channel:
        await send(channel)
        await send(channel)
        assert told.connections == 1
        monkeypatch.setattr(http_connections, "KEEP_ALIVE_SECONDS", 0.0)
        await send(channel)
        assert told.connections == 2


async def test_a_cancelled_call_takes_its_connection_with_it() -> None:
    async with provider(SILENCE, OK) as told, channel_to(told.url) as channel:
        call = asyncio.create_task(send(channel))
        await told.heard.wait()
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        await asyncio.wait_for(told.gone.wait(), 10)
        assert await send(channel) == Accepted(200, "m")


async def test_who_gets_no_turn_in_time_has_not_called() -> None:
    async with provider(SILENCE) as told, channel_to(told.url, call_timeout_seconds=0.5) as channel:
        first, second = await asyncio.gather(send(channel), send(channel))
    assert first == Ambiguous("timeout")
    assert second in (NotAccepted("connect_timeout"), Ambiguous("timeout"))  # the latter with a turn of its own
    assert len(told.requests) == 1 + (second == Ambiguous("timeout"))


async def test_a_call_ends_in_time_where_an_earlier_ones_time_runs_out_first() -> None:
    async with provider(OK, SILENCE) as told, channel_to(told.url, call_timeout_seconds=0.5) as channel:
        assert await send(channel) == Accepted(200, "m")
        assert await send(channel) == Ambiguous("timeout")


async def test_a_connection_that_is_never_made_has_carried_nothing() -> None:
    async with black_hole() as url, channel_to(url, call_timeout_seconds=0.3) as channel:
        assert await send(channel) == NotAccepted("connect_timeout")


async def test_a_call_goes_through_tls_to_whom_the_certificate_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted, context = make_certificate(tmp_path)
    told = Provider([OK])
    server = await asyncio.start_server(told.talk, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with channel_to(f"https://127.0.0.1:{port}/") as stranger:
        assert await send(stranger) == NotAccepted("connect_failed")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with channel_to(f"https://127.0.0.1:{port}/") as channel, channel_to(f"https://localhost:{port}/") as misled:
        assert await send(channel) == Accepted(200, "m")
        assert await send(misled) == NotAccepted("connect_failed")
    server.close()


async def test_the_next_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider(OK) as told, channel_to(told.url) as channel:
        port = int(told.url.split(":")[2].split("/")[0])
        nobody = (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", port, 0, 0))

        async def both(*_: object, **__: object) -> list[object]:
            return [nobody, (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
        assert await send(channel) == Accepted(200, "m")


WRITTEN = {
    "/v1/send?a=b c": ("POST /v1/send?a=b%20c HTTP/1.1", "Host: 127.0.0.1:{port}"),
    "": ("POST / HTTP/1.1", "Host: 127.0.0.1:{port}"),
    "/a%2Fb/é": ("POST /a%2Fb/%C3%A9 HTTP/1.1", "Host: 127.0.0.1:{port}"),
}


@pytest.mark.parametrize(("path", "lines"), WRITTEN.items())
async def test_a_request_says_where_it_goes(path: str, lines: tuple[str, str]) -> None:
    async with provider(OK) as told:
        base = told.url.removesuffix("/v1/send")
        async with channel_to(f"{base.replace('//', '//us%40er:p%3Ass@')}{path}") as channel:
            await send(channel)
    said = told.requests[0].head.split("\r\n")
    assert said[0] == lines[0]
    assert lines[1].format(port=base.rpartition(":")[2]) in said
    assert "Authorization: Basic dXNAZXI6cDpzcw==" in said


@pytest.mark.parametrize("url", ["", "mail.example.com", "ftp://mail.example.com/", "https:///send", "http://a:b:c/"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        HttpChannel("mail", url, idempotent=True, bulk=1, concurrency=1, call_timeout_seconds=1)


def test_a_port_that_goes_without_saying_is_not_said() -> None:
    assert http_connections.Address.of("https://[::1]/").headers == "Host: [::1]\r\n"
    assert http_connections.Address.of("https://mail.example.com:443/").headers == "Host: mail.example.com\r\n"
    assert http_connections.Address.of("http://bücher.example/").headers == "Host: xn--bcher-kva.example\r\n"
