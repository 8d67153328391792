"""The burst on PgQueuer: `execute_after`, an asyncpg pool, batches of 500."""

import asyncio
from datetime import timedelta
from typing import Final

import asyncpg
import msgspec
import uvloop
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

from infrastructure.clock import SystemClock
from ops.bench.peers.letters import Async, letters
from ops.bench.peers.words import Told, at_work, timed, told

NAME: Final = "greet"
A_CALL: Final = 1_000
BATCH: Final = 500
A_SECOND: Final = timedelta(seconds=1)


async def main(asked: Told) -> None:
    async with asyncpg.create_pool(asked.database, min_size=2, max_size=8) as pool:
        driver = AsyncpgPoolDriver(pool)
        match asked.verb:
            case "prepare":
                await Queries(driver).install()
            case "schedule":
                await schedule(Queries(driver), asked)
            case "work":
                await work(driver, asked)


async def schedule(queries: Queries, asked: Told) -> None:
    bodies: list[bytes | None] = [msgspec.json.encode(letter) for letter in letters(asked.messages)]
    for start in range(0, len(bodies), A_CALL):
        some = bodies[start : start + A_CALL]
        wait = asked.due_at - SystemClock().now()
        await queries.enqueue([NAME] * len(some), some, [0] * len(some), [wait] * len(some))


async def work(driver: AsyncpgPoolDriver, asked: Told) -> None:
    manager, calls = QueueManager(Queries(driver)), Async()

    @manager.entrypoint(NAME)
    async def greet(job: Job) -> None:
        await calls.post(asked.provider, msgspec.json.decode(job.payload or b"{}"))

    asyncio.get_running_loop().call_later(1.0, at_work)
    await manager.run(dequeue_timeout=A_SECOND, batch_size=BATCH)


if __name__ == "__main__":
    if (asked := told()).verb == "schedule":
        timed(lambda: uvloop.run(main(asked)))
    else:
        uvloop.run(main(asked))
