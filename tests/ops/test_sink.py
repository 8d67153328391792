"""Does the sink write down every call as it came, and tell repeats apart over a restart?"""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from ops.sink_app import MAX_BODY_BYTES, SinkOptions, make_sink_app
from ops.sink_file import SinkFile
from tests.provider import RECEIVED_AT, running_sink

if TYPE_CHECKING:
    from pathlib import Path

LETTER = b'{"message_id":"m1","email":"ada@example.org"}'


async def post(url: str, body: bytes = LETTER, key: str = "k1") -> int:
    async with aiohttp.request("POST", url, data=io.BytesIO(body), headers={"Idempotency-Key": key}) as response:
        await response.read()
        return response.status


async def get(url: str) -> bytes:
    async with aiohttp.request("GET", url) as response:
        assert response.status == 200
        return await response.read()


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def cut_short(path: Path, key: bytes) -> None:
    """Leave the last line a second time under another key, without its end."""
    whole = path.read_bytes()
    path.write_bytes(whole + whole.replace(b"k1", key)[:-1])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sink.jsonl"


async def test_a_call_is_one_line_that_says_when_which_and_what(path: Path) -> None:
    async with running_sink(path) as url:
        assert await post(url) == 200
    assert lines(path) == [
        {
            "received_at": "2027-03-01T09:00:00.123456Z",
            "idempotency_key": "k1",
            "body": {"message_id": "m1", "email": "ada@example.org"},
            "repeat": False,
        }
    ]


def test_the_file_is_for_its_owner_only(path: Path) -> None:
    SinkFile(path).close()
    assert path.stat().st_mode & 0o077 == 0


async def test_a_repeat_is_accepted_and_marked_also_after_a_restart(path: Path) -> None:
    async with running_sink(path) as url:
        assert [await post(url, key=key) for key in ("k1", "k2", "k1")] == [200] * 3
    async with running_sink(path) as url:
        assert [await post(url, key=key) for key in ("k2", "k3")] == [200] * 2
        assert json.loads(await get(f"{url}/sink/stats")) == {"calls": 5, "keys": 3, "repeats": 2}
        told = (await get(f"{url}/sink/calls")).splitlines()
    assert [json.loads(line) for line in told] == lines(path)
    assert [line["repeat"] for line in lines(path)] == [False, False, True, True, False]


async def test_a_line_cut_short_by_a_crash_is_dropped_and_its_key_forgotten(path: Path) -> None:
    async with running_sink(path) as url:
        await post(url, key="k1")
    cut_short(path, b"k2")
    async with running_sink(path) as url:
        await post(url, key="k2")
    assert [(line["idempotency_key"], line["repeat"]) for line in lines(path)] == [("k1", False), ("k2", False)]


async def test_a_call_that_fails_is_written_down_too(path: Path) -> None:
    async with running_sink(path, SinkOptions(error_rate=1)) as url:
        assert await post(url) == 500
        assert await post(url) == 500
    assert [line["repeat"] for line in lines(path)] == [False, True]


async def test_a_bulk_call_is_one_line_and_answers_for_each(path: Path) -> None:
    body = b'{"messages":[{"message_id":"m1"},{"message_id":"m2"}]}'
    async with (
        running_sink(path) as url,
        aiohttp.request("POST", url, data=body, headers={"Idempotency-Key": "d/1"}) as response,
    ):
        assert await response.json() == {
            "results": [
                {"message_id": "m1", "status": 200, "id": "sink-1-0"},
                {"message_id": "m2", "status": 200, "id": "sink-1-1"},
            ]
        }
    assert [line["idempotency_key"] for line in lines(path)] == ["d/1"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"message_id":1}', b"\xff\n", b'{"message_id":"m1","x":"\xff"}'])
async def test_what_is_no_letter_is_refused_and_written_down(path: Path, body: bytes) -> None:
    async with running_sink(path) as url:
        assert await post(url, body) == 400
    assert [line["body"] for line in lines(path)] == [body.decode("utf-8", "replace")]


async def test_a_body_over_several_lines_is_still_one_line(path: Path) -> None:
    async with running_sink(path) as url:
        assert await post(url, b'{\r\n "message_id":\n "m1"}') == 200
    assert [line["body"] for line in lines(path)] == [{"message_id": "m1"}]


async def test_a_body_beyond_all_measure_is_refused(path: Path) -> None:
    async with running_sink(path) as url:
        assert await post(url, b" " * (MAX_BODY_BYTES + 1)) == 413
        assert await post(url) == 200
    assert len(lines(path)) == 1


async def looked_up(url: str, message_id: str) -> tuple[int, Any]:
    async with aiohttp.request("GET", f"{url}/send/{message_id}") as response:
        return response.status, await response.json()


def letter(message_id: str) -> bytes:
    return json.dumps({"message_id": message_id}).encode()


async def test_who_asks_is_told_whether_a_message_was_accepted(path: Path) -> None:
    body = b'{"messages":[{"message_id":"m2"},{"message_id":"m3"}]}'
    async with running_sink(path) as url:
        await post(url, letter("m1"), "m1")
        await post(url, body, "d/1")
        await post(url, letter("m1"), "m1")
        assert await looked_up(url, "m1") == (200, {"status": 200, "id": "sink-1"})
        assert await looked_up(url, "m3") == (200, {"status": 200, "id": "sink-2-1"})
        assert (await looked_up(url, "m4"))[0] == 404
        assert (await looked_up(url, "d/1"))[0] == 404


@pytest.mark.parametrize("options", [SinkOptions(error_rate=1), SinkOptions(throttle_rate=1)], ids=["failing", "throttling"])
@pytest.mark.parametrize("body", [letter("m1"), b'{"messages":[{"message_id":"m1"}]}'], ids=["single", "bulk"])
async def test_what_was_refused_was_never_taken(path: Path, options: SinkOptions, body: bytes) -> None:
    async with running_sink(path, options) as url:
        await post(url, body)
        assert (await looked_up(url, "m1"))[0] == 404


@pytest.mark.parametrize("body", [letter("m1"), b'{"messages":[{"message_id":"m1"}]}'], ids=["single", "bulk"])
async def test_what_was_cut_was_accepted(path: Path, body: bytes) -> None:
    async with running_sink(path, SinkOptions(cut_rate=1, error_rate=1, throttle_rate=1)) as url:
        with pytest.raises(aiohttp.ClientError):
            await post(url, body)
        assert (await looked_up(url, "m1"))[0] == 200


async def test_of_what_was_sent_before_a_restart_nobody_can_tell_until_it_is_accepted_again(path: Path) -> None:
    async with running_sink(path) as url:
        await post(url, letter("m1"), "m1")
        await post(url, b'{"messages":[{"message_id":"m2"}]}', "d/1")
        await post(url, b"no letter")
    async with running_sink(path) as url:
        assert [(await looked_up(url, name))[0] for name in ("m1", "m2", "m3")] == [503, 503, 404]
        await post(url, letter("m2"), "m2")
        assert await looked_up(url, "m2") == (200, {"status": 200, "id": "sink-4"})


async def test_who_asks_before_a_slow_answer_is_out_is_told_what_it_will_be(path: Path) -> None:
    delaying, told = asyncio.Event(), list[Any]()

    async def receive() -> Any:
        if not lines(path):
            return {"type": "http.request", "body": letter("m1")}
        delaying.set()
        return await asyncio.Future()

    async def send(message: Any) -> None:
        told.append(message)

    app = make_sink_app(path, SinkOptions(delay_ms=3_600_000), lambda: RECEIVED_AT)
    slow = asyncio.create_task(app({"type": "http", "method": "POST", "path": "/send", "headers": []}, receive, send))
    await delaying.wait()
    await app({"type": "http", "method": "GET", "path": "/send/m1"}, receive, send)
    assert [message.get("status") for message in told] == [200, None]
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow


async def test_nothing_else_is_answered(path: Path) -> None:
    async with running_sink(path) as url, aiohttp.request("GET", f"{url}/") as response:
        assert response.status == 404


async def test_the_same_seed_brings_the_same_moods(tmp_path: Path) -> None:
    async def play(name: str) -> list[int]:
        async with running_sink(tmp_path / name, SinkOptions(error_rate=0.3, throttle_rate=0.3, seed=7)) as url:
            return [await post(url) for _ in range(30)]

    first = await play("a")
    assert set(first) == {200, 429, 500}
    assert await play("b") == first


async def test_who_hangs_up_on_a_slow_sink_keeps_it_from_nothing(path: Path) -> None:
    sent: list[Any] = []
    said = iter([{"type": "http.request", "body": LETTER}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(said)

    async def send(message: Any) -> None:
        sent.append(message)

    app = make_sink_app(path, SinkOptions(delay_ms=3_600_000), lambda: RECEIVED_AT)
    async with asyncio.timeout(20):
        await app({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send)
    assert (len(lines(path)), sent) == (1, [])


async def test_a_slow_sink_answers_who_waits(path: Path) -> None:
    async with running_sink(path, SinkOptions(delay_ms=50)) as url:
        assert await post(url) == 200


async def test_calls_at_once_are_all_written_once(path: Path) -> None:
    async with running_sink(path) as url:
        await asyncio.gather(*(post(url, key=f"k{number}") for number in range(200)))
    assert sorted(line["idempotency_key"] for line in lines(path)) == sorted(f"k{number}" for number in range(200))
