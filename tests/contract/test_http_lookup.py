"""Is a provider's answer about one message read for what it says: has it, never took it, or can't tell?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from application.delivery_ports import Accepted, Ambiguous, NotAccepted
from infrastructure.channels.http import HttpChannel
from ops.sink_app import SinkOptions
from tests.contract.channel_kinds import ADA, BOB, LETTERS
from tests.provider import CUT, SILENCE, Reply, answer, listening, running_sink
from tests.servers import free_port

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path


DRIBBLE = Reply(b"HTTP/1.1 200 OK\r\n", for_ever=b"X-Still: here\r\n")


def channel_to(url: str, *, bulk: int = 1, call_timeout_seconds: float = 10) -> HttpChannel:
    return HttpChannel(
        "mail",
        url,
        idempotent=False,
        askable=True,
        bulk=bulk,
        concurrency=1,
        call_timeout_seconds=call_timeout_seconds,
    )


async def asked(reply: Reply, path: str = "/v1/send", call_timeout_seconds: float = 10) -> tuple[object, list[str]]:
    """What the channel makes of this reply, and the first line of each request."""
    lines: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines.append(head.splitlines()[0])
        await reply.say(writer)
        if reply.hang_up:
            writer.write_eof()
        await reader.read()

    async with listening(talk) as port:
        channel = channel_to(f"http://127.0.0.1:{port}{path}", call_timeout_seconds=call_timeout_seconds)
        found = await channel.lookup(ADA.message_id)
        await channel.close()
    return found, lines


ANSWERS = {
    "it has it": (answer(200, b'{"status":202,"id":"msg_1"}'), Accepted(202, "msg_1")),
    "it has it, without an ID": (answer(200, b'{"status":200,"more":1}'), Accepted(200)),
    "something that is no ID": (answer(200, b'{"status":200,"id":"Dear Ada"}'), Accepted(200)),
    "never taken": (answer(404, b"ada@example.org?"), NotAccepted("never_taken")),
    "it refused it": (answer(200, b'{"status":400}'), Ambiguous("lookup_unclear")),
    "no status": (answer(200, b'{"id":"msg_1"}'), Ambiguous("lookup_unclear")),
    "no JSON": (answer(200, b"yes"), Ambiguous("lookup_unclear")),
    "no text": (answer(200, b'{"status":200,"id":"\xff"}'), Ambiguous("lookup_unclear")),
    "a body that breaks off": (
        Reply(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"status":200', hang_up=True),
        Ambiguous("lookup_unclear"),
    ),
    "gone": (answer(410), Ambiguous("lookup:410")),
    "not for us": (answer(401, b"ada@example.org"), Ambiguous("lookup:401")),
    "elsewhere": (answer(302, Location="/404"), Ambiguous("lookup:302")),
    "too many": (answer(429, Retry_After="1"), Ambiguous("lookup:429")),
    "an error": (answer(500), Ambiguous("lookup:500")),
    "no answer": (CUT, Ambiguous("lookup_failed")),
    "no HTTP": (Reply(b"SMTP ready\r\n\r\n", hang_up=True), Ambiguous("lookup_failed")),
}


@pytest.mark.parametrize(("reply", "meaning"), ANSWERS.values(), ids=ANSWERS)
async def test_only_a_404_says_never_taken_and_only_a_success_that_it_has_it(reply: Reply, meaning: object) -> None:
    found, lines = await asked(reply)
    assert found == meaning
    assert set(lines) == {f"GET /v1/send/{ADA.message_id} HTTP/1.1"}


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "reply", [SILENCE, Reply(b"HTTP/1.1 200 OK\r\n", for_ever=b"X-Still: here\r\n")], ids=["silence", "dribble"]
)
async def test_it_is_waited_for_no_longer_than_for_a_call(reply: Reply) -> None:
    found, _ = await asked(reply, call_timeout_seconds=0.3)
    assert found == Ambiguous("lookup_timeout")


@pytest.mark.parametrize(
    ("path", "line"),
    [("/send/", "/send/{}"), ("", "/{}"), ("/send?account=7", "/send/{}?account=7")],
)
async def test_the_question_goes_below_the_address_of_the_calls(path: str, line: str) -> None:
    _, lines = await asked(answer(404), path)
    assert lines == [f"GET {line.format(ADA.message_id)} HTTP/1.1"]


async def test_where_nobody_listens_it_cannot_be_told() -> None:
    channel = channel_to(f"http://127.0.0.1:{free_port()}/")
    assert await channel.lookup(ADA.message_id) == Ambiguous("lookup_failed")
    await channel.close()


@pytest.mark.parametrize("bulk", [1, 3])
async def test_the_sink_tells_what_it_took_when_the_call_was_cut(tmp_path: Path, bulk: int) -> None:
    async with running_sink(tmp_path / "sink.jsonl", SinkOptions(cut_rate=1)) as url:
        channel = channel_to(f"{url}/send", bulk=bulk)
        if bulk == 1:
            assert await channel.send(ADA, key="k", repeat=False) == Ambiguous("connection_cut")
        else:
            await channel.send_bulk(LETTERS[:1], key="d/1", repeat=False)
        found = await channel.lookup(ADA.message_id)
        assert await channel.lookup(BOB.message_id) == NotAccepted("never_taken")
        await channel.close()
    assert found == Accepted(200, "sink-1" if bulk == 1 else "sink-1-0")
