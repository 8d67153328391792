"""What did the provider really get? The built-in receiver: writes every call down, deduplicates nothing, knows no database.

`GET <path>/<message ID>` tells of one message: 200 `{"status": 200, "id": …}` when a call for it, single or bulk, was accepted,
whether the caller has heard of it or not; 404 when none was; 503 when the only ones were before this start: the file says what
was sent, not what was answered.

Plain ASGI: a framework would cost more than the work, and the sink has to be faster than whatever is measured with it.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from starlette.types import Receive, Scope, Send

from ops.sink_file import Body, SinkFile, read_body

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
JSON: Final = (b"content-type", b"application/json")
NDJSON: Final = (b"content-type", b"application/x-ndjson")


class SinkOptions(Struct, frozen=True):
    """How badly the sink plays its part. Rates are shares of 1, drawn in this order: cut, throttle, error."""

    delay_ms: float = 0.0
    error_rate: float = 0.0
    throttle_rate: float = 0.0
    cut_rate: float = 0.0
    seed: int | None = None


class Result(Struct, frozen=True, omit_defaults=True):
    message_id: str
    status: int
    id: str = ""


class Answer(Struct, frozen=True):
    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = (JSON,)


class Decided(Struct, frozen=True):
    """What becomes of a call: the answer, None when it is cut; and the messages that are accepted, with their IDs here."""

    answer: Answer | None
    accepted: dict[str, str] = {}


NOT_FOUND: Final = Answer(404, b'{"error":"not_found"}')
TOO_LARGE: Final = Answer(413, b'{"error":"too_large"}', (JSON, (b"connection", b"close")))
UNREADABLE: Final = Answer(400, b'{"error":"unreadable"}')
NOT_WRITTEN: Final = Answer(503, b'{"error":"not_written"}')
THROTTLED: Final = Answer(429, b'{"error":"throttled"}', (JSON, (b"retry-after", b"1")))
FAILED: Final = Answer(500, b'{"error":"failed"}')
FORGOTTEN: Final = Answer(503, b'{"error":"sent_before_this_start"}')


class SinkApp:
    """The ASGI application."""

    def __init__(self, file: SinkFile, options: SinkOptions, now: Callable[[], datetime]) -> None:
        self._file = file
        self._options = options
        self._now = now
        self._dice = random.Random(options.seed)
        self._accepted: dict[str, str] = {}  # message ID → its ID here

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and scope["method"] == "POST":
            await self._take_call(scope, receive, send)
        elif scope["type"] == "http":
            await self._tell(scope["path"], send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._file.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _take_call(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = await _body_of(receive)
        if raw is None:
            return
        if len(raw) > MAX_BODY_BYTES:
            await _answer(send, TOO_LARGE)
            return
        body = read_body(raw)
        try:
            self._file.append(_key_of(scope), _as_line(raw, body), self._now())
        except OSError:
            await _answer(send, NOT_WRITTEN)
            return
        decided = self._decide(body)
        for message_id, own in decided.accepted.items():  # before the delay: who asks meanwhile is told what will come of it
            self._accepted.setdefault(message_id, own)
        if self._options.delay_ms and await _has_gone(receive, self._options.delay_ms / 1000):
            return
        if decided.answer is None:
            await _hang_up(receive)
        else:
            await _answer(send, decided.answer)

    def _decide(self, body: Body | None) -> Decided:
        cut = self._drawn(self._options.cut_rate)
        if not cut and self._drawn(self._options.throttle_rate):
            return Decided(THROTTLED)
        if body is None:
            return Decided(None if cut else UNREADABLE)
        own = f"sink-{self._file.calls}"
        places = [own] if body.messages is None else [f"{own}-{place}" for place in range(len(body.messages))]
        results = [self._result(message_id, place, cut=cut) for message_id, place in zip(body.ids, places, strict=True)]
        accepted = {result.message_id: result.id for result in results if result.status == 200}
        if cut:
            return Decided(None, accepted)
        if body.messages is not None:
            return Decided(Answer(200, msgspec.json.encode({"results": results})), accepted)
        return Decided(Answer(200, b'{"id":"%s"}' % results[0].id.encode()) if accepted else FAILED, accepted)

    def _result(self, message_id: str, own: str, *, cut: bool) -> Result:
        if not cut and self._drawn(self._options.error_rate):
            return Result(message_id, 500)
        return Result(message_id, 200, own)

    def _drawn(self, rate: float) -> bool:
        return rate > 0 and self._dice.random() < rate

    async def _tell(self, path: str, send: Send) -> None:
        match path:
            case "/sink/stats":
                stats = {"calls": self._file.calls, "keys": self._file.keys, "repeats": self._file.repeats}
                await _answer(send, Answer(200, msgspec.json.encode(stats)))
            case "/sink/calls":
                await send({"type": "http.response.start", "status": 200, "headers": [NDJSON]})
                for chunk in self._file.chunks():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            case _:
                await _answer(send, self._looked_up(path.rpartition("/")[2]))

    def _looked_up(self, message_id: str) -> Answer:
        if (own := self._accepted.get(message_id)) is not None:
            return Answer(200, msgspec.json.encode({"status": 200, "id": own}))
        return FORGOTTEN if message_id in self._file.sent_before else NOT_FOUND


def make_sink_app(path: Path, options: SinkOptions, now: Callable[[], datetime]) -> SinkApp:
    """POST anywhere is a call, written to `path`; GET /sink/calls and /sink/stats tell of them, any other GET of a message.

    Raises OSError when the file can't be opened, msgspec.DecodeError when it is not a sink's.
    """
    return SinkApp(SinkFile(path), options, now)


async def _body_of(receive: Receive) -> bytes | None:
    """None when the caller went before it had said all; at most one chunk more than is allowed."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES or not message.get("more_body", False):
            return b"".join(parts)


def _key_of(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"idempotency-key"), "")


def _as_line(raw: bytes, body: Body | None) -> bytes:
    """The body as JSON without a line break: as it came, if it can be."""
    if body is None:
        return msgspec.json.encode(raw.decode("utf-8", "replace"))
    return msgspec.json.encode(msgspec.json.decode(raw)) if b"\n" in raw or b"\r" in raw else raw


async def _answer(send: Send, answer: Answer) -> None:
    headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _has_gone(receive: Receive, seconds: float) -> bool:
    """Waits so long; True as soon as the caller is not there any more."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
            return True
    return False


async def _hang_up(receive: Receive) -> None:
    """Cut the connection with nothing answered. ASGI has no word for it: `receive` is a method of uvicorn's, which holds it."""
    receive.__self__.transport.abort()  # type: ignore[attr-defined]
    while (await receive())["type"] != "http.disconnect":
        pass
