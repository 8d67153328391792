"""Does every channel tell the same five things apart, and keep to what the worker counts on?"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, get_args
from uuid import uuid4

import pytest

from application.delivery_ports import Accepted, Ambiguous, Answer, NotAccepted, Rejected, Throttled
from infrastructure.channels.http import HttpChannel
from tests.contract.channel_kinds import KINDS, Mood, open_smtp, other_side, send
from tests.provider import black_hole
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from application.delivery_ports import Channel

CODE = re.compile(r"[a-z_0-9]+(:[0-9]{3})?")
MEANING: dict[Mood, type[Answer]] = {
    "accepting": Accepted,
    "accepting once": Accepted,
    "rejecting": Rejected,
    "throttling": Throttled,
    "failing": NotAccepted,
    "silent": Ambiguous,
    "cutting": Ambiguous,
    "dribbling": Ambiguous,
}
CASES = [(kind, mood) for kind, moods in KINDS.items() for mood in get_args(Mood) if mood in moods]
COUNTED = ["http", "http in bulk", "smtp"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("kind", "mood"), CASES)
@pytest.mark.parametrize("repeat", [False, True], ids=["first", "repeat"])
async def test_what_the_other_side_does_means_the_same_everywhere(kind: str, mood: Mood, repeat: bool, tmp_path: Path) -> None:
    short = {"call_timeout_seconds": 0.3} if mood in ("silent", "dribbling") else {}
    async with other_side(kind, mood, tmp_path, **short) as side:
        answers = await send(side.channel, repeat=repeat)
    assert [type(answer) for answer in answers] == [MEANING[mood]] * side.channel.bulk
    for answer in answers:
        # what the provider wrote names the person
        assert isinstance(answer, Accepted) or CODE.fullmatch(answer.error)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_accepted_has_the_providers_id(kind: str, tmp_path: Path) -> None:
    async with other_side(kind, "accepting", tmp_path) as side:
        answers = await send(side.channel)
    assert all(isinstance(answer, Accepted) and answer.provider_id in ("4RzT1X", "sink-1") for answer in answers)


def closed_channels() -> dict[str, Callable[[int, float], Channel]]:
    return {
        "http": lambda port, seconds: HttpChannel(
            "mail", f"http://127.0.0.1:{port}/", idempotent=False, bulk=1, concurrency=1, call_timeout_seconds=seconds
        ),
        "smtp": lambda port, seconds: open_smtp(port, call_timeout_seconds=seconds),
    }


@pytest.mark.parametrize("open_channel", closed_channels().values(), ids=closed_channels())
async def test_where_nobody_listens_nothing_was_accepted(open_channel: Callable[[int, float], Channel]) -> None:
    channel = open_channel(free_port(), 10)
    assert await send(channel) == [NotAccepted("connect_failed")]
    await channel.close()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("open_channel", closed_channels().values(), ids=closed_channels())
async def test_where_no_connection_is_made_nothing_was_accepted(open_channel: Callable[[int, float], Channel]) -> None:
    async with black_hole() as url:
        channel = open_channel(int(url.rstrip("/").rpartition(":")[2]), 0.3)
        assert await send(channel) == [NotAccepted("connect_timeout")]
        await channel.close()


@pytest.mark.parametrize("kind", COUNTED)
async def test_connections_are_kept_and_never_more_than_calls_allowed(kind: str, tmp_path: Path) -> None:
    async with other_side(kind, "accepting", tmp_path, concurrency=3) as side:
        answers = await asyncio.gather(*(send(side.channel) for _ in range(40)))
        assert side.server
        assert side.server.connections <= 3
    assert {type(answer) for call in answers for answer in call} == {Accepted}


@pytest.mark.parametrize("kind", COUNTED)
async def test_a_kept_connection_that_was_closed_costs_no_doubt(kind: str, tmp_path: Path) -> None:
    async with other_side(kind, "accepting once", tmp_path) as side:
        assert side.server
        first = await send(side.channel)
        await side.server.gone.wait()
        assert [type(answer) for answer in (*first, *await send(side.channel))] == [Accepted] * 2 * side.channel.bulk
        assert side.server.connections == 2


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", COUNTED)
async def test_a_call_that_is_given_up_ends_at_once_and_makes_room(kind: str, tmp_path: Path) -> None:
    async with other_side(kind, "silent", tmp_path, concurrency=1, call_timeout_seconds=60) as side:
        assert side.server
        for _ in range(2):
            side.server.heard.clear()
            calling = asyncio.create_task(send(side.channel))
            await side.server.heard.wait()
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling


@pytest.mark.parametrize("kind", KINDS)
async def test_closing_twice_is_harmless(kind: str, tmp_path: Path) -> None:
    async with other_side(kind, "accepting", tmp_path) as side:
        await send(side.channel)
        await side.channel.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_who_cannot_answer_a_question_leaves_it_open(kind: str, tmp_path: Path) -> None:
    async with other_side(kind, "cutting", tmp_path) as side:
        answer = await side.channel.lookup(uuid4())
    # the sink alone knows what it never took
    assert isinstance(answer, NotAccepted if kind == "sink" else Ambiguous)
