"""Which channels are there, and how does what is on their other side behave in each of its moods?"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import msgspec

from application.delivery_ports import Answer, Channel, Letter
from infrastructure.channels.http import HttpChannel
from infrastructure.channels.smtp import SmtpChannel
from ops.sink_app import SinkOptions
from tests.mail_server import ScriptedServer, says, scripted_server
from tests.provider import CUT, SILENCE, Provider, Reply, answer, provider, running_sink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ADA = Letter(UUID(int=1), "BIRTHDAY", "ada@example.org", "Happy birthday!", "Hey, Ada Łovelace it's your birthday")
BOB = Letter(UUID(int=2), "HOLIDAY_GREETING", "bob@example.org", "Happy Easter Monday!", "Happy Easter Monday, Bob!")
EVA = Letter(UUID(int=3), "BIRTHDAY", "eva@example.org", "Happy birthday!", "Hey, Eva it's your birthday")
LETTERS: Final = (ADA, BOB, EVA)

Mood = Literal["accepting", "rejecting", "throttling", "failing", "silent", "cutting", "dribbling", "accepting once"]

SINK: Final[dict[Mood, SinkOptions]] = {
    "accepting": SinkOptions(),
    "throttling": SinkOptions(throttle_rate=1),
    "failing": SinkOptions(error_rate=1),
    "silent": SinkOptions(delay_ms=3_600_000),
    "cutting": SinkOptions(cut_rate=1),
}
HTTP: Final[dict[Mood, Reply]] = {
    "rejecting": answer(400, b"no such address: ada@example.org"),
    "throttling": answer(429, b"ada@example.org", Retry_After="9"),
    "failing": answer(500, b"ada@example.org"),
    "silent": SILENCE,
    "cutting": CUT,
    "dribbling": Reply(b"HTTP/1.1 200 OK\r\n", for_ever=b"X-Still: here\r\n"),
}
SMTP: Final[dict[Mood, dict[str, Reply]]] = {
    "accepting": {},
    "rejecting": {"RCPT": says("550 5.1.1 <ada@example.org>: no such address")},
    "failing": {".": says("451 4.3.0 ada@example.org: try again")},
    "silent": {".": SILENCE},
    "cutting": {".": CUT},
    "dribbling": {".": Reply(for_ever=b"250-still here\r\n")},
    "accepting once": {".": says("250 Ok: queued as 4RzT1X", hang_up=True)},
}
KINDS: Final[dict[str, frozenset[Mood]]] = {
    "sink": frozenset(SINK),
    "http": frozenset({"accepting", "accepting once", *HTTP}),
    "http in bulk": frozenset({"accepting", "accepting once", *HTTP}),
    "smtp": frozenset(SMTP),
}
"""The moods that each can be in: the sink refuses nobody, SMTP knows no word for slowing down."""


class OtherSide(msgspec.Struct):
    """A channel, and the server that it calls where that can be asked about it."""

    channel: Channel
    server: Provider | ScriptedServer | None = None


@asynccontextmanager
async def other_side(kind: str, mood: Mood, directory: Path, **settings: Any) -> AsyncIterator[OtherSide]:
    """A server of that kind in that mood, and the channel to it; both are closed at the end of the block."""
    given = {"concurrency": 10, "call_timeout_seconds": 10} | settings
    if kind == "sink":
        async with running_sink(directory / "sink.jsonl", SINK[mood]) as url:
            side = OtherSide(HttpChannel("sink", url, idempotent=False, bulk=1, **given))
            yield side
            await side.channel.close()
    elif kind == "smtp":
        async with scripted_server(SMTP[mood]) as mail:
            side = OtherSide(open_smtp(mail.port, **given), mail)
            yield side
            await side.channel.close()
    else:
        bulk = len(LETTERS) if kind == "http in bulk" else 1
        async with provider(HTTP.get(mood) or _accepting(bulk, hang_up=mood == "accepting once")) as told:
            side = OtherSide(HttpChannel("mail", told.url, idempotent=False, bulk=bulk, **given), told)
            yield side
            await side.channel.close()


def open_smtp(port: int, **settings: Any) -> SmtpChannel:
    """To a server that asks for nothing, unless said otherwise."""
    usual = {"host": "127.0.0.1", "user": None, "password": None, "tls": "none", "sender": "Ninebell <hello@example.org>"}
    given: dict[str, Any] = usual | {"concurrency": 10, "call_timeout_seconds": 10} | settings
    return SmtpChannel("mail", port=port, **given)


async def send(channel: Channel, *, repeat: bool = False) -> list[Answer]:
    """The answers to one call, for as many letters as it takes."""
    letters = LETTERS[: channel.bulk]
    if channel.bulk == 1:
        return [await channel.send(ADA, key=str(ADA.message_id), repeat=repeat)]
    answers = await channel.send_bulk(letters, key="d/1", repeat=repeat)
    return [answers[letter.message_id] for letter in letters]


def _accepting(bulk: int, *, hang_up: bool) -> Reply:
    results = [{"message_id": letter.message_id, "status": 200, "id": "4RzT1X"} for letter in LETTERS[:bulk]]
    return Reply(answer(200, msgspec.json.encode({"results": results} if bulk > 1 else results[0])).raw, hang_up=hang_up)
