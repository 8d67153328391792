"""Are calls made in order, never too many at once, and none forgotten?"""

import asyncio
from functools import partial

import pytest

from application.bounded_calls import BoundedCalls


async def test_calls_that_return_at_once_leave_room_for_the_next() -> None:
    calls, made = BoundedCalls(2), []

    async def call(number: int) -> None:
        made.append(number)

    for start in range(0, 12, 4):
        await calls.make([partial(call, number) for number in range(start, start + 4)])
    assert made == list(range(12))


async def test_several_who_ask_share_the_lines() -> None:
    calls = BoundedCalls(3)
    open_calls = most_open = 0

    async def call() -> None:
        nonlocal open_calls, most_open
        open_calls += 1
        most_open = max(most_open, open_calls)
        await asyncio.sleep(0)
        open_calls -= 1

    await asyncio.gather(*(calls.make([call] * 5) for _ in range(4)))
    assert most_open == 3


async def test_a_call_that_fails_is_told_to_who_asked_and_hurts_no_other() -> None:
    calls, made = BoundedCalls(1), []

    async def fail() -> None:
        raise ZeroDivisionError

    async def call() -> None:
        made.append(1)

    failing, fine = asyncio.create_task(calls.make([fail, call])), asyncio.create_task(calls.make([call]))
    with pytest.raises(ZeroDivisionError):
        await failing
    await fine
    assert made == [1, 1]
