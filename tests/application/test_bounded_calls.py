"""Are calls made in order, never too many at once, and none forgotten?"""

import asyncio
from functools import partial

import pytest

from application.bounded_calls import BoundedCalls

LONG_SECONDS = 20


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


async def test_an_interrupt_ends_each_open_call_whatever_it_was_at_and_the_next_are_begun() -> None:
    calls, reached, begun = BoundedCalls(1), asyncio.Event(), []

    async def wait() -> None:
        reached.set()
        await asyncio.Event().wait()

    async def call() -> None:
        begun.append(1)

    making = [asyncio.create_task(calls.make([wait, call])), asyncio.create_task(calls.make([call]))]
    await reached.wait()
    calls.interrupt()
    async with asyncio.timeout(LONG_SECONDS):
        await asyncio.gather(*making)
    assert begun == [1, 1]


async def test_a_call_cancelled_by_anybody_else_is_told_to_who_asked() -> None:
    calls = BoundedCalls(1)

    async def cancelled() -> None:
        raise asyncio.CancelledError

    making = asyncio.create_task(calls.make([cancelled]))
    async with asyncio.timeout(LONG_SECONDS):
        await asyncio.wait([making])
    assert making.cancelled()
